"""Signing in: Argon2id in threads, one-time passwords, the rules for new ones. brake.py holds up who guesses."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import yaml
from argon2.exceptions import InvalidHashError, VerificationError

from gateway.ledger.records import User
from gateway.users import hasher
from gateway.web.access import new_token
from gateway.web.brake import Brake, network_of
from gateway.web.receipts import Brake as Knocks
from gateway.web.texts import msgid

MIN_LENGTH = 8
MAX_LENGTH = 256
PENDING_S = 30 * 60.0
"""How long somebody who was let in by a one-time password may take to choose one of their own."""
DAY_MS = 86_400_000
AT_ONCE = max(1, min(2, (os.cpu_count() or 1) - 1))
"""Verifications at once: each takes a core and 19 MiB for 40 ms, and one core is the gateway's."""
WAITING = 60
"""Further ones that may wait, and as many of those at a known device; beyond that people are told to try again."""
NOTED_S = 60.0
NOTED = 60
"""Tries held up by the brake that are written down within NOTED_S; each is a row of the audit chain for ever."""

COMMON = Path(__file__).with_name("common_passwords.yaml")
"""Passwords that are guessed first."""

Outcome = Literal["ok", "first", "wrong", "expired", "used", "disabled", "braked", "busy"]


class Result(NamedTuple):
    """What a try to sign in gave.

    first: the password was right, and a new one must be chosen: it was a one-time one, or is older than the policy lets
    it be. rehashed: the password's hash by today's parameters, where the kept one has others.
    """

    outcome: Outcome
    user: User | None = None
    rehashed: str | None = None


class Policy(NamedTuple):
    """What is asked of a password beside its length and that it is not guessed first: nothing, unless assessors ask."""

    classes: int = 0
    """Of capital letters, small letters, digits, other characters: so many."""
    days: float = 0
    """A new one is asked for after so many days; 0: never."""


