"""Server-sent events to the screens: one bounded queue a screen, one encoding for all of them.

Events: `alarm` (id, rule, subject, severity, state, active, raised_ms, who acknowledged), `agent`, `reading` (rows of
[point, observed_ms, value, quality], gathered for half a second), `gateway` (connected, since_ms), `unknown_device`,
`duty` (a duty check as it now is), `standing` (a hold, drill or window changed), `proof` and `notice` (something of the
path to people changed), `path` (token: a test for duty screens), `configuration` (rules or sites changed), `heartbeat`
every two seconds (now_ms, connected, since_ms, fires: ids of those nobody acknowledged, duty: [id, until_ms] of duty
checks nobody answered, changes: how often something changed, faults: how many critical alarms and warnings nobody
acknowledged, version: of the scripts). A screen that does not keep up is cut off: it connects
again and draws itself anew, so that it never shows an old state as the present one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from contract.site import SYSTEM_SITE
from gateway.web.stream_shares import Listener, No, Shares

QUEUE = 256
"""Frames a screen may lag behind."""
GATHER_S = 0.5
HEARTBEAT_S = 2.0
LAG_S = 10.0
"""A frame a screen has not taken for so long cuts it off; before it, up to some 300 KB lie in the network's buffers."""

NOBODY = Listener()
Sites = frozenset[str] | None
_encode = msgspec.json.Encoder().encode


class Screen:
    """One open stream.

    Args:
        device: (site/device) narrows the readings to those of one device; "" wants none.
        sites: what the person may see; None: everything.
        who: whose it is. rights: what the session may, to be compared later.
    """

    def __init__(
        self, device: str | None, sites: frozenset[str] | None = None, who: Listener = NOBODY, rights: Any = None
    ) -> None:
        self.device = device
        self.who = who
        self.rights = rights
        self.sites = sites
        self.frames: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE)
        self.cut = False
        self.owed_s: float | None = None
        """Since when frames wait for it (monotonic), none of which it took; None: nothing waits."""

    def put(self, frame: bytes | None) -> None:
        """Queue a frame; a full queue cuts the screen off."""
        if self.cut:
            return
        try:
            self.frames.put_nowait(frame)
        except asyncio.QueueFull:
            self.cut = True
            return
        if self.owed_s is None:
            self.owed_s = time.monotonic()

    async def take(self) -> bytes | None:
        """The next frame."""
        if self.frames.empty():
            self.owed_s = None
        chunk = await self.frames.get()
        self.owed_s = None if self.frames.empty() else time.monotonic()
        return chunk

    def give_up(self) -> None:
        """Cut it off; what waits for it is let go of."""
        self.cut = True  # takes nothing further
        while not self.frames.empty():
            self.frames.get_nowait()
        self.frames.put_nowait(None)

    def wants(self, point: str) -> bool:
        """Whether readings of that point go to this screen."""
        site = point.partition("/")[0]
        if self.sites is not None and site != SYSTEM_SITE and site not in self.sites:
            return False
        return self.device is None or (self.device != "" and point.startswith(self.device + "/"))


