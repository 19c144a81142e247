"""Readiness of the stations at every instant, from the alarms that stand and the age of the data. Pure.

    an alarm begins or ends to stand ──> deduction (interval) ──┐
    data older than two periods ───────> stale (interval) ──────┼──> readiness (interval), said as own readings
    a risk is accepted, expires ───────> deduction counts or not ┘

Time is when the gateway knew. So the rows say what was shown, and `gateway/duty/recompute.py` derives the same from
alarms, transitions, rule versions and the audit chain alone. What a gateway that did not run could not see is dated
back to the moment when its data had become too old: nobody watched, so it was not ready.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec.structs import replace

from contract.site import REGISTER_DEVICE, SYSTEM_SITE, Site
from gateway.control.protocol import AlarmView
from gateway.duty.freshness import NEVER, Look, Sight
from gateway.duty.readiness_rows import ANSWERING, DEDUCTION, READY, RISK, STALE, Answering, Deduction, Ready, Risk
from gateway.duty.readiness_rows import Stale as StaleRow
from gateway.duty.standing import Standing, StandingAlarms
from gateway.installation import Installation
from gateway.ledger.entries import GATEWAY, Pen, Register, SavedEntries, Sheet
from rules.readiness import Account, Take, Verdict, with_stale

SHOWN_CAUSES = 20
"""Causes named in a row; the count of all of them stands nowhere, because one is enough."""


class Book:
    """One station: what takes from it now."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.row: Answering | None = None
        self.now: Ready | None = None
        self.stale: StaleRow | None = None
        self.deductions: dict[int, Deduction] = {}
        """By alarm."""
        self.account = Account()
        self.due_ms = -1
        """When its data is looked at next."""

    def at_ms(self, now_ms: int) -> int:
        """Now, but never before the last change: a clock may have been set back."""
        return now_ms if self.now is None else max(now_ms, self.now.from_ms)


