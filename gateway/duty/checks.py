"""Duty checks (查岗): somebody asks whether the post is manned, and it is to be answered in time.

    open ──answered in time──> answered
      └──time over──> unanswered ──answered all the same──> late
                          └──an hour later──> missed

Asked by a monitoring centre, or by this gateway at times nobody knows before (draws.py). A centre is answered by type
24, bit 5 of GB/T 26875.3, written into its outbox in the same transaction as the answer. The gateway's own checks want
a proof that the person stands at the post: their PIN, or the code that hangs there.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from contract.gb26875 import objects as o
from contract.gb26875.status import TRANSMITTER_OPERATION, mask_of
from contract.gb26875.time_tag import tag_from_ms
from contract.station import Station
from gateway.control.protocol import Event
from gateway.duty.draws import GAP_MS, Span, draw_checks
from gateway.duty.proof import Proof
from gateway.duty.roster_check import shift_at
from gateway.installation import Installation
from gateway.ledger.entries import GATEWAY, Entry, Kind, Pen, Register, SavedEntries, Sheet
from gateway.ledger.secret import derive
from gateway.upward.outbox import put
from gateway.upward.translate import Urgency, item

OPEN, ANSWERED, UNANSWERED, LATE, MISSED, SKIPPED = "open", "answered", "unanswered", "late", "missed", "skipped"
CENTRE = "centre/"
"""Before the name of the centre that asked."""
STATION = "station"
"""Who asks when the gateway does."""
SHOWN_MS = 3_600_000
"""A check that was not answered stays on the screens this long, and may be answered late."""
ASKED_LATE_MS = 60_000
"""A gateway that was away at the time of a check asks when it is back within this; else the check is skipped: asked
at a start, it would not be random any more."""
LOOK_BACK_MS = 40 * 86_400_000
"""Checks that a gateway did not ask because it was away longer than this are not noted one by one."""


class DutyCheck(Entry, frozen=True, kw_only=True):
    """A duty check. Times ms UTC: asked at from_ms, to be answered by until_ms.

    shift_ms, number: of the gateway's own, the planned beginning of the shift and which of its checks. person, proof,
    post: who answered, how it was proven, and where the code hangs that was scanned.
    """

    origin: str
    answered_ms: int | None = None
    answered_by: str | None = None
    person: int | None = None
    proof: Proof | None = None
    post: str = ""
    shift_ms: int | None = None
    number: int = 0

    @property
    def asked_ms(self) -> int:
        """When it was asked."""
        return self.from_ms


class CheckView(msgspec.Struct, frozen=True):
    """A duty check as screens get it."""

    id: int
    site: str
    origin: str
    asked_ms: int
    until_ms: int
    state: str = OPEN
    answered_ms: int | None = None
    answered_by: str | None = None
    person: int | None = None
    proof: Proof | None = None


class Answered(NamedTuple):
    """Who answers, and how that is proven."""

    actor: str
    person: int | None = None
    proof: Proof = "login"
    post: str = ""


class Asked(Entry, frozen=True, kw_only=True):
    """How far the gateway's own checks of a station are dealt with: all up to from_ms. last_ms: when the last came."""

    last_ms: int = 0


CHECKS = Kind("duty_check", DutyCheck, frozenset({OPEN, UNANSWERED}), live=False)
ASKED = Kind("duty_asked", Asked, frozenset({"kept"}), live=False)


class Watched(NamedTuple):
    """A station whose people are checked."""

    station: Station
    zone: ZoneInfo