class Hub:
    """All open streams.

    For heartbeats `state()` gives (connected, since_ms), `fires(sites)` those nobody acknowledged, `duty(sites)`
    (id, until_ms) of duty checks nobody answered, `faults(sites)` (critical alarms, warnings) nobody acknowledged,
    `changes()` counts what a page would draw anew.
    """

    def __init__(self, shares: Shares, now_ms: Callable[[], int]) -> None:
        self._shares = shares
        self._now_ms = now_ms
        self._screens: set[Screen] = set()
        self._waiting: dict[str, list[Any]] = {}
        self.state: Callable[[], tuple[bool, int]] = lambda: (False, 0)
        self.fires: Callable[[Sites], list[int]] = lambda _: []
        self.duty: Callable[[Sites], list[tuple[int, int]]] = lambda _: []
        self.changes: Callable[[], int] = lambda: 0
        self.faults: Callable[[Sites], tuple[int, int]] = lambda _: (0, 0)
        self.version = ""
        """Of scripts and templates: a page that has another one loads itself anew."""
        self.dropped = 0
        self.refused = 0
        self.lag_s = LAG_S

    @property
    def screens(self) -> int:
        """How many streams are open."""
        return len(self._screens)

    def refusal(self, who: Listener) -> No | None:
        """Why somebody gets no further stream; None: they get one."""
        return self._shares.refusal(who, (screen.who for screen in self._screens))

    def publish(self, name: str, data: Any) -> None:
        """Tell every screen. Alarms go out at once; readings are gathered, the last of each point counts."""
        if not self._screens:
            return
        if name == "reading":
            self._waiting.update((row[0], row) for row in data)
            return
        if name == "gateway":
            self._send_each(name, self.state_for)
            return
        self._send(frame(name, data), _site(data))

    async def run(self) -> None:
        """Send gathered readings and heartbeats until cancelled."""
        loop = asyncio.get_running_loop()
        beat_at = loop.time()
        while True:
            self._flush()
            self._drop_stalled()
            if loop.time() >= beat_at:
                beat_at = loop.time() + HEARTBEAT_S
                self._send_each("heartbeat", self.state_for)
            await asyncio.sleep(GATHER_S)

    def watching(self) -> dict[str, Any]:
        """Session -> what it might do when its stream began, of every open stream that has a session."""
        return {screen.who.key: screen.rights for screen in self._screens if screen.who.key}

    async def follow(
        self, device: str | None, sites: Sites = None, who: Listener = NOBODY, rights: Any = None
    ) -> AsyncIterator[bytes]:
        """Frames for one screen, beginning with a heartbeat, until it is cut off or the hub closes.

        None for one that came in the same instant as others and is too many: it asks again and is told why.
        """
        if self.refusal(who) is not None:
            return
        screen = Screen(device, sites, who, rights)
        self._screens.add(screen)
        try:
            # The browser tries again after this many ms.
            yield b"retry: 1000\n\n" + frame("heartbeat", self.state_for(sites))
            while not screen.cut:
                chunk = await screen.take()
                if chunk is None:
                    return
                yield chunk
        finally:
            self._screens.discard(screen)

    def close(self, key: str | None = None) -> None:
        """End every stream, or those of one session, whose screens connect again as what they may see now."""
        for screen in self._screens:
            if key is not None and screen.who.key != key:
                continue
            screen.give_up()

    def _drop_stalled(self) -> None:
        """Let go of screens that take nothing; counted from when the first frame waited."""
        oldest_s = time.monotonic() - self.lag_s
        for screen in tuple(self._screens):
            if screen.owed_s is not None and screen.owed_s < oldest_s:
                screen.give_up()
                self._screens.discard(screen)
                self.dropped += 1

    def _flush(self) -> None:
        if not self._waiting:
            return
        rows, self._waiting = list(self._waiting.values()), {}
        everything: bytes | None = None
        for screen in tuple(self._screens):
            if screen.device is None and screen.sites is None:
                everything = everything or frame("reading", rows)
                self._put(screen, everything)
            elif mine := [row for row in rows if screen.wants(row[0])]:
                self._put(screen, frame("reading", mine))

    def _send(self, chunk: bytes, site: str | None) -> None:
        """To every screen that may see the site; None: to all."""
        for screen in tuple(self._screens):
            if site is None or screen.sites is None or site in screen.sites:
                self._put(screen, chunk)

    def _send_each(self, name: str, make: Callable[[Sites], Any]) -> None:
        """Something that differs with what a person may see, made once for each."""
        made: dict[Sites, bytes] = {}
        for screen in tuple(self._screens):
            if screen.sites not in made:
                made[screen.sites] = frame(name, make(screen.sites))
            self._put(screen, made[screen.sites])

    def _put(self, screen: Screen, chunk: bytes) -> None:
        screen.put(chunk)
        if screen.cut:
            # Its place is free at once, however long its dead connection lingers.
            self._screens.discard(screen)
            self.dropped += 1

    def state_for(self, sites: Sites) -> dict[str, Any]:
        """What a heartbeat tells whoever may see the sites."""
        connected, since_ms = self.state()
        return {
            "now_ms": self._now_ms(),
            "connected": connected,
            "since_ms": since_ms,
            "fires": self.fires(sites),
            "duty": self.duty(sites),
            "changes": self.changes(),
            "faults": self.faults(sites),
            "version": self.version,
        }


def _site(data: Any) -> str | None:
    """The site something is of; None for what is of none in particular or of the gateway itself."""
    site = data.get("site") if isinstance(data, dict) else getattr(data, "site", None)
    return site if isinstance(site, str) and site != SYSTEM_SITE else None


def frame(name: str, data: Any) -> bytes:
    """One event as it stands on the wire. JSON holds no raw line feed, so one data line is enough."""
    return b"event: " + name.encode() + b"\ndata: " + _encode(data) + b"\n\n"
