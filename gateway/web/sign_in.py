"""Signing in: Argon2id in threads, one-time passwords, and a brake on guessing."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import OrderedDict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import yaml
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from gateway.ledger.records import User
from gateway.web.access import new_token
from gateway.web.texts import msgid

MIN_LENGTH = 8
MAX_LENGTH = 256
TRIES = 5
WINDOW_S = 15 * 60.0
PENDING_S = 10 * 60.0
AT_ONCE = 2
"""Verifications at once: each takes a core and 19 MiB."""
WAITING = 30
"""Further ones that may wait; beyond that people are told to try again."""

COMMON = Path(__file__).with_name("common_passwords.yaml")
"""Passwords that are guessed first."""

Outcome = Literal["ok", "first", "wrong", "expired", "braked", "busy"]


class Result(NamedTuple):
    """What a try to sign in gave. `first`: a one-time password was right, a new one must be chosen."""

    outcome: Outcome
    user: User | None = None


class Brake:
    """Counts failures for an account and address together, so that a stranger cannot lock out the duty desk."""

    def __init__(self, monotonic: Callable[[], float], size: int = 10_000) -> None:
        self._monotonic = monotonic
        self._size = size
        self._failures: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def holds(self, name: str, address: str) -> bool:
        """Whether there were too many failures lately."""
        failures = self._failures.get((name, address))
        if failures is None:
            return False
        while failures and failures[0] <= self._monotonic() - WINDOW_S:
            failures.popleft()
        return len(failures) >= TRIES

    def failed(self, name: str, address: str) -> None:
        """Note a failure. When the table is full the pair not heard of for longest is forgotten."""
        failures = self._failures.setdefault((name, address), deque(maxlen=TRIES))
        failures.append(self._monotonic())
        self._failures.move_to_end((name, address))
        while len(self._failures) > self._size:
            self._failures.popitem(last=False)

    def succeeded(self, name: str, address: str) -> None:
        """Forget the failures of a pair."""
        self._failures.pop((name, address), None)


def network_of(address: str) -> str:
    """The address failures are counted by: an IPv6 user owns a whole /64, so that is taken as one."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    return str(ipaddress.ip_network(f"{ip}/64", strict=False)) if ip.version == 6 else str(ip)


class SignIn:
    """Verifies passwords and keeps the people who must choose one. Nothing of a password is logged or stored."""

    def __init__(self, now_ms: Callable[[], int], monotonic: Callable[[], float]) -> None:
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._brake = Brake(monotonic)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._nobody: str | None = None
        self._common: frozenset[str] = frozenset()
        self._pending: OrderedDict[str, tuple[str, float]] = OrderedDict()

    async def attempt(self, user: User | None, name: str, password: str, address: str) -> Result:
        """Check a password. `user` is None for a name nobody has: the same work is done then."""
        address = network_of(address)
        if self._brake.holds(name, address):
            return Result("braked")
        if self._waiting >= WAITING:
            return Result("busy")
        # Counted as failed until shown right, so that tries sent at once do not slip past the brake together.
        self._brake.failed(name, address)
        right = await self._verify(user.password_hash if user else await self._nobodys_hash(), password)
        if not right or user is None:
            return Result("wrong")
        self._brake.succeeded(name, address)
        if user.one_time_until_ms is None:
            return Result("ok", user)
        if user.one_time_until_ms <= self._now_ms():
            return Result("expired", user)
        return Result("first", user)

    async def warm(self) -> None:
        """Read the common passwords, and make the hash that tries for unknown names are checked against."""
        await self._nobodys_hash()
        self._common = frozenset(
            yaml.safe_load(await asyncio.to_thread(COMMON.read_text, "utf-8"))["passwords"].split()
        )

    def pend(self, name: str) -> str:
        """A token that lets this person choose a password within ten minutes, and nothing else."""
        token = new_token()
        self._pending[token] = (name, self._monotonic() + PENDING_S)
        while len(self._pending) > 100:
            self._pending.popitem(last=False)
        return token

    def pending(self, token: str | None) -> str | None:
        """Whose token it is; None when unknown or too old."""
        name, until = self._pending.get(token or "", ("", 0.0))
        return name if name and until > self._monotonic() else None

    def settle(self, name: str) -> None:
        """A password was chosen: every pending token of the person is dead."""
        for token in [token for token, (whose, _) in self._pending.items() if whose == name]:
            del self._pending[token]

    async def problem_with(self, user: User, password: str) -> str | None:
        """Why a new password is not taken, as a msgid; None when it is fine."""
        if len(password) < MIN_LENGTH:
            return msgid("Use at least 8 characters.")
        if len(password) > MAX_LENGTH:
            return msgid("Use at most 256 characters.")
        if password.casefold() in self._common or len(set(password)) < 3:
            return msgid("This password is one of the first that are guessed. Choose another.")
        if password.casefold() == user.name.casefold():
            return msgid("The password must not be your name.")
        if await self._verify(user.password_hash, password):
            return msgid("The new password must differ from the one-time password.")
        return None

    async def hash(self, password: str) -> str:
        """Argon2id hash of a password."""
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def _nobodys_hash(self) -> str:
        if self._nobody is None:
            self._nobody = await self.hash(new_token())
        return self._nobody

    async def _verify(self, password_hash: str, password: str) -> bool:
        self._waiting += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(self._matches, password_hash, password[: MAX_LENGTH + 1])
        finally:
            self._waiting -= 1

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False
