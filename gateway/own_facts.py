"""Gathers what the gateway knows of itself: disk, files, certificates and counts are looked at beside the loop."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from contract.errors import RetryLater
from gateway.ledger.reader import LedgerReader
from gateway.own import Facts

EVERY_S = 10.0
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _UTC_TIME, _GENERAL_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0


class Live(NamedTuple):
    """Asked for at every look; must not wait."""

    broker_connected: Callable[[], bool]
    history_away: Callable[[], bool]
    history_lag_s: Callable[[], float]
    notify_failing: Callable[[], bool | None]
    backup: Callable[[], tuple[float | None, str | None]] = lambda: (None, None)
    """Age of the latest backup (h) and a word on it."""


class Seen(NamedTuple):
    """What was found on the disk at the last look."""

    disk_free_pct: float | None = None
    ledger_mb: float | None = None
    certificate_days: float | None = None
    quarantine_count: float | None = None


class OwnFacts:
    """Looks at the disk now and then; `run` it as a task.

    Args:
        ledger: its file; the disk it stands on is the one that counts.
        certificates: PEM files in use.
        live: what is known without looking.
        now_ms: wall clock.
    """

    def __init__(
        self,
        ledger: Path,
        certificates: Iterable[Path],
        live: Live,
        now_ms: Callable[[], int],
        *,
        every_s: float = EVERY_S,
    ) -> None:
        self._ledger = ledger
        self._certificates = tuple(certificates)
        self._live = live
        self._now_ms = now_ms
        self._every_s = every_s
        self._seen = Seen()

    def facts(self) -> Facts:
        """As of now, and of the last look."""
        live = self._live
        age_h, word = live.backup()
        return Facts(
            broker_connected=live.broker_connected(),
            history_away=live.history_away(),
            history_lag_s=round(live.history_lag_s(), 1),
            notify_failing=live.notify_failing(),
            backup_age_h=None if age_h is None else round(age_h, 2),
            backup=word,
            **self._seen._asdict(),
        )

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self._seen = await asyncio.to_thread(look, self._ledger, self._certificates, self._now_ms())
            await asyncio.sleep(self._every_s)


def look(ledger: Path, certificates: Iterable[Path], now_ms: int) -> Seen:
    """What disk and files say now; None for what cannot be read."""
    free_pct = size_mb = refused = None
    with contextlib.suppress(OSError):
        disk = shutil.disk_usage(ledger.parent)
        free_pct = round(100 * disk.free / disk.total, 1)
        files = [ledger, ledger.with_name(f"{ledger.name}-wal")]
        size_mb = round(sum(file.stat().st_size for file in files if file.exists()) / 1e6, 1)
    with contextlib.suppress(RetryLater), LedgerReader(ledger) as reader:
        refused = float(reader.refused_count())
    ends = [end_ms for path in certificates for end_ms in expiries_ms(path)]
    days = round((min(ends) - now_ms) / 86_400_000, 2) if ends else None
    return Seen(free_pct, size_mb, days, refused)


def expiries_ms(path: Path) -> list[int]:
    """When each certificate of a PEM file expires, ms UTC; empty when the file cannot be read."""
    found = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        for match in _PEM.finditer(path.read_bytes()):
            found.append(_expiry_ms(base64.b64decode(match[1])))
    return found


def _expiry_ms(der: bytes) -> int:
    """notAfter of a certificate (RFC 5280, 4.1). Raises ValueError, IndexError for one that is none.

    Certificate SEQUENCE { tbsCertificate SEQUENCE { [0] version, serial, signature, issuer, validity SEQUENCE {
    notBefore, notAfter }, ... } ... }
    """
    (_, certificate), *_ = _elements(der)
    (_, to_be_signed), *_ = _elements(certificate)
    fields = [(tag, content) for tag, content in _elements(to_be_signed) if tag != _VERSION]
    tag, validity = fields[3]
    _, (kind, end) = list(_elements(validity))[:2]
    if tag != _SEQUENCE or kind not in (_UTC_TIME, _GENERAL_TIME):
        raise ValueError("got no validity where it must stand")
    text = end.decode("ascii")
    if kind == _UTC_TIME:  # two digits of a year: 1950 to 2049
        text = ("19" if text >= "50" else "20") + text
    return int(datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp() * 1000)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tags and contents of DER elements, one after the other."""
    at = 0
    while at < len(data):
        tag, size, at = data[at], data[at + 1], at + 2
        if size & 0x80:
            count = size & 0x7F
            size, at = int.from_bytes(data[at : at + count], "big"), at + count
        yield tag, data[at : at + size]
        at += size
