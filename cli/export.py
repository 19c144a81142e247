"""Writing the history of a point to a file that a spreadsheet or a script can read."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from cli.settings import Settings
from contract.errors import ConfigError
from contract.profile import ProfileLibrary
from contract.site import load_site
from gateway.history import open_history
from gateway.history.base import History
from gateway.ledger.reader import LedgerReader
from gateway.ledger.store import FILE
from gateway.settings import GatewaySettings

SAMPLE = ("time", "value", "quality", "observed_ms")
BUCKET = ("time", "min", "mean", "max", "count", "start_ms")
PAGE = 10_000
"""Samples read at once."""


class Range(NamedTuple):
    """From (inclusive) to (exclusive), ms UTC."""

    from_ms: int
    to_ms: int

    @classmethod
    def parse(cls, start: str, end: str) -> Range:
        """Two ISO 8601 times. Raises ConfigError for what is no time, or an empty range."""
        span = cls(_ms("--from", start), _ms("--to", end))
        if span.from_ms >= span.to_ms:
            raise ConfigError(f"--to: got {end}, want later than --from {start}.")
        return span


async def export_history(
    settings: Settings, site: str, point: str, span: Range, output: Path, bucket_s: int | None
) -> int:
    """Write the samples (or buckets) of a point; gives the number of rows.

    Raises:
        ConfigError: the file's ending is neither .csv nor .jsonl; nobody knows the point; it has no buckets.
        RetryLater: the store is away.
    """
    if output.suffix not in (".csv", ".jsonl"):
        raise ConfigError(f"--output: got {output.name!r}, want a name ending in .csv or .jsonl.")
    assert settings.gateway is not None
    _check_point(settings.gateway, site, point, bucket_s is not None)
    history = open_history(settings.history, settings.gateway.data_dir, read_only=True)
    async with history:
        rows = await (
            _samples(history, site, point, span) if bucket_s is None else _buckets(history, site, point, span, bucket_s)
        )
    _write(output, rows, SAMPLE if bucket_s is None else BUCKET)
    return len(rows)


def _check_point(gateway: GatewaySettings, site: str, point: str, buckets: bool) -> None:
    """Refuse a point nobody knows, and buckets of what is no number."""
    library = ProfileLibrary(gateway.profiles)
    device, _, name = point.partition("/")
    sites = {loaded.site: loaded for loaded in (load_site(file, library) for file in gateway.sites)}
    profiles = {placed.entry.id: placed.profile for placed in sites[site].placed()} if site in sites else {}
    ledger = gateway.data_dir / FILE
    if ledger.is_file():
        with LedgerReader(ledger) as reader:
            approved = [d for d in reader.approved_devices() if d.site == site and d.profile in library]
        profiles |= {d.device: library[d.profile] for d in approved}
    if device not in profiles:
        known = ", ".join(sorted(profiles)) or f"a site of {', '.join(sorted(sites))}"
        raise ConfigError(f"--point: got device {site}/{device}, want one of {known}.")
    found = profiles[device].point(name)
    if found is None:
        known = ", ".join(p.name for p in profiles[device].points_for(None)[:40])
        raise ConfigError(f"--point: got {name!r} of {device}, want one of {known}.")
    if buckets and not found.is_number:
        raise ConfigError(f"--bucket-s: got it for {point}, which is no number. Leave it out.")


async def _samples(history: History, site: str, point: str, span: Range) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    from_ms = span.from_ms
    while True:
        samples = await history.raw(site, point, from_ms, span.to_ms, PAGE)
        rows += [
            {"time": _iso(s.observed_ms), "value": s.value, "quality": s.quality, "observed_ms": s.observed_ms}
            for s in samples
        ]
        if len(samples) < PAGE:
            return rows
        from_ms = samples[-1].observed_ms + 1


async def _buckets(history: History, site: str, point: str, span: Range, bucket_s: int) -> list[dict[str, Any]]:
    buckets = await history.read(site, point, span.from_ms, span.to_ms, bucket_s * 1000)
    return [
        {"time": _iso(b.start_ms), "min": b.min, "mean": b.mean, "max": b.max, "count": b.count, "start_ms": b.start_ms}
        for b in buckets
    ]


def _write(output: Path, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    with output.open("w", encoding="utf-8", newline="") as file:
        if output.suffix == ".jsonl":
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            return
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([_cell(row[column]) for column in columns] for row in rows)


def _cell(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula gets an apostrophe in front; numbers stay numbers."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


def _ms(option: str, text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise ConfigError(f"{option}: got {text!r}, want a time such as 2026-03-01T08:00+08:00.") from exc
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
