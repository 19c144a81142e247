"""Reports of the line doctor (`weizhan line doctor --json`) that people keep: one row each, nothing decided by it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec

from gateway.ledger.entries import Entry, Kind, Pen, Register, SavedEntries, Sheet

Count = Annotated[int, msgspec.Meta(ge=0, le=10**9)]
Ms = Annotated[float, msgspec.Meta(ge=0, le=10**7)]
Text = Annotated[str, msgspec.Meta(max_length=500)]


class Counts(msgspec.Struct, frozen=True):
    """What was asked and what came, over the whole line."""

    asked: Count
    answered: Count
    timeouts: Count
    late_answers: Count = 0
    crc_errors: Count = 0
    noise_bytes: Count = 0
    echoes: Count = 0
    foreign_frames: Count = 0


class Turnaround(msgspec.Struct, frozen=True):
    """A unit's own part of an answer, ms."""

    least: Ms
    median: Ms
    mean: Ms
    p99: Ms
    worst: Ms


class Bin(msgspec.Struct, frozen=True):
    """So many answers took from `from_ms` to `to_ms`."""

    from_ms: Ms
    to_ms: Ms
    count: Count


class Unit(msgspec.Struct, frozen=True):
    """How one address behaved."""

    unit_id: Annotated[int, msgspec.Meta(ge=0, le=255)]
    asked: Count
    answered: Count
    timeouts: Count
    late: Count = 0
    crc_errors: Count = 0
    median_ms: Ms | None = None
    worst_ms: Ms | None = None


class Report(msgspec.Struct, frozen=True):
    """The report as the doctor prints it; what it has beside this is not kept."""

    counts: Counts
    units: Annotated[tuple[Unit, ...], msgspec.Meta(max_length=256)]
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=600)]
    findings: Annotated[tuple[Text, ...], msgspec.Meta(max_length=60)]
    turnaround: Turnaround | None = None
    histogram: Annotated[tuple[Bin, ...], msgspec.Meta(max_length=60)] = ()
    at_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53)] | None = None
    """When it was measured, ms UTC, by the laptop's clock."""
    line: Annotated[str, msgspec.Meta(max_length=100)] = ""
    port: Annotated[str, msgspec.Meta(max_length=200)] = ""
    baud: Annotated[int, msgspec.Meta(ge=0, le=10**7)] = 0
    advised_timeout_s: Annotated[float, msgspec.Meta(ge=0, le=600)] | None = None
    advised_gap_ms: Ms = 0.0
    period_s: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 10.0
    units_carried: Count | None = None
    configured_share: Annotated[float, msgspec.Meta(ge=0, le=1000)] | None = None


class LineReport(Entry, frozen=True, kw_only=True):
    """A kept report. from_ms: when the line was measured; kept_ms: when somebody kept it."""

    line: str
    by: str
    kept_ms: int
    report: Report


LINE_REPORT = Kind("line_report", LineReport, frozenset(), live=False)


class LineReports(Register):
    """Keeps them; has none at hand."""

    def __init__(self, saved: SavedEntries) -> None:
        self._sheet = Sheet(LINE_REPORT, saved)

    def sheets(self) -> Iterable[Sheet[LineReport]]:
        """The reports."""
        return (self._sheet,)

    def keep(self, pen: Pen, site: str, line: str, by: str, report: Report) -> LineReport:
        """Keep one."""
        at_ms = pen.now_ms if report.at_ms is None else min(report.at_ms, pen.now_ms)
        row = LineReport(
            id=self._sheet.take_id(), site=site, state="kept", from_ms=at_ms, until_ms=at_ms, line=line, by=by,
            kept_ms=pen.now_ms, report=report,
        )  # fmt: skip
        return pen.write(self._sheet, row, "keep", by)