class DutyChecks(Register):
    """Checks that are open, or shown because nobody answered them; and when the next of our own comes.

    Args:
        secret: the ledger's; the times are drawn from what is derived from it.
    """

    def __init__(self, saved: SavedEntries, secret: bytes) -> None:
        self._checks = Sheet(CHECKS, saved)
        self._asked = Sheet(ASKED, saved)
        self._secret = derive(secret, "duty-checks")
        self._watched: dict[str, Watched] = {}
        self._done = {row.site: row for row in self._asked.rows.values()}
        self._next: dict[str, tuple[int, int, int]] = {}
        self._fresh: set[str] = set()
        """Stations of which nothing was said or drawn since they were installed."""
        self._due_ms: int | None = None

    @property
    def shown(self) -> dict[int, DutyCheck]:
        """Open ones and those nobody answered within the last hour, by number."""
        return self._checks.rows

    @property
    def next_id(self) -> int:
        """The number of the next check."""
        return self._checks.next_id

    def sheets(self) -> tuple[Sheet[DutyCheck], Sheet[Asked]]:
        """Checks, and how far our own are dealt with."""
        return self._checks, self._asked

    def install(self, installation: Installation) -> None:
        """These stations are checked."""
        self._watched = {
            site.site: Watched(site.station, ZoneInfo(site.time_zone))
            for site in installation.sites.values()
            if site.station is not None
        }
        self._next = {}
        self._fresh = set(self._watched)
        self._due_ms = self._find_due()

    def next_due_ms(self) -> int | None:
        """When a check comes, its time is over, or a missed one leaves the screens."""
        return self._due_ms

    # --- what comes in -------------------------------------------------------------------------------------------

    def ask(self, pen: Pen, site: str, origin: str, minutes: int) -> DutyCheck:
        """A centre asks. A check that it has still open is asked anew: its time counts from now."""
        until_ms = pen.now_ms + minutes * 60_000
        for check in self.shown.values():
            if (check.site, check.origin, check.state) == (site, origin, OPEN):
                return self._note(pen, msgspec.structs.replace(check, until_ms=until_ms), "again")
        row = DutyCheck(
            id=self._checks.take_id(), site=site, state=OPEN, from_ms=pen.now_ms, until_ms=until_ms, origin=origin
        )
        return self._note(pen, row, "ask")

    def answer(self, pen: Pen, check: DutyCheck, by: Answered) -> DutyCheck:
        """Somebody answers an open check, or one whose time was over."""
        state = ANSWERED if check.state == OPEN else LATE
        done = msgspec.structs.replace(
            check,
            state=state,
            answered_ms=pen.now_ms,
            answered_by=by.actor,
            person=by.person,
            proof=by.proof,
            post=by.post,
        )
        if check.origin.startswith(CENTRE):
            operation = mask_of(TRANSMITTER_OPERATION, "dutyCheckReply")
            told = item(Urgency.DUTY, 24, o.TransmitterOperation(operation, 0, tag_from_ms(pen.now_ms)))
            pen.add(partial(put, centre=check.origin.removeprefix(CENTRE), items=[told], now_ms=pen.now_ms))
        return self._note(pen, done, state, by.actor)

    def advance(self, pen: Pen) -> None:
        """Let time pass up to now."""
        if self._due_ms is None or self._due_ms > pen.now_ms:
            return
        for check in list(self.shown.values()):
            until_ms = ends_ms(check)
            if check.state == OPEN and until_ms <= pen.now_ms:
                self._note(pen, msgspec.structs.replace(check, state=UNANSWERED), UNANSWERED)
            if until_ms + SHOWN_MS <= pen.now_ms:
                self._note(pen, msgspec.structs.replace(check, state=MISSED), MISSED)
        due = {site for site, found in self._next.items() if found[0] <= pen.now_ms}
        for site in sorted(due | self._fresh):
            self._ask_own(pen, site)
            self._say(pen, site)
        self._fresh = set()
        self._due_ms = self._find_due()

    # --- our own -------------------------------------------------------------------------------------------------

    def _ask_own(self, pen: Pen, site: str) -> None:
        done = self._done.get(site)
        if done is None:
            # Nobody asks for the time before this station was known.
            number = self._asked.take_id()
            done = pen.write(self._asked, Asked(id=number, site=site, state="kept", from_ms=pen.now_ms), "begin")
        elif done.from_ms < pen.now_ms - LOOK_BACK_MS:
            done = msgspec.structs.replace(done, from_ms=pen.now_ms - LOOK_BACK_MS)
            self._next.pop(site, None)  # drawn for the time that is left out
        found = self._next.get(site) or self._draw_next(site, done)
        while found is not None and found[0] <= pen.now_ms:
            at_ms, shift_ms, number = found
            is_late = pen.now_ms - at_ms > ASKED_LATE_MS
            until_ms = pen.now_ms + int(self._watched[site].station.duty_checks.answer_s * 1000)
            row = DutyCheck(
                id=self._checks.take_id(),
                site=site,
                state=SKIPPED if is_late else OPEN,
                from_ms=at_ms if is_late else pen.now_ms,
                until_ms=at_ms if is_late else until_ms,
                origin=STATION,
                shift_ms=shift_ms,
                number=number,
            )
            self._note(pen, row, "skip" if is_late else "ask")
            done = pen.write(self._asked, msgspec.structs.replace(done, from_ms=at_ms, last_ms=at_ms), "go_on")
            found = self._draw_next(site, done)
        self._done[site] = done
        self._next.pop(site, None)
        if found is not None:
            self._next[site] = found

    def _draw_next(self, site: str, done: Asked) -> tuple[int, int, int] | None:
        """(when, planned beginning of its shift, which of its checks) of the next after what is dealt with."""
        station, zone = self._watched[site]
        if not station.duty_checks.per_shift:
            return None
        shift = shift_at(station, zone, done.from_ms)
        while True:
            times = draw_checks(self._secret, site, Span(shift.from_ms, shift.until_ms), station.duty_checks.per_shift)
            for number, at_ms in enumerate(times, 1):
                # The last one may have been drawn under other shifts, before a reload.
                if at_ms > done.from_ms and at_ms >= done.last_ms + GAP_MS:
                    return at_ms, shift.from_ms, number
            if not times and shift.from_ms > done.from_ms + LOOK_BACK_MS:
                return None  # shifts too short to be checked at random
            shift = shift_at(station, zone, shift.until_ms)

    # --- telling -------------------------------------------------------------------------------------------------

    def _say(self, pen: Pen, site: str) -> None:
        states = {check.state for check in self.shown.values() if check.site == site}
        pen.say(site, "duty_check", "unanswered" if UNANSWERED in states else "asked" if OPEN in states else "ok")

    def _note(self, pen: Pen, check: DutyCheck, verb: str, actor: str = GATEWAY) -> DutyCheck:
        pen.write(self._checks, check, verb, actor)
        pen.tell(Event(event="duty", data=msgspec.to_builtins(view(check))))
        if check.site in self._watched:
            self._say(pen, check.site)
        self._due_ms = self._find_due()
        return check

    def _find_due(self) -> int | None:
        if self._fresh:
            return 0
        dues = [found[0] for found in self._next.values()]
        dues += [ends_ms(check) + (0 if check.state == OPEN else SHOWN_MS) for check in self.shown.values()]
        return min(dues, default=None)


def ends_ms(check: DutyCheck) -> int:
    """By when it is to be answered."""
    assert check.until_ms is not None, "a check has a time to answer"
    return check.until_ms


def view(check: DutyCheck) -> CheckView:
    """A check as screens get it."""
    return CheckView(
        check.id,
        check.site,
        check.origin,
        check.from_ms,
        ends_ms(check),
        check.state,
        check.answered_ms,
        check.answered_by,
        check.person,
        check.proof,
    )
