"""What is wrong with a roster: gaps, double duty, people who may not stand there, duty without a break. Pure.

The same function judges what is planned, what somebody is about to plan, and what an import wants to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, time, timedelta, tzinfo
from typing import Literal, NamedTuple

import msgspec

from contract.station import CertificateKind, Post, Station
from gateway.duty.people import Person, local_day
from gateway.ledger.entries import Entry, Kind
from rules.calendar import moment_ms

HORIZON_MS = 7 * 86_400_000
"""How far ahead a roster is judged."""
FindingKind = Literal["few", "gap", "double", "unqualified", "long"]
WORSE: tuple[FindingKind, ...] = ("double", "unqualified", "gap", "few", "long")
"""Which is said when there are several: what is wrong with somebody who is planned comes before who is missing."""


class Duty(msgspec.Struct, frozen=True):
    """Who is planned at a post for the shift that begins then. shift: local time it begins at, `08:00`; ms UTC."""

    post: str
    shift: str
    from_ms: int
    until_ms: int
    people: tuple[int, ...]


class RosterDay(Entry, frozen=True, kw_only=True):
    """The roster of a site for the shifts that begin on a local day. state: planned | past."""

    day: str
    """ISO date."""
    duties: tuple[Duty, ...] = ()


ROSTER = Kind("roster", RosterDay, frozenset({"planned"}))


class Shift(NamedTuple):
    """A shift of a station: the local day and time it begins at, and the moments (ms UTC)."""

    day: date
    begins: str
    from_ms: int
    until_ms: int


class Held(NamedTuple):
    """A person's duty somewhere. day: of the roster it stands in."""

    site: str
    day: str
    duty: Duty


class Finding(NamedTuple):
    """One thing that is wrong. person: 0 where nobody is concerned alone; also: the other site/post of a double duty;
    lacks: certificates; there, want: people, or of a long stretch minutes."""

    kind: FindingKind
    site: str
    post: str
    day: str
    shift: str
    from_ms: int
    until_ms: int
    person: int = 0
    also: str = ""
    lacks: tuple[CertificateKind, ...] = ()
    there: int = 0
    want: int = 0


def shifts_of_day(station: Station, zone: tzinfo, day: date) -> list[Shift]:
    """The shifts that begin on a local day; each lasts until the next one begins, by the clock on the wall."""
    times = sorted(set(station.shifts))
    ends = [*((day, begin) for begin in times[1:]), (day + timedelta(days=1), times[0])]
    found = [
        Shift(day, f"{begin:%H:%M}", moment_ms(day, begin, zone), moment_ms(*end, zone))
        for begin, end in zip(times, ends, strict=True)
    ]
    return [shift for shift in found if shift.from_ms < shift.until_ms]  # not one within a skipped hour


def shifts_between(station: Station, zone: tzinfo, from_ms: int, until_ms: int) -> Iterator[Shift]:
    """The shifts that run at some time of a span, in order."""
    day = local_day(from_ms, zone) - timedelta(days=1)
    while moment_ms(day, time(), zone) < until_ms:
        yield from (s for s in shifts_of_day(station, zone, day) if s.until_ms > from_ms and s.from_ms < until_ms)
        day += timedelta(days=1)


def shift_at(station: Station, zone: tzinfo, at_ms: int) -> Shift:
    """The shift planned for that moment; at a change it is the one that begins."""
    return next(shifts_between(station, zone, at_ms, at_ms + 1))