class Readiness(Register):
    """All stations. sight: tells how fresh their data is."""

    def __init__(self, saved: SavedEntries, sight: Sight | None = None) -> None:
        self._rows = Sheet(ANSWERING, saved)
        self._stale = Sheet(STALE, saved)
        self._deductions = Sheet(DEDUCTION, saved)
        self._risks = Sheet(RISK, saved)
        self._ready = Sheet(READY, saved)
        self._standing = StandingAlarms(saved.standing)
        self._sight = sight
        self._sites: dict[str, Site] = {}
        self._books: dict[str, Book] = {}
        self._of_site: dict[str, list[Book]] = {}
        self._accepted: dict[tuple[str, str, str], int] = {}
        self._dirty: dict[str, None] = {}
        self._dues: list[tuple[int, str]] = []
        self._is_other = True
        """Stations or what they cover may be others than the rows say."""
        self._restore()

    def _restore(self) -> None:
        for row in self._rows.rows.values():
            self._books[row.site] = book = Book(row.site)
            book.row = row
        for now in self._ready.rows.values():
            self._books[now.site].now = now
        for stale in self._stale.rows.values():
            self._books[stale.site].stale = stale
        for deduction in self._deductions.rows.values():
            book = self._books[deduction.site]
            book.deductions[deduction.alarm] = deduction
            if deduction.risk is None:
                book.account.add(Take.of(deduction.level, deduction.points))
        for risk in self._risks.rows.values():
            self._accepted[risk.site, risk.rule, risk.subject] = risk.id
        self._spread()

    def sheets(self) -> Iterable[Sheet[Any]]:
        return (self._rows, self._stale, self._deductions, self._risks, self._ready)

    def install(self, installation: Installation) -> None:
        self._sites = dict(installation.sites)
        self._standing.install(installation)
        self._is_other = True

    # --- what others ask -----------------------------------------------------------------------------------------

    def now(self, site: str) -> Ready | None:
        """What a station is now; None for a site without one."""
        book = self._books.get(site)
        return None if book is None else book.now

    def deductions(self, site: str) -> list[Deduction]:
        """What takes from a station now, accepted risks too."""
        book = self._books.get(site)
        return [] if book is None else list(book.deductions.values())

    def is_station(self, site: str) -> bool:
        """Whether the site has a station."""
        return site in self._books

    def risk(self, risk_id: int) -> Risk | None:
        """An accepted risk that is in force."""
        return self._risks.rows.get(risk_id)

    def accepted(self, site: str, rule: str, subject: str) -> Risk | None:
        """The risk that covers this, where one is in force."""
        known = self._accepted.get((site, rule, subject))
        return None if known is None else self._risks.rows[known]

    # --- time ----------------------------------------------------------------------------------------------------

    def next_due_ms(self) -> int | None:
        if self._is_other or self._dirty:
            return 0
        dues = [risk.until_ms for risk in self._risks.rows.values() if risk.until_ms is not None]
        while self._dues and self._dues[0][0] != getattr(self._books.get(self._dues[0][1]), "due_ms", None):
            heapq.heappop(self._dues)
        if self._dues:
            dues.append(self._dues[0][0])
        return min(dues, default=None)

    def heard(self, sites: Iterable[str]) -> None:
        """Something came from these sites, or of their devices: data that was too old may be fresh again."""
        for site in sites:
            for book in self._of_site.get(site, ()):
                if book.stale is not None:
                    self._look_at(book, 0)

    def lost(self, site: str) -> None:
        """A device, line or agent of that site may have been lost."""
        for book in self._of_site.get(site, ()):
            self._look_at(book, 0)

    def advance(self, pen: Pen) -> None:
        if self._is_other:
            self._reconcile(pen)
        for risk in [risk for risk in self._risks.rows.values() if (risk.until_ms or NEVER) <= pen.now_ms]:
            self.end_risk(pen, risk, "expired", GATEWAY)
        while self._dues and self._dues[0][0] <= pen.now_ms:
            due_ms, site = heapq.heappop(self._dues)
            book = self._books.get(site)
            if book is not None and book.due_ms == due_ms:
                self._look(pen, book)
        for site in self._dirty:
            if site in self._books:
                self._settle(pen, self._books[site])
        self._dirty.clear()

    # --- alarms --------------------------------------------------------------------------------------------------

    def alarm_moved(self, alarm: AlarmView, event: str, pen: Pen) -> None:
        if self._is_other:
            self._reconcile(pen)
        known = self._standing.moved(alarm, event)
        if known is None:
            return
        stands = alarm.active and known.drill is None
        for book in self._of(known):
            if stands and known.id not in book.deductions:
                self._begin(pen, book, known)
            elif not stands and known.id in book.deductions:
                self._end(pen, book, known.id)

    def _of(self, alarm: Standing) -> Iterator[Book]:
        """Stations that an alarm takes from: the gateway's own from all, a site's register from its own alone."""
        if alarm.site == SYSTEM_SITE:
            yield from self._books.values()
            return
        for book in self._of_site.get(alarm.site, ()):
            if alarm.device != REGISTER_DEVICE or book.site == alarm.site:
                yield book

    def _begin(self, pen: Pen, book: Book, alarm: Standing) -> None:
        risk = self._accepted.get((book.site, alarm.rule, alarm.subject))
        basis = alarm.basis
        row = Deduction(
            id=self._deductions.take_id(),
            site=book.site,
            state="standing" if risk is None else "accepted",
            from_ms=book.at_ms(pen.now_ms),
            alarm=alarm.id,
            rule=alarm.rule,
            subject=alarm.subject,
            level=basis.take.level,
            points=basis.take.points / 1000,
            raised_ms=alarm.raised_ms,
            basis_zh=basis.zh,
            basis_en=basis.en,
            risk=risk,
        )
        book.deductions[alarm.id] = pen.write(self._deductions, row, "begin")
        if risk is None:
            book.account.add(basis.take)
        self._dirty[book.site] = None

    def _end(self, pen: Pen, book: Book, alarm_id: int) -> None:
        row = book.deductions.pop(alarm_id)
        pen.write(self._deductions, replace(row, state="over", until_ms=book.at_ms(pen.now_ms)), "end")
        if row.risk is None:
            book.account.remove(Take.of(row.level, row.points))
        self._dirty[book.site] = None

    # --- risks ---------------------------------------------------------------------------------------------------

    def accept(
        self, pen: Pen, site: str, rule: str, subject: str, reason: str, until_ms: int, user: str, by: int | None
    ) -> Risk:
        """Accept that a rule speaks of a subject: until then it takes nothing from that station, and stays listed."""
        row = Risk(
            id=self._risks.take_id(), site=site, state="in_force", from_ms=pen.now_ms, until_ms=until_ms,
            rule=rule, subject=subject, reason=reason, user=user, by=by,
        )  # fmt: skip
        pen.write(self._risks, row, "accept", user)
        self._accepted[site, rule, subject] = row.id
        self._anew(pen, self._books[site], rule, subject)
        return row

    def end_risk(self, pen: Pen, risk: Risk, state: str, actor: str) -> Risk:
        """It counts again. state: expired | withdrawn."""
        until_ms = min(risk.until_ms or NEVER, pen.now_ms) if state == "withdrawn" else risk.until_ms
        done = pen.write(self._risks, replace(risk, state=state, until_ms=until_ms), state, actor)
        del self._accepted[risk.site, risk.rule, risk.subject]
        if risk.site in self._books:
            self._anew(pen, self._books[risk.site], risk.rule, risk.subject)
        return done

    def _anew(self, pen: Pen, book: Book, rule: str, subject: str) -> None:
        """What stands of a rule on a subject counts otherwise from now on."""
        for alarm_id, row in list(book.deductions.items()):
            if (row.rule, row.subject) == (rule, subject):
                self._end(pen, book, alarm_id)
                self._begin(pen, book, self._standing.rows[alarm_id])
        self._look_at(book, 0)

    # --- fresh or stale ------------------------------------------------------------------------------------------

    def _look_at(self, book: Book, due_ms: int) -> None:
        if book.due_ms != due_ms:
            book.due_ms = due_ms
            if due_ms < NEVER:
                heapq.heappush(self._dues, (due_ms, book.site))

    def _look(self, pen: Pen, book: Book) -> None:
        assert book.row is not None
        look = Look((), 0, NEVER)
        if self._sight is not None:
            missing = [name for name in (book.site, *book.row.covers) if name not in self._sites]
            sites = [self._sites[name] for name in (book.site, *book.row.covers) if name in self._sites]
            look = self._sight.look(sites, pen.now_ms, self._left_out(book.site))
            if missing:
                look = look._replace(causes=(*look.causes, *missing))
        causes = tuple(sorted(look.causes)[:SHOWN_CAUSES])
        if causes and book.stale is None:
            self._begin_stale(pen, book, causes, look.since_ms or pen.now_ms)
        elif causes and book.stale is not None and book.stale.causes != causes:
            book.stale = pen.write(self._stale, replace(book.stale, causes=causes), "change")
        elif not causes and book.stale is not None:
            pen.write(self._stale, replace(book.stale, state="over", until_ms=book.at_ms(pen.now_ms)), "end")
            book.stale = None
            self._dirty[book.site] = None
        # While it is stale it is looked at whenever something comes from its sites.
        book.due_ms = -1
        self._look_at(book, NEVER if causes else look.next_ms)

    def _left_out(self, site: str) -> set[str]:
        """Devices whose silence somebody accepted."""
        rows = self._risks.rows.values()
        return {row.subject for row in rows if row.site == site and row.subject.count("/") == 1}

    def _begin_stale(self, pen: Pen, book: Book, causes: tuple[str, ...], since_ms: int) -> None:
        since_ms = pen.now_ms if book.now is None else book.at_ms(min(since_ms, pen.now_ms))
        row = StaleRow(id=self._stale.take_id(), site=book.site, state="standing", from_ms=since_ms, causes=causes)
        book.stale = pen.write(self._stale, row, "begin")
        if book.now is not None and since_ms < pen.now_ms:
            # Nobody looked when it became too old: it is dated back, with what else was known then.
            then = Verdict(book.now.level, book.now.score, book.now.unknown)  # type: ignore[arg-type] # a Level
            self._note(pen, book, with_stale(then), since_ms)
        self._dirty[book.site] = None

    # --- the station ---------------------------------------------------------------------------------------------

    def _settle(self, pen: Pen, book: Book) -> None:
        verdict = book.account.verdict(is_stale=book.stale is not None)
        self._note(pen, book, verdict, book.at_ms(pen.now_ms))
        pen.say(book.site, "data", "ok" if book.stale is None else "stale")
        pen.say(book.site, "readiness", verdict.level)
        pen.say(book.site, "readiness_pct", verdict.score)

    def _note(self, pen: Pen, book: Book, verdict: Verdict, at_ms: int) -> None:
        now = book.now
        if now is not None and (now.level, now.score, now.unknown) == verdict:
            return
        fields = verdict._asdict()
        if now is not None and now.from_ms >= at_ms:
            book.now = pen.write(self._ready, replace(now, **fields), "change")
            return
        if now is not None:
            pen.write(self._ready, replace(now, state="past", until_ms=at_ms), "end")
        row = Ready(id=self._ready.take_id(), site=book.site, state="now", from_ms=at_ms, **fields)
        book.now = pen.write(self._ready, row, "begin")

    def _reconcile(self, pen: Pen) -> None:
        """Rows follow the site files: stations that are new, gone, or answer for other sites."""
        self._is_other = False
        if self._sight is not None:
            self._sight.rearranged()
        wanted = {name: site.station for name, site in self._sites.items() if site.station is not None}
        for site in [site for site in self._books if site not in wanted]:
            self._remove(pen, self._books[site])
        for site, station in wanted.items():
            covers = tuple(sorted(set(station.covers) - {site}))
            book = self._books.setdefault(site, Book(site))
            if book.row is None or book.row.covers != covers:
                if book.row is not None:
                    pen.write(self._rows, replace(book.row, state="over", until_ms=book.at_ms(pen.now_ms)), "end")
                row = Answering(
                    id=self._rows.take_id(), site=site, state="in_force", from_ms=book.at_ms(pen.now_ms), covers=covers
                )
                book.row = pen.write(self._rows, row, "begin")
            self._dirty[site] = None
            self._look_at(book, 0)
        self._spread()
        self._follow_alarms(pen)

    def _follow_alarms(self, pen: Pen) -> None:
        """Deductions are those of the alarms that stand in the sites of each station."""
        wanted: dict[str, dict[int, Standing]] = {site: {} for site in self._books}
        for alarm in self._standing.counting():
            for book in self._of(alarm):
                wanted[book.site][alarm.id] = alarm
        for site, book in self._books.items():
            for alarm_id in [alarm_id for alarm_id in book.deductions if alarm_id not in wanted[site]]:
                self._end(pen, book, alarm_id)
            for alarm_id, alarm in wanted[site].items():
                if alarm_id not in book.deductions:
                    self._begin(pen, book, alarm)

    def _remove(self, pen: Pen, book: Book) -> None:
        at_ms = book.at_ms(pen.now_ms)
        for alarm_id in list(book.deductions):
            self._end(pen, book, alarm_id)
        if book.stale is not None:
            pen.write(self._stale, replace(book.stale, state="over", until_ms=at_ms), "end")
        if book.now is not None:
            pen.write(self._ready, replace(book.now, state="past", until_ms=at_ms), "end")
        if book.row is not None:
            pen.write(self._rows, replace(book.row, state="over", until_ms=at_ms), "end")
        del self._books[book.site]

    def _spread(self) -> None:
        self._of_site = {}
        for book in self._books.values():
            assert book.row is not None
            for site in (book.site, *book.row.covers):
                self._of_site.setdefault(site, []).append(book)
