"""The brake on guessing passwords: one who guesses is stopped, one who has signed in here before is not.

A try without a known device counts for account and address together, for the address, and for the account. Who is at a
device that signed in to the account before (a signed cookie) is counted for that device alone, so that a stranger who
guesses, even from behind the same address, cannot lock the duty desk out.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import NamedTuple

from gateway.ledger.secret import is_signed, sign

TRIES = 5
"""Failures of an account from an address, or from a known device, within WINDOW_S."""
WINDOW_S = 15 * 60.0
ADDRESS_TRIES = 20
"""Failures from an address, whatever the account, within a minute; then all of it waits for the minute to pass."""
ADDRESS_S = 60.0
ACCOUNT_TRIES = 25
"""Failures of an account from devices it was never signed in at, wherever they are, within WINDOW_S."""
DEVICE_DAYS = 180
"""How long a device stays known after a sign-in."""
DAY_MS = 86_400_000


class Limit(NamedTuple):
    """At most so many failures within so long."""

    tries: int
    window_s: float


PAIR = Limit(TRIES, WINDOW_S)
ADDRESS = Limit(ADDRESS_TRIES, ADDRESS_S)
ACCOUNT = Limit(ACCOUNT_TRIES, WINDOW_S)
DEVICE = Limit(TRIES, WINDOW_S)
Key = tuple[Limit, str, str]


class Brake:
    """Counts failures. device: '' for one that is not known."""

    def __init__(self, monotonic: Callable[[], float], size: int = 40_000) -> None:
        self._monotonic = monotonic
        self._size = size
        self._failures: OrderedDict[Key, deque[float]] = OrderedDict()

    def holds(self, name: str, address: str, device: str = "") -> bool:
        """Whether there were too many failures lately."""
        return any(len(self._late(key)) >= key[0].tries for key in _keys(name, address, device))

    def holds_address(self, address: str) -> bool:
        """Whether there were too many from that address, whatever the account."""
        return len(self._late((ADDRESS, "", address))) >= ADDRESS.tries

    def failed(self, name: str, address: str, device: str = "") -> None:
        """Note a failure. When the table is full what was not heard of for longest is forgotten."""
        for key in _keys(name, address, device):
            self._failures.setdefault(key, deque(maxlen=key[0].tries)).append(self._monotonic())
            self._failures.move_to_end(key)
        while len(self._failures) > self._size:
            self._failures.popitem(last=False)

    def succeeded(self, name: str, address: str, device: str = "") -> None:
        """The try just noted was right: it is no failure, and those of this pair or device are forgotten."""
        for key in _keys(name, address, device):
            if key[0] in (ADDRESS, ACCOUNT):
                if failures := self._failures.get(key):
                    failures.pop()
            else:
                self._failures.pop(key, None)

    def _late(self, key: Key) -> deque[float]:
        failures = self._failures.get(key)
        if failures is None:
            return deque()
        while failures and failures[0] <= self._monotonic() - key[0].window_s:
            failures.popleft()
        return failures


def _keys(name: str, address: str, device: str) -> tuple[Key, ...]:
    if device:
        return ((DEVICE, name, device),)
    return ((PAIR, name, address), (ADDRESS, "", address), (ACCOUNT, name, ""))


def network_of(address: str) -> str:
    """The address failures are counted by: an IPv6 user owns a whole /64, so that is taken as one."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    return str(ipaddress.ip_network(f"{ip}/64", strict=False)) if ip.version == 6 else str(ip)


def device_cookie(head: str, name: str) -> str:
    """Name of the cookie that says that a device signed in to an account: a desk's browser holds one for each."""
    return f"{head}weizhan_device_{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def make_device(secret: bytes, name: str, now_ms: int) -> str:
    """Value of that cookie: when, which device, and the ledger's signature."""
    device = f"{now_ms}.{secrets.token_hex(12)}"
    return f"{device}.{sign(secret, f'device/{name}/{device}')}"


def known_device(secret: bytes, name: str, value: str | None, now_ms: int) -> str:
    """The device a cookie names; '' when it is none of this account, forged, or too old."""
    device, _, code = (value or "")[:200].rpartition(".")
    made, _, number = device.partition(".")
    if not number or not made.isascii() or not made.isdigit():
        return ""
    if not now_ms - DEVICE_DAYS * DAY_MS < int(made) <= now_ms:
        return ""
    return device if is_signed(secret, f"device/{name}/{device}", code) else ""