def judge_roster(
    site: str,
    station: Station,
    zone: tzinfo,
    days: Mapping[str, RosterDay],
    *,
    find: Callable[[int], Person | None],
    listed: int,
    held: Callable[[int], Sequence[Held]],
    span_ms: tuple[int, int],
) -> list[Finding]:
    """What is wrong with a site's roster in a span, in order of time.

    Args:
        days: its roster by ISO date. find: a person who is there. listed: people of the station.
        held: every duty somebody has anywhere, this roster's included.
    """
    found: list[Finding] = []
    if listed < station.crew:
        found.append(Finding("few", site, "", "", "", *span_ms, there=listed, want=station.crew))
    shifts = list(shifts_between(station, zone, *span_ms))
    posts = {post.id: post for post in station.posts}
    planned: dict[tuple[str, str, str], Duty] = {}
    for day in sorted({shift.day.isoformat() for shift in shifts}):
        row = days.get(day)
        for duty in row.duties if row is not None else ():
            planned[day, duty.shift, duty.post] = duty
    for shift in shifts:
        for post in posts.values():
            there = planned.get((shift.day.isoformat(), shift.begins, post.id))
            # One for hours that are no longer those of the shift mans nothing.
            fits = there is not None and (there.from_ms, there.until_ms) == (shift.from_ms, shift.until_ms)
            found += _at_post(site, post, shift, there.people if there is not None and fits else (), find)
    for (day, _, _), duty in planned.items():
        if duty.until_ms > span_ms[0] and duty.from_ms < span_ms[1]:
            found += _of_people(site, station, day, duty, (n for n in duty.people if find(n)), held)
    return sorted(found, key=lambda one: (one.from_ms, one.kind, one.post, one.person))


def _at_post(
    site: str, post: Post, shift: Shift, people: Iterable[int], find: Callable[[int], Person | None]
) -> Iterator[Finding]:
    there = 0
    for number in people:
        person = find(number)
        if person is None:
            continue  # left since; nobody will come
        there += 1
        if lacks := person.lacks(post.certificates, shift.until_ms - 1):
            yield _finding("unqualified", site, post.id, shift, person=number, lacks=lacks)
    if there < post.crew:
        yield _finding("gap", site, post.id, shift, there=there, want=post.crew)


def _finding(
    kind: FindingKind,
    site: str,
    post: str,
    shift: Shift,
    *,
    person: int = 0,
    lacks: tuple[CertificateKind, ...] = (),
    there: int = 0,
    want: int = 0,
) -> Finding:
    when = (shift.day.isoformat(), shift.begins, shift.from_ms, shift.until_ms)
    return Finding(kind, site, post, *when, person=person, lacks=lacks, there=there, want=want)


def _of_people(
    site: str, station: Station, day: str, duty: Duty, people: Iterable[int], held: Callable[[int], Sequence[Held]]
) -> Iterator[Finding]:
    for number in people:
        all_duties = held(number)
        where = (site, duty.post, day, duty.shift, duty.from_ms, duty.until_ms)
        for other in all_duties:
            same = other.site == site and other.duty.post == duty.post and other.duty.from_ms == duty.from_ms
            if not same and other.duty.from_ms < duty.until_ms and duty.from_ms < other.duty.until_ms:
                yield Finding("double", *where, person=number, also=f"{other.site}/{other.duty.post}")
        begin_ms, end_ms = unbroken(duty, (other.duty for other in all_duties))
        longest_ms = int(station.shift_h * 3_600_000)
        # Said once for a stretch, at its last duty.
        if end_ms == duty.until_ms and end_ms - begin_ms > longest_ms:
            yield Finding(
                "long", *where, person=number, there=round((end_ms - begin_ms) / 60_000), want=longest_ms // 60_000
            )


def unbroken(duty: Duty, all_duties: Iterable[Duty]) -> tuple[int, int]:
    """The stretch of duty without a break that this one is part of, ms UTC."""
    begin_ms, end_ms = duty.from_ms, duty.until_ms
    spans = sorted((each.from_ms, each.until_ms) for each in all_duties)
    for from_ms, until_ms in spans:
        if from_ms <= end_ms and until_ms > end_ms:
            end_ms = until_ms
    for from_ms, until_ms in reversed(spans):
        if until_ms >= begin_ms and from_ms < begin_ms:
            begin_ms = from_ms
    return begin_ms, end_ms


def word_of(findings: Iterable[Finding]) -> str:
    """What the point `roster` says of them."""
    kinds = {finding.kind for finding in findings}
    for kind in WORSE:
        if kind in kinds:
            return "gap" if kind == "few" else kind
    return "ok"
