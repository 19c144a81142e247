"""Who a token stands for now, and what becomes of their open pages when that ends.

Judged from the ledger at every request, so that what an administrator ends is over at once, also when the gateway does
not answer. Streams are open for hours: `run` looks at their sessions every two seconds and ends those that hold no
more. While the ledger cannot be read nobody is let in; open streams go on, because an alarm must still be told.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from contract.errors import RetryLater
from contract.grid import Grid
from gateway.control.client import ControlError
from gateway.ledger.records import Session, User
from gateway.web.access import WALL, Person, csrf_of, token_hash
from gateway.web.stream import Hub

LOOK_S = 2.0
"""Open streams are looked at this often; with reading the ledger what was ended is over within 5 s."""
TELL_S = 60.0
"""When sessions were last used is written down this often."""
MANNED = frozenset({"duty", WALL})
"""Roles whose open page counts as used: somebody looks at it."""


class Rights(NamedTuple):
    """What a stream was begun with."""

    role: str
    area: str


class Sessions:
    """Finds people by their tokens.

    Args:
        read: gives session and user of a hash, without holding up the loop. Raises RetryLater.
        ask: sends a command to the gateway.
        grid: the tree as it is now.
        idle_ms: a browser's session nobody used for so long holds no more.
    """

    def __init__(
        self,
        read: Callable[[str], Awaitable[tuple[Session, User | None] | None]],
        ask: Callable[..., Awaitable[Any]],
        grid: Callable[[], Grid],
        hub: Hub,
        now_ms: Callable[[], int],
        idle_ms: int,
    ) -> None:
        self._read = read
        self._ask = ask
        self._grid = grid
        self._hub = hub
        self._now_ms = now_ms
        self._idle_ms = idle_ms
        self._used: dict[str, int] = {}
        self._untold: set[str] = set()
        self.ended: set[str] = set()
        """Hashes of sessions signed out here; gone with the process, as by then the ledger knows."""

    async def find(self, token: str, kinds: frozenset[str]) -> Person | None:
        """Who a token stands for; None for one that is not known, is of another kind, or holds no more."""
        key = token_hash(token)
        found = await self._of(key)
        if found is None or found[0].kind not in kinds:
            return None
        session, user = found
        rights = _rights(session, user)
        via = (session.name or "token") if session.kind == "token" else ""
        name = user.name if user is not None else session.name
        return Person(name, rights.role, csrf_of(token), rights.area, via, session.read_only, key)

    def use(self, key: str) -> None:
        """A session was used by somebody."""
        self._used[key] = self._now_ms()
        self._untold.add(key)

    async def run(self) -> None:
        """End the streams of sessions that hold no more, and write down when sessions were used, until cancelled."""
        loop = asyncio.get_running_loop()
        tell_at = loop.time() + TELL_S
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()
            if loop.time() >= tell_at:
                tell_at = loop.time() + TELL_S
                await self._tell()

    async def look(self) -> None:
        """End the streams of sessions that hold no more or may now do something else."""
        for key, rights in self._hub.watching().items():
            if rights.role in MANNED and key in self._used:
                self.use(key)
            with contextlib.suppress(RetryLater):
                found = await self._of(key)
                if found is None or _rights(*found) != rights:
                    self._hub.close(key=key)

    async def _of(self, key: str) -> tuple[Session, User | None] | None:
        """Session and user, as long as it holds."""
        found = None if key in self.ended else await self._read(key)
        if found is None:
            return None
        session, user = found
        now_ms = self._now_ms()
        if session.expires_ms <= now_ms or session.kind == "code":
            return None
        if session.kind == WALL:
            return session, None
        if user is None or user.disabled_ms is not None or user.one_time_until_ms is not None:
            return None
        if session.kind == "token":
            return found if self._fits(session, user) else None
        used_ms = max(self._used.get(key, 0), session.used_ms, session.created_ms)
        return found if now_ms - used_ms < self._idle_ms else None

    def _fits(self, token: Session, user: User) -> bool:
        """Whether a token is still no more than its person, who may have another role or area since."""
        if token.role != user.role and user.role != "administrator":
            return False
        grid = self._grid()
        mine, theirs = grid.reach(user.area), grid.reach(token.area)
        return mine is None or (theirs is not None and theirs <= mine)

    async def _tell(self) -> None:
        keys, self._untold = self._untold, set()
        if not keys:
            return
        try:
            await self._ask("session.used", "local", used={key: self._used[key] for key in keys})
        except (RetryLater, ControlError):
            self._untold |= keys
        long_ago = self._now_ms() - self._idle_ms
        self._used = {key: at for key, at in self._used.items() if at > long_ago}
        self._untold &= set(self._used)


def _rights(session: Session, user: User | None) -> Rights:
    if user is None:
        return Rights(WALL, session.area)
    return Rights(session.role or user.role, session.area or user.area)
