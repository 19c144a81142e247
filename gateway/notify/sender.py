"""Sends what the outbox holds: one worker for each way and lane, so that what hangs or fails delays nothing else.

A worker takes the most urgent message of its lane (now `sending` in the ledger), hands it to the way within a time
limit, and writes down how far it came. After a failure it waits, longer each time and with jitter, at most `retry_s`;
a fire that comes meanwhile is tried at once. Nothing waits in memory: the ledger is the queue, so the bound is its.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from contract.errors import ConfigError, RetryLater, WeizhanError
from gateway.control.protocol import Event
from gateway.ledger.store import Store
from gateway.notify import outbox
from gateway.notify.outbox import Lane, Notice, Plans
from gateway.notify.receipts import make_token
from gateway.notify.settings import AppriseChannel, NotifySettings, Person, ScreenChannel, WebhookChannel, channels_of
from gateway.notify.state import NotifyParts
from gateway.notify.targets import AppriseTarget, Letter, NotSent, Outcome, Target, WebhookTarget, prepare_apprise
from gateway.notify.ways import Way
from gateway.tasks import end_task

LANES: tuple[Lane, Lane] = ("fire", "fault")
FIRST_PAUSE_S = 1.0
LEDGER_PAUSE_S = 0.5
STOP_S = 2.0
LOOK_S = 30.0
"""The ledger is looked at this often without being told of anything."""
_log = logging.getLogger(__name__)
Publish = Callable[[Event], bool]
Proven = Callable[[str, str, str], Awaitable[None]]
NewTarget = Callable[[ScreenChannel | AppriseChannel | WebhookChannel, NotifySettings, Person, Publish], Target]


class ScreenTarget:
    """The open pages, by way of the live feed. publish: False when nobody listens to the feed."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish

    async def send(self, letter: Letter) -> Outcome:
        """Tell the feed; whether a screen showed it, only its receipt says."""
        notice = letter.notice
        if notice.kind in ("proof", "test"):
            # A test by hand is to be heard; those of the schedule are not.
            heard = notice.kind == "test"
            data: dict[str, Any] = {"token": notice.token, "channel": "screen", "at_ms": letter.at_ms, "sound": heard}
            event = Event(event="proof", data=data)
        else:
            event = Event(event="notice", data=outbox.view(notice, "sent", letter.at_ms, receipt=letter.receipt))
        if not self._publish(event):
            raise NotSent("no page server is connected to the gateway")
        return Outcome()


def make_target(
    channel: ScreenChannel | AppriseChannel | WebhookChannel, settings: NotifySettings, person: Person, publish: Publish
) -> Target:
    """The way a channel describes. Raises ConfigError when its secret cannot be read."""
    if isinstance(channel, ScreenChannel):
        return ScreenTarget(publish)
    if isinstance(channel, WebhookChannel):
        return WebhookTarget(channel, settings, person.language)
    return AppriseTarget(channel, settings, person.language)


