"""Shifts as they are: who is on duty at which post, the handover between crews, the log.

    nobody ──handover──> running ──handover──> running ...

A shift begins by nothing but a handover with two signatures, and ends by the next one: until it is signed, the old
crew is on duty. Somebody may join a running shift, or leave it while others stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from contract.station import CertificateKind, Post, Station
from gateway.duty.handover import HANDOVER, Handover, Item, Side, Signature, Stay, marked
from gateway.duty.log import LOG, LogEntry, Topic
from gateway.duty.people import People, Person
from gateway.duty.proof import Proof
from gateway.duty.roster_check import shift_at
from gateway.installation import Installation
from gateway.ledger.entries import GATEWAY, Entry, Kind, Pen, Register, SavedEntries, Sheet

HOUR_MS = 3_600_000


class Shift(Entry, frozen=True, kw_only=True):
    """A shift as it was. state: running | over. from_ms, until_ms: the handovers that began and ended it.

    planned_ms, ends_ms: as planned. stays: who was where; handover: the sheet it began by; logged_ms: last log entry.
    """

    planned_ms: int
    ends_ms: int
    stays: tuple[Stay, ...] = ()
    handover: int = 0
    logged_ms: int = 0

    @property
    def present(self) -> tuple[Stay, ...]:
        """Who is there now."""
        return tuple(stay for stay in self.stays if stay.until_ms is None)


SHIFT = Kind("shift", Shift, frozenset({"running"}))


class Known(NamedTuple):
    """A station, and its clock."""

    station: Station
    zone: ZoneInfo

    @property
    def handover_ms(self) -> int:
        return int(self.station.handover_s * 1000)


class Manned(NamedTuple):
    """How a post is manned. lacks: (person, certificates that this post asks for and they do not have)."""

    post: Post
    people: tuple[int, ...]
    lacks: tuple[tuple[int, tuple[CertificateKind, ...]], ...]


class Shifts(Register):
    """The running shift and the open handover of every station."""

    def __init__(self, saved: SavedEntries, people: People) -> None:
        self._people = people
        self._shifts = Sheet(SHIFT, saved)
        self._handovers = Sheet(HANDOVER, saved)
        self._log = Sheet(LOG, saved)
        self._running = {row.site: row for row in self._shifts.rows.values()}
        self._open = {row.site: row for row in self._handovers.rows.values()}
        self._known: dict[str, Known] = {}
        self._due: dict[str, int] = {}
        self._due_ms: int | None = None
        self._watchers: list[Callable[[str], None]] = []
        people.watch(self._person_changed)

    def sheets(self) -> tuple[Sheet[Shift], Sheet[Handover], Sheet[LogEntry]]:
        """Shifts, handovers, log."""
        return self._shifts, self._handovers, self._log

    def watch(self, watcher: Callable[[str], None]) -> None:
        """Tell of every shift that began or changed: the site."""
        self._watchers.append(watcher)

    def install(self, installation: Installation) -> None:
        """These stations are manned."""
        self._known = {
            site.site: Known(site.station, ZoneInfo(site.time_zone))
            for site in installation.sites.values()
            if site.station is not None
        }
        self._due = dict.fromkeys(self._known, 0)
        self._due_ms = min(self._due.values(), default=None)

    def _person_changed(self, person: Person) -> None:
        """Their certificates may be others: look again where they are on duty."""
        site = self.where(person.id)
        if site in self._known:
            self._due[site] = self._due_ms = 0

    def next_due_ms(self) -> int | None:
        """When a shift is to change, is too long, a signature or a log entry is overdue, a certificate expires."""
        return self._due_ms

    def advance(self, pen: Pen) -> None:
        """Let time pass up to now."""
        for site in [site for site, due_ms in self._due.items() if due_ms <= pen.now_ms]:
            shift = self._running.get(site)
            if shift is not None and shift.ends_ms <= pen.now_ms and site not in self._open:
                self._open_handover(pen, site, shift)
            self._settle(pen, site)

    # --- what is --------------------------------------------------------------------------------------------------

    def station(self, site: str) -> Station | None:
        """The station of a site, where it has one."""
        known = self._known.get(site)
        return known.station if known is not None else None

    def current(self, site: str) -> Shift | None:
        """The running shift of a site; None: nobody is on duty."""
        return self._running.get(site)

    def handover(self, site: str) -> Handover | None:
        """The handover that waits for signatures."""
        return self._open.get(site)

    def present(self, site: str) -> dict[str, tuple[int, ...]]:
        """Who is on duty now: post -> people."""
        return _by_post(self._present(site))

    def where(self, person: int) -> str | None:
        """The site where somebody is on duty, or is about to take over."""
        for site, shift in self._running.items():
            if any(stay.person == person for stay in shift.present):
                return site
        return next(
            (site for site, row in self._open.items() if any(stay.person == person for stay in row.arriving)), None
        )

    def manned(self, site: str, now_ms: int) -> list[Manned]:
        """How each post of a station is manned now."""
        present = self.present(site)
        found = []
        for post in self._known[site].station.posts:
            people = present.get(post.id, ())
            lacks = [(number, self._lacks(number, post, now_ms)) for number in people]
            found.append(Manned(post, people, tuple(row for row in lacks if row[1])))
        return found

    def _lacks(self, number: int, post: Post, now_ms: int) -> tuple[CertificateKind, ...]:
        person = self._people.find(number)
        # Somebody who is not on the list any more proves nothing.
        return tuple(post.certificates) if person is None else person.lacks(post.certificates, now_ms)

    def _present(self, site: str) -> tuple[Stay, ...]:
        shift = self._running.get(site)
        return shift.present if shift is not None else ()

    # --- people come and go ---------------------------------------------------------------------------------------

    def is_changing(self, site: str, now_ms: int) -> bool:
        """Whether who comes now takes over, instead of joining who is there: no shift runs, a handover is open, or the
        planned change is no further away than the time that a handover may take."""
        shift = self._running.get(site)
        return shift is None or site in self._open or now_ms >= shift.ends_ms - self._known[site].handover_ms

    def sign_on(self, pen: Pen, site: str, stay: Stay, actor: str, *, takes_over: bool) -> Shift | Handover:
        """Somebody comes: joins the running shift, or takes over in a handover."""
        shift = self._running.get(site)
        if takes_over or shift is None:
            row = self._open.get(site) or self._open_handover(pen, site, shift)
            others = tuple(each for each in row.arriving if each.person != stay.person)
            arrived = msgspec.structs.replace(row, arriving=(*others, stay))
            return self._keep_handover(pen, arrived, "arrive", actor)
        joined = msgspec.structs.replace(shift, stays=(*shift.stays, stay))
        return self._keep_shift(pen, joined, "sign_on", actor)

    def sign_off(self, pen: Pen, site: str, person: int, actor: str) -> Shift | Handover:
        """Somebody goes: out of the running shift, or they do not take over after all."""
        row = self._open.get(site)
        if row is not None and any(stay.person == person for stay in row.arriving):
            new = None if row.new is not None and row.new.person == person else row.new
            left = tuple(stay for stay in row.arriving if stay.person != person)
            return self._keep_handover(pen, msgspec.structs.replace(row, arriving=left, new=new), "leave", actor)
        shift = self._running[site]
        stays = tuple(
            msgspec.structs.replace(stay, until_ms=pen.now_ms)
            if stay.person == person and stay.until_ms is None
            else stay
            for stay in shift.stays
        )
        return self._keep_shift(pen, msgspec.structs.replace(shift, stays=stays), "sign_off", actor)

    # --- handover -------------------------------------------------------------------------------------------------

    def sign(self, pen: Pen, row: Handover, side: Side, by: Signature, items: tuple[Item, ...], actor: str) -> Handover:
        """One side signs what stands now; with the second signature the new shift begins."""
        first = row.old or row.new
        sheet = items if first is None else marked(items, row.items)
        signed = msgspec.structs.replace(
            row, old=by if side == "old" else row.old, new=by if side == "new" else row.new, items=sheet
        )
        if signed.old is None or signed.new is None:
            return self._keep_handover(pen, signed, "sign", actor, side=side)
        return self._hand_over(pen, signed, actor, side)

    def _hand_over(self, pen: Pen, row: Handover, actor: str, side: Side) -> Handover:
        site, now_ms = row.site, pen.now_ms
        known = self._known[site]
        since = {stay.person: stay.from_ms for stay in self._present(site)}
        old = self._running.pop(site, None)
        if old is not None:
            stays = tuple(stay if stay.until_ms is not None else _ended(stay, now_ms) for stay in old.stays)
            ended = msgspec.structs.replace(old, state="over", until_ms=now_ms, stays=stays)
            pen.write(self._shifts, ended, "end", actor)
        # One that is handed over a little early is the next one as planned.
        planned = shift_at(known.station, known.zone, now_ms + known.handover_ms)
        shift = Shift(
            id=self._shifts.take_id(),
            site=site,
            state="running",
            from_ms=now_ms,
            planned_ms=planned.from_ms,
            ends_ms=planned.until_ms,
            # Who was there before goes on without a break.
            stays=tuple(msgspec.structs.replace(stay, from_ms=since.get(stay.person, now_ms)) for stay in row.arriving),
            handover=row.id,
        )
        done = msgspec.structs.replace(row, state="signed", until_ms=now_ms, begins=shift.id)
        pen.write(self._handovers, done, "sign", actor, side=side)
        self._open.pop(site, None)
        self._keep_shift(pen, shift, "begin", actor)
        return done

    def _open_handover(self, pen: Pen, site: str, shift: Shift | None) -> Handover:
        row = Handover(
            id=self._handovers.take_id(),
            site=site,
            state="open",
            from_ms=pen.now_ms,
            shift=shift.id if shift is not None else None,
            due_ms=shift.ends_ms if shift is not None else pen.now_ms,
        )
        return self._keep_handover(pen, row, "open", GATEWAY)

    # --- log ------------------------------------------------------------------------------------------------------

    def write_log(
        self,
        pen: Pen,
        site: str,
        text: str,
        actor: str,
        *,
        person: int | None,
        topic: Topic = "other",
        alarm: int | None = None,
        corrects: int | None = None,
    ) -> LogEntry:
        """Somebody writes into the log."""
        shift = self._running.get(site)
        row = LogEntry(
            id=self._log.take_id(),
            site=site,
            state="written",
            from_ms=pen.now_ms,
            text=text,
            by=actor,
            person=person,
            topic=topic,
            alarm=alarm,
            corrects=corrects,
            shift=shift.id if shift is not None else None,
        )
        pen.write(self._log, row, "write", actor)
        if shift is not None:
            self._keep_shift(pen, msgspec.structs.replace(shift, logged_ms=pen.now_ms), "log", actor)
        return row

    # --- telling --------------------------------------------------------------------------------------------------

    def _keep_shift(self, pen: Pen, row: Shift, verb: str, actor: str) -> Shift:
        self._running[row.site] = pen.write(self._shifts, row, verb, actor)
        for watcher in self._watchers:
            watcher(row.site)
        self._settle(pen, row.site)
        return row

    def _keep_handover(self, pen: Pen, row: Handover, verb: str, actor: str, **detail: str) -> Handover:
        self._open[row.site] = pen.write(self._handovers, row, verb, actor, **detail)
        self._settle(pen, row.site)
        return row

    def _settle(self, pen: Pen, site: str) -> None:
        """Say what is, and when it next may be otherwise."""
        now_ms = pen.now_ms
        present = self._present(site)
        pen.say(site, "crew", crew_word(self.manned(site, now_ms)))
        pen.say(site, "crew_count", float(len({stay.person for stay in present})))
        longest_ms = int(self._known[site].station.shift_h * HOUR_MS)
        is_long = any(now_ms - stay.from_ms > longest_ms for stay in present)
        pen.say(site, "shift", "long" if is_long else "ok")
        pen.say(site, "handover", self._handover_word(site, now_ms))
        pen.say(site, "log", "overdue" if 0 <= self._log_due_ms(site) <= now_ms else "ok")
        self._due.pop(site, None)
        if ahead := [at_ms for at_ms in self._times(site) if at_ms > now_ms]:
            self._due[site] = min(ahead)
        self._due_ms = min(self._due.values(), default=None)

    def _handover_word(self, site: str, now_ms: int) -> str:
        row = self._open.get(site)
        if row is None:
            return "ok"
        if now_ms >= row.due_ms + self._known[site].handover_ms:
            return "unsigned"
        return "due" if now_ms >= row.due_ms or row.old is not None or row.new is not None else "ok"

    def _log_due_ms(self, site: str) -> int:
        """When the log wants an entry; -1: nobody is there who could write it."""
        shift = self._running.get(site)
        if shift is None:
            return -1
        return max(shift.from_ms, shift.logged_ms) + int(self._known[site].station.log_h * HOUR_MS)

    def _times(self, site: str) -> Iterator[int]:
        known, shift, row = self._known[site], self._running.get(site), self._open.get(site)
        if row is not None:
            yield row.due_ms
            yield row.due_ms + known.handover_ms
        if shift is None:
            return
        yield shift.ends_ms
        yield self._log_due_ms(site)
        posts = {post.id: post for post in known.station.posts}
        for stay in shift.present:
            yield stay.from_ms + int(known.station.shift_h * HOUR_MS) + 1
            person = self._people.find(stay.person)
            if person is not None and stay.post in posts and posts[stay.post].certificates:
                yield from (each.until_ms for each in person.certificates if each.until_ms is not None)


def crew_word(posts: Iterable[Manned]) -> str:
    """The worst of the posts: one that nobody stands at, too few people, people without the certificate."""
    posts = list(posts)
    if any(not each.people for each in posts):
        return "absent"
    if any(len(each.people) < each.post.crew for each in posts):
        return "short"
    return "unqualified" if any(each.lacks for each in posts) else "ok"


def _by_post(stays: Iterable[Stay]) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for stay in stays:
        found[stay.post] = (*found.get(stay.post, ()), stay.person)
    return found


def _ended(stay: Stay, now_ms: int) -> Stay:
    return msgspec.structs.replace(stay, until_ms=now_ms)


__all__ = ["SHIFT", "Manned", "Proof", "Shift", "Shifts", "crew_word"]
