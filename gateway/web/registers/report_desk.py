"""The door of the public form: who may send how often, how many at once, which forms and links are ours.

Nothing here is kept of anybody: addresses are counted in memory and forgotten, and what is refused leaves a number. A
form carries a signed, random name; the receipt code follows from it, so that a form that is sent twice is one report.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

from contract.errors import RetryLater
from gateway.control.client import ControlError
from gateway.ledger.secret import is_signed, sign
from gateway.web.link import Link
from gateway.web.receipts import Brake
from gateway.web.settings import ReportForm

HOUR_S = 3600.0
LOOKS = 60
"""Pages of the form an address may load in a minute."""
AT_ONCE = 4
"""Reports that may be on their way in at once; each takes its time to come, and a photo some memory."""
TELL_S = 60.0
"""What was refused is written into the audit trail at most once in this time."""
YOUNGEST_MS = 2000
OLDEST_MS = 6 * 3600 * 1000
"""How old a form may be when it is sent: a person needs some seconds; one left open over night is loaded anew."""
STOP_S = 1.0


class Blank(NamedTuple):
    """A form as it is handed out. name: random, with its time; key: our signature."""

    name: str
    key: str


def link_purpose(site: str) -> str:
    """What the code of a site's printed link is signed for."""
    return f"report/{site}"


def new_form(secret: bytes, now_ms: int) -> Blank:
    """A fresh form."""
    name = f"{secrets.token_urlsafe(16)}.{now_ms}"
    return Blank(name, sign(secret, f"report-form/{name}"))


def is_fresh(secret: bytes, blank: Blank, now_ms: int) -> bool:
    """Whether we handed this form out, not too long and not too short ago."""
    if len(blank.name) > 60 or not blank.name.isascii() or not blank.key.isascii():
        return False
    if not is_signed(secret, f"report-form/{blank.name}", blank.key):
        return False
    return YOUNGEST_MS <= now_ms - int(blank.name.rpartition(".")[2]) <= OLDEST_MS


def receipt_code(secret: bytes, blank: Blank, words: str) -> str:
    """The receipt code of these words (their digest) on this form: sent again it is the same, guessed by nobody."""
    return sign(secret, f"report-receipt/{blank.name}/{words}")


def counted_as(address: str) -> str:
    """What an address counts as: one of IPv6 with all of its network, which is one customer's."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    mapped = ipaddress.IPv6Address(address).ipv4_mapped
    return str(mapped or ipaddress.ip_network(f"{address}/64", strict=False))


class ReportDesk:
    """Counts what comes; knows nothing else. `run` tells the gateway how much was refused."""

    def __init__(self, settings: ReportForm, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._looks = Brake(monotonic, tries=LOOKS)
        self._posts = Brake(monotonic, tries=4 * settings.per_address_hour, window_s=HOUR_S)
        self._senders = Brake(monotonic, tries=settings.per_address_hour, window_s=HOUR_S)
        self._links = Brake(monotonic, tries=settings.per_hour, window_s=HOUR_S)
        self._refused: dict[str, int] = {}
        self._news = asyncio.Event()
        self.busy = 0

    def may_look(self, address: str) -> bool:
        """Whether this address may load the form, or ask for the state of a report."""
        return self._looks.allows(counted_as(address))

    def enter(self, address: str) -> str | None:
        """Take one of the places of those that are sending, or say why not (`address`, `busy`); leave() gives it back.

        Asked before anything of the report is read; who sends forms with mistakes has more tries than reports.
        """
        if not self._posts.allows(counted_as(address)):
            return "address"
        if self.busy >= AT_ONCE:
            return "busy"
        self.busy += 1
        return None

    def leave(self) -> None:
        """The report is in, or was refused."""
        self.busy -= 1

    def may_send(self, address: str, link: str) -> str | None:
        """Count one more report; why it is refused (`address`, `total`), or None.

        link: the site whose printed link it came by; empty without one. A flood that came without a link keeps nobody
        from reporting who stands before the printed one.
        """
        if not self._senders.allows(counted_as(address)):
            return "address"
        return None if self._links.allows(link) else "total"

    def refuse(self, why: str) -> None:
        """Note that a report was refused."""
        self._refused[why] = self._refused.get(why, 0) + 1
        self._news.set()

    async def run(self, link: Link) -> None:
        """Tell the gateway now and then how much was refused, and once more at the end."""
        try:
            while True:
                await self._news.wait()
                await asyncio.sleep(TELL_S)
                await self._tell(link)
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await self._tell(link)

    async def _tell(self, link: Link) -> None:
        counts, self._refused = self._refused, {}
        self._news.clear()
        if not counts:
            return
        told = False
        try:
            await link.ask("hazard.refused", "public", counts=counts)
            told = True
        except (RetryLater, ControlError):
            pass  # told with the next ones
        finally:
            if not told:
                for why, count in counts.items():
                    self._refused[why] = self._refused.get(why, 0) + count
                self._news.set()