class Sender:
    """All workers. `async with` takes up what the ledger holds and runs them.

    Args:
        publish: tells the screens of an event; False when nobody listens.
        proven: called with (token, `PERSON/CHANNEL`, hop) when a test of the path went out.
        now_ms: wall clock, ms UTC.
        new_target: makes the way a channel describes. uniform: a number between two, for jitter.

    Raises:
        ConfigError: a secret cannot be read.
    """

    def __init__(
        self,
        parts: NotifyParts,
        store: Store,
        publish: Publish,
        proven: Proven,
        now_ms: Callable[[], int],
        *,
        new_target: NewTarget = make_target,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._parts = parts
        self._store = store
        self._publish = publish
        self._proven = proven
        self._now_ms = now_ms
        self._new_target = new_target
        self.uniform = uniform
        self._workers: dict[tuple[str, str, Lane], _Worker] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.stopping = False
        self.counts: Counter[str] = Counter()
        """Messages planned since the start, and how they ended: sent, failed, expired, stopped; tries that failed."""

    async def __aenter__(self) -> Sender:
        settings = self._parts.settings
        if any(channel.kind == "apprise" for _, channel in channels_of(settings)):
            await asyncio.to_thread(prepare_apprise)
        targets = {
            (person.id, channel.id): self._new_target(channel, settings, person, self._publish)
            for person in settings.people
            for channel in person.channels
        }
        waiting = await self._store.run(_take_up)
        for key, target in targets.items():
            way = self._parts.ways.all[key]
            way.pending = waiting.get(key, 0)
            for lane in LANES:
                self._workers[(*key, lane)] = _Worker(self, way, lane, target)
        for (person, channel, lane), worker in self._workers.items():
            name = f"notify.{person}.{channel}.{lane}"
            self._tasks.append(asyncio.create_task(worker.run(), name=name))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stopping = True
        for worker in self._workers.values():
            worker.wake()
        if self._tasks:
            # What is under way may end, so that its result is known and it is not sent again; but not for long.
            await asyncio.wait(self._tasks, timeout=STOP_S)
        await asyncio.gather(*(end_task(task) for task in self._tasks))
        self._tasks.clear()

    def planned(self, plans: Plans) -> None:
        """These messages are durable and may go out. Never waits."""
        for notice in plans.notices:
            self.counts["planned"] += 1
            worker = self._workers.get((notice.person, notice.channel, notice.lane))
            if worker is not None:
                worker.way.pending += 1
                worker.wake()

    def status(self) -> dict[str, Any]:
        """Counters and ways, for `status`."""
        return {"counts": dict(self.counts), **self._parts.ways.view()}

    # --- for the workers -----------------------------------------------------------------------------------------

    async def claim(self, way: Way, lane: Lane) -> Notice | None:
        """The next message of a way and lane. Raises RetryLater when the ledger cannot be written."""
        work = partial(outbox.claim, person=way.person, channel=way.channel, lane=lane, now_ms=self._now_ms())
        taken, ended = await self._store.run(work)
        for _, state in ended:
            self.counts[state] += 1
            way.pending = max(0, way.pending - 1)
        return taken

    def letter(self, notice: Notice) -> Letter:
        """The message with its receipt."""
        settings, now_ms = self._parts.settings, self._now_ms()
        token = make_token(self._parts.key, notice.id, now_ms + round(settings.receipt_hours * 3_600_000))
        url = f"{settings.public_url}/r/{token}" if settings.public_url is not None else None
        return Letter(notice, now_ms, token, url)

    async def sent(self, way: Way, notice: Notice, outcome: Outcome) -> None:
        """Write down that it was taken."""
        now_ms = self._now_ms()
        await self._settle(
            partial(outbox.settle_sent, number=notice.id, at_ms=now_ms, delivered=outcome.delivered, read=outcome.read)
        )
        self.counts["sent"] += 1
        way.pending = max(0, way.pending - 1)
        if way.went_out(now_ms):
            _log.info("messages to %s by %s go out again", way.person, way.channel)
        if way.kind != "screen" or notice.kind == "test":
            self._publish(Event(event="notice", data=outbox.view(notice, "sent", now_ms)))
        if notice.kind == "proof":
            with contextlib.suppress(WeizhanError):  # a proof that cannot be noted is one that failed
                await self._proven(notice.token, f"{way.person}/{way.channel}", "sent")
                if outcome.delivered:
                    await self._proven(notice.token, f"{way.person}/{way.channel}", "delivered")

    async def failed(self, way: Way, notice: Notice, why: str) -> None:
        """Write down that it was not."""
        self.counts["tries_failed"] += 1
        state = await self._settle(partial(outbox.settle_failed, number=notice.id, why=why))
        if state == "stopped":
            self.counts["stopped"] += 1
            way.pending = max(0, way.pending - 1)
        if way.failed(self._now_ms(), why):
            _log.warning("messages to %s by %s do not go out: %s", way.person, way.channel, why)
        self._publish(Event(event="notice", data=outbox.view(notice, "failing", self._now_ms(), error=why)))

    async def _settle(self, work: Callable[..., Any]) -> Any:
        """Write a result down, however long the ledger takes to be writable: nothing else of that lane goes out
        before, so that a message is not sent twice."""
        while True:
            try:
                return await self._store.run(work)
            except RetryLater:
                await asyncio.sleep(LEDGER_PAUSE_S)

    @property
    def retry_s(self) -> float:
        """Longest pause between two tries."""
        return self._parts.settings.retry_s


class _Worker:
    """One lane of one way."""

    def __init__(self, sender: Sender, way: Way, lane: Lane, target: Target) -> None:
        self.way = way
        self._sender = sender
        self._lane = lane
        self._target = target
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There is something to send."""
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled."""
        pause_s = min(FIRST_PAUSE_S, self._sender.retry_s)
        while not self._sender.stopping:
            self._wake.clear()
            try:
                notice = await self._sender.claim(self.way, self._lane)
            except RetryLater:
                await asyncio.sleep(LEDGER_PAUSE_S)
                continue
            if notice is None and not self._sender.stopping:
                await _wait(self._wake, LOOK_S)
                continue
            if notice is None or await self._send(notice):
                pause_s = min(FIRST_PAUSE_S, self._sender.retry_s)
                continue
            wait_s = pause_s * self._sender.uniform(0.7, 1.0)
            pause_s = min(pause_s * 2, self._sender.retry_s)
            await self._pause(wait_s)

    async def _pause(self, wait_s: float) -> None:
        """Wait after a failure; a new fire and a stop end the waiting."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + wait_s
        while (left_s := until_s - loop.time()) > 0 and not self._sender.stopping:
            self._wake.clear()
            await _wait(self._wake, left_s)
            if self._lane == "fire" and self._wake.is_set():
                return

    async def _send(self, notice: Notice) -> bool:
        try:
            outcome = await self._target.send(self._sender.letter(notice))
        except (NotSent, ConfigError) as exc:
            why = str(exc)
        except Exception as exc:  # noqa: BLE001 # the supervisor of this way: no message may end it
            why = f"{type(exc).__name__} while sending"
        else:
            await self._sender.sent(self.way, notice, outcome)
            return True
        await self._sender.failed(self.way, notice, why)
        return False


def _take_up(connection: Any) -> dict[tuple[str, str], int]:
    outbox.recover(connection)
    return outbox.pending(connection)


async def _wait(event: asyncio.Event, wait_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await event.wait()