class SignIn:
    """Verifies passwords and keeps the people who must choose one. Nothing of a password is logged or stored."""

    def __init__(self, now_ms: Callable[[], int], monotonic: Callable[[], float], policy: Policy | None = None) -> None:
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._policy = policy or Policy()
        self._hasher = hasher()
        self._brake = Brake(monotonic)
        self._slots = asyncio.Semaphore(AT_ONCE)
        # Strangers stand in a line of their own before the common one, so that however many of them try from wherever,
        # somebody at a known device stands behind AT_ONCE of them at most.
        self._strangers = asyncio.Semaphore(AT_ONCE)
        self._waiting = {True: 0, False: 0}
        """By whether it is at a known device."""
        self._noted = Knocks(monotonic, tries=1, window_s=NOTED_S)
        self._noted_in_all = Knocks(monotonic, tries=NOTED, window_s=NOTED_S)
        self._nobody: str | None = None
        self._common: frozenset[str] = frozenset()
        self._pending: OrderedDict[str, tuple[str, Since, float]] = OrderedDict()

    async def attempt(self, user: User | None, name: str, password: str, address: str, device: str = "") -> Result:
        """Check a password. `user` is None for a name nobody has: the same work is done then.

        device: the one that signed in to this account before; '': none that is known.
        """
        address = network_of(address)
        held = self._brake.holds(name, address, device)
        # Nobody guesses a one-time password, so whoever was given one gets in at a new desk however much others guess.
        if held and (self._brake.holds_address(address) or not self._has_one_time(user)):
            return Result("braked")
        if self._waiting[bool(device)] >= WAITING:
            return Result("busy")
        # Counted as failed until shown right, so that tries sent at once do not slip past the brake together.
        self._brake.failed(name, address, device)
        password_hash = user.password_hash if user else await self._nobodys_hash()
        right = await self._verify(password_hash, password, known=bool(device))
        if not right or user is None:
            return Result("braked" if held else "wrong")
        self._brake.succeeded(name, address, device)
        if user.disabled_ms is not None:
            return Result("disabled", user)
        if user.one_time_until_ms is not None:
            if user.one_time_used_ms is not None:
                return Result("used", user)
            return Result("first" if user.one_time_until_ms > self._now_ms() else "expired", user)
        if self._hasher.check_needs_rehash(user.password_hash):
            return Result("first" if self.is_old(user) else "ok", user, await self.hash(password))
        return Result("first" if self.is_old(user) else "ok", user)

    def is_noted(self, outcome: Outcome, name: str, address: str) -> bool:
        """Whether a try that failed is written down: every password that was looked at; of those that were held up one
        a minute of an account and address, and NOTED in all, so that nobody fills the ledger by knocking.
        """
        if outcome != "braked":
            return outcome != "busy"
        return self._noted.allows(f"{network_of(address)} {name}") and self._noted_in_all.allows("")

    def _has_one_time(self, user: User | None) -> bool:
        """Whether a one-time password of this account waits for its use."""
        if user is None or user.disabled_ms is not None or user.one_time_used_ms is not None:
            return False
        return user.one_time_until_ms is not None and user.one_time_until_ms > self._now_ms()

    def is_old(self, user: User) -> bool:
        """Whether the policy asks for a new password."""
        return 0 < self._policy.days * DAY_MS < self._now_ms() - user.password_ms

    async def warm(self) -> None:
        """Read the common passwords, and make the hash that tries for unknown names are checked against."""
        await self._nobodys_hash()
        self._common = frozenset(
            yaml.safe_load(await asyncio.to_thread(COMMON.read_text, "utf-8"))["passwords"].split()
        )

    def pend(self, user: User) -> str:
        """A token that lets this person choose a password within half an hour, and nothing else."""
        token = new_token()
        self._pending[token] = (user.name, _since(user), self._monotonic() + PENDING_S)
        while len(self._pending) > 100:
            self._pending.popitem(last=False)
        return token

    def pending(self, token: str | None) -> str | None:
        """Whose token it is; None when unknown or too old."""
        name, _, until = self._pending.get(token or "", _NOBODYS)
        return name if name and until > self._monotonic() else None

    def is_pending(self, token: str | None, user: User) -> bool:
        """Whether the password this token was given for is still the user's: no other was made since."""
        return self._pending.get(token or "", _NOBODYS)[:2] == (user.name, _since(user))

    def settle(self, name: str) -> None:
        """A password was chosen: every pending token of the person is dead."""
        for token in [token for token, (whose, *_) in self._pending.items() if whose == name]:
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
        if classes_in(password) < self._policy.classes:
            return _CLASSES[self._policy.classes]
        if await self._verify(user.password_hash, password):
            return msgid("The new password must differ from the one before.")
        return None

    async def is_right(self, user: User, password: str) -> bool:
        """Whether it is the password of somebody who is signed in already. The caller brakes."""
        return await self._verify(user.password_hash, password)

    async def hash(self, password: str) -> str:
        """Argon2id hash of a password."""
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def _nobodys_hash(self) -> str:
        if self._nobody is None:
            self._nobody = await self.hash(new_token())
        return self._nobody

    async def _verify(self, password_hash: str, password: str, *, known: bool = True) -> bool:
        """known: by somebody at a known device, or signed in already."""
        self._waiting[known] += 1
        try:
            async with contextlib.AsyncExitStack() as turn:
                if not known:
                    await turn.enter_async_context(self._strangers)
                await turn.enter_async_context(self._slots)
                return await asyncio.to_thread(self._matches, password_hash, password[: MAX_LENGTH + 1])
        finally:
            self._waiting[known] -= 1

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False


Since = tuple[int, int | None]
_NOBODYS: tuple[str, Since, float] = ("", (0, None), 0.0)


def _since(user: User) -> Since:
    """What tells a password from the ones before and after it; its hash may be made anew meanwhile."""
    return user.password_ms, user.one_time_until_ms


_CLASSES = {
    1: msgid("Use letters, digits or other characters."),
    2: msgid("Use two of these: capital letters, small letters, digits, other characters."),
    3: msgid("Use three of these: capital letters, small letters, digits, other characters."),
    4: msgid("Use all of these: capital letters, small letters, digits, other characters."),
}


def classes_in(password: str) -> int:
    """How many kinds of characters there are: capital letters, small letters, digits, others (Chinese ones too)."""
    kinds = {"A" if c.isupper() else "a" if c.islower() else "0" if c.isdigit() else "-" for c in password}
    return len(kinds)
