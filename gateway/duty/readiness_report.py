"""Readiness over a span: as it was shown, as it follows from the primary rows, and where the two differ."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

from gateway.duty.readiness_rows import ANSWERING, DEDUCTION, READY, Deduction, Ready
from gateway.duty.recompute import Collected, recompute
from gateway.ledger.entries import entries
from gateway.state import last_alive_ms
from rules.readiness import Verdict
from rules.readiness_spans import Deducted, Span, Summary, cut, first_difference, summed

LOCAL_MEASURE = "本地指标，非官方评分 / local measure, not an official score"


class Account(NamedTuple):
    """A station in a span (ms UTC). until_ms: no later than what is recorded. deductions: the longest first."""

    site: str
    from_ms: int
    until_ms: int
    spans: list[Span]
    deductions: list[Deducted]

    @property
    def summary(self) -> Summary:
        """How long it was what."""
        return summed(self.spans, self.from_ms, self.until_ms)


class Difference(NamedTuple):
    """The first thing that is not the same in the rows that were shown and in what follows from the primary rows."""

    site: str
    at_ms: int
    what: str
    shown: str
    derived: str


def recorded_until(connection: sqlite3.Connection, until_ms: int) -> int:
    """Until then, but no later than a gateway is known to have run: afterwards nobody knows anything."""
    return min(until_ms, last_alive_ms(connection))


def stations(connection: sqlite3.Connection) -> list[str]:
    """Every site that has or had a station."""
    return sorted({row.site for row in entries(connection, ANSWERING)})


def shown(connection: sqlite3.Connection, site: str, from_ms: int, until_ms: int) -> Account:
    """As the rows say that were shown."""
    until_ms = recorded_until(connection, until_ms)
    ready = entries(connection, READY, sites=(site,), from_ms=from_ms, until_ms=until_ms)
    taken = entries(connection, DEDUCTION, sites=(site,), from_ms=from_ms, until_ms=until_ms)
    return account_of(site, ready, taken, from_ms, until_ms)


def account_of(site: str, ready: Iterable[Ready], taken: Iterable[Deduction], from_ms: int, until_ms: int) -> Account:
    """Of rows of a station; what is open lasts until until_ms."""
    spans = [
        Span(row.from_ms, _end(row.until_ms, until_ms), _verdict(row.level, row.score, row.unknown)) for row in ready
    ]
    deducted = [
        Deducted(
            row.from_ms, _end(row.until_ms, until_ms), row.alarm, row.rule, row.subject, row.level, row.points,
            row.risk is not None,
        )
        for row in taken
    ]  # fmt: skip
    return _account(site, from_ms, until_ms, spans, deducted)


def derived(connection: sqlite3.Connection, sites: Iterable[str], from_ms: int, until_ms: int) -> dict[str, Account]:
    """As it follows from the primary rows. Raises LostRow."""
    until_ms = recorded_until(connection, until_ms)
    found = Collected()
    recompute(connection, until_ms, found)
    return {
        site: _account(site, from_ms, until_ms, found.spans.get(site, []), found.deductions.get(site, []))
        for site in sites
    }


def within(account: Account, from_ms: int) -> Account:
    """The same from then on."""
    return _account(account.site, from_ms, account.until_ms, account.spans, account.deductions)


def as_data(account: Account) -> dict[str, Any]:
    """As JSON can hold it: percents with the raw milliseconds they are made of, and each deduction."""
    summary = account.summary
    return {
        "site": account.site,
        "note": LOCAL_MEASURE,
        "from_ms": account.from_ms,
        "until_ms": account.until_ms,
        "ms": summary.ms,
        "percent": {level: summary.percent(level) for level in summary.ms},
        "score": summary.score,
        "spans": [{**span._asdict(), "verdict": span.verdict._asdict()} for span in account.spans],
        "deductions": [each._asdict() for each in account.deductions],
    }


def difference(a: Account, b: Account) -> Difference | None:
    """The first one between what was shown (a) and what was derived (b); None: they are the same to the millisecond."""
    apart = first_difference(a.spans, b.spans)
    if apart is not None:
        at_ms, left, right = apart
        return Difference(a.site, at_ms, "readiness", _words(left), _words(right))
    for one, other in zip(sorted(a.deductions), sorted(b.deductions), strict=False):
        if one != other:
            first = min(one, other)
            return Difference(a.site, first.from_ms, f"deduction by alarm {first.alarm}", str(one), str(other))
    if len(a.deductions) != len(b.deductions):
        longer = max(a.deductions, b.deductions, key=len)
        extra = sorted(longer)[min(len(a.deductions), len(b.deductions))]
        is_shown = longer is a.deductions
        what = f"deduction by alarm {extra.alarm}"
        words = ("nothing", str(extra))
        return Difference(a.site, extra.from_ms, what, words[is_shown], words[not is_shown])
    return None


def _account(site: str, from_ms: int, until_ms: int, spans: list[Span], taken: list[Deducted]) -> Account:
    inside = [
        each._replace(from_ms=max(each.from_ms, from_ms), until_ms=min(each.until_ms, until_ms))
        for each in taken
        if each.from_ms < min(each.until_ms, until_ms) and each.until_ms > from_ms
    ]
    inside.sort(key=lambda each: (each.from_ms - each.until_ms, each))
    return Account(site, from_ms, until_ms, cut(spans, from_ms, until_ms), inside)


def _end(row_ms: int | None, until_ms: int) -> int:
    return until_ms if row_ms is None else row_ms


def _verdict(level: str, score: float | None, unknown: int) -> Verdict:
    return Verdict(level, score, unknown)  # type: ignore[arg-type] # a Level, as it was written


def _words(span: Span | None) -> str:
    if span is None:
        return "nothing"
    score = "" if span.verdict.score is None else f", score {span.verdict.score:g}"
    return f"{span.verdict.level}{score}, {span.verdict.unknown} unknown, {span.from_ms} to {span.until_ms}"
