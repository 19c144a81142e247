"""A hazard (隐患) and the steps of its rectification (整改). Pure.

    reported ──take──> found ──fix on the spot──> spot_fixed ──────┐
       └─dismiss─> dismissed └──assign──> assigned ──fix──> fixed ─┴─confirm─> verified ──close──> closed ──> filed
                                            └─extend─┘

Confirmed is what the data confirms (the alarm it stands on has cleared and stayed clear for a set time after the fix)
or what a second person, not the one who fixed it, verifies. A general hazard closes when it is confirmed; a major one
and one under listed supervision (挂牌督办) is signed off by a person. Any of the later states goes back when the hazard
returns or the verification fails; the life cycle is that of Order 61, articles 31 to 33, with what software adds.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from contract.hazard import HazardHandling, HazardLevel
from gateway.control.client import ControlError
from gateway.control.protocol import Problem
from gateway.ledger.entries import Entry, Kind

State = Literal["reported", "dismissed", "found", "assigned", "spot_fixed", "fixed", "verified", "closed", "filed"]
Source = Literal["rule", "patrol", "equipment", "person", "public"]
COUNTED: tuple[State, ...] = ("found", "assigned", "spot_fixed", "fixed", "verified")
"""A hazard in one of these is open."""
MENDED: tuple[State, ...] = ("spot_fixed", "fixed")
"""Somebody says that it is fixed; nobody confirmed it."""
DATA = "data"
"""Who confirmed it, where the data did."""
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class Round(msgspec.Struct, frozen=True):
    """One time it was open: a hazard that returns is found again. ms UTC."""

    found_ms: int
    closed_ms: int | None = None


class Overdue(msgspec.Struct, frozen=True):
    """A time in which the next step was late, ms UTC. until_ms None: it still is."""

    since_ms: int
    until_ms: int | None = None


class Listing(msgspec.Struct, frozen=True):
    """Listed supervision (挂牌督办) by an authority. delisted_ms None: it stands."""

    number: str
    authority: str
    deadline_ms: int
    listed_ms: int
    listed_by: str
    delisted_ms: int | None = None
    delisted_by: str = ""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Who is to do what by when. owner: a login or the name of a unit; person: number of the person, where known."""

    owner: str
    deadline_ms: int
    person: int | None = None
    department: str = ""
    measure: str = ""
    interim: str = ""
    """What protects meanwhile."""
    money_fen: int | None = None
    """Set aside for it, 1/100 yuan."""
    by: str = ""
    at_ms: int = 0


class Fix(msgspec.Struct, frozen=True, kw_only=True):
    """What was done about it. photo: hash of the picture taken after."""

    by: str
    at_ms: int
    note: str = ""
    photo: str = ""
    person: int | None = None


class Hazard(Entry, frozen=True, kw_only=True):
    """A hazard as it is now. Times ms UTC; from_ms: when it was found first, until_ms: when it closed."""

    source: Source
    level: HazardLevel = "general"
    subject: str = ""
    """site/device or site/device/point it is about; empty where it is about a place."""
    place: str = ""
    text: str = ""
    by: str = ""
    """Who reported it: a login, `gateway`, or `public`."""
    photo: str = ""
    """Hash of the picture taken before."""
    rule: str = ""
    alarm_id: int | None = None
    """The alarm it stands on; with `rule` and `subject`."""
    clear_ms: int | None = None
    """Since when that alarm is clear; None: it stands, or there is none."""
    due_ms: int | None = None
    """By when the next step must be done."""
    order: Order | None = None
    extensions: int = 0
    fix: Fix | None = None
    confirmed_ms: int | None = None
    confirmed_by: str = ""
    """A login, or `data`."""
    closed_by: str = ""
    reopened: int = 0
    """How often it was opened again: it returned, or a verification failed."""
    seen: int = 1
    """How often it was reported."""
    listing: Listing | None = None
    reported_ms: int | None = None
    """When the public reported it."""
    receipt: str = ""
    """Of a report of the public: hash of the code the reporter was given."""
    words: str = ""
    """Of a report of the public: digest of what was written (public.py)."""
    rounds: tuple[Round, ...] = ()
    overdue: tuple[Overdue, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether it counts as open."""
        return self.state in COUNTED

    @property
    def is_overdue(self) -> bool:
        """Whether its next step is late now."""
        return bool(self.overdue) and self.overdue[-1].until_ms is None

    @property
    def is_listed(self) -> bool:
        """Whether it stands under listed supervision."""
        return self.listing is not None and self.listing.delisted_ms is None

    @property
    def waits_for_data(self) -> bool:
        """Whether the data may confirm it: it is mended, and the alarm it stands on is clear."""
        return self.state in MENDED and self.alarm_id is not None and self.clear_ms is not None


HAZARD = Kind("hazard", Hazard, frozenset({"reported", "dismissed", *COUNTED, "closed"}))
"""Closed ones stay at hand until they are filed: until then a fault that returns opens them again. Dismissed reports
stay until what was written is erased."""
_set = msgspec.structs.replace


# --- the steps: each gives the hazard as it is after it, or raises ControlError having changed nothing ------------


def take(hazard: Hazard, now_ms: int, handling: HazardHandling, **words: str) -> Hazard:
    """A person looked at a report and takes it on, in words of their own: from now on it counts."""
    _want(hazard, "reported", "dismissed")
    rounds, due_ms = (Round(now_ms),), now_ms + _ms(handling.assign_h)
    return _enter(hazard, "found", due_ms, rounds=rounds, from_ms=now_ms, until_ms=None, **words)


def dismiss(hazard: Hazard, now_ms: int) -> Hazard:
    """A person looked at a report and it is none."""
    _want(hazard, "reported")
    return _set(hazard, state="dismissed", until_ms=now_ms, due_ms=None)


def assign(hazard: Hazard, order: Order, now_ms: int) -> Hazard:
    """Somebody is to fix it. An order that stands may be given to another, but gets no later deadline that way."""
    _want(hazard, "found", "assigned")
    _want_future("deadline", order.deadline_ms, now_ms)
    if hazard.order is not None and hazard.state == "assigned" and order.deadline_ms > hazard.order.deadline_ms:
        raise _no(
            "conflict", f"hazard {hazard.id}: got a later deadline, want the one it has. Extend it with a reason."
        )
    return _enter(hazard, "assigned", order.deadline_ms, order=order)


def extend(hazard: Hazard, until_ms: int, now_ms: int) -> Hazard:
    """Its deadline is put off."""
    _want(hazard, "assigned")
    assert hazard.order is not None, "what is assigned has an order"
    _want_future("until", until_ms, now_ms)
    if until_ms <= hazard.order.deadline_ms:
        raise _no("invalid", f"hazard {hazard.id}: got no later deadline than it has. Name a later one.")
    order = _set(hazard.order, deadline_ms=until_ms)
    return _enter(hazard, "assigned", until_ms, order=order, extensions=hazard.extensions + 1)


def fix(hazard: Hazard, done: Fix, now_ms: int, handling: HazardHandling) -> Hazard:
    """The one it was assigned to says that it is fixed."""
    _want(hazard, "assigned")
    return _enter(hazard, "fixed", now_ms + _ms(handling.verify_h), fix=done)


def fix_on_the_spot(hazard: Hazard, done: Fix, now_ms: int, handling: HazardHandling) -> Hazard:
    """Corrected where it was found (当场改正). A major hazard is assigned, with measures and a deadline."""
    _want(hazard, "found")
    if hazard.level == "major":
        raise _no("conflict", f"hazard {hazard.id}: is a major one. Assign it with measures and a deadline.")
    return _enter(hazard, "spot_fixed", now_ms + _ms(handling.verify_h), fix=done)


def verify(hazard: Hazard, by: str, person: int | None, now_ms: int, handling: HazardHandling) -> Hazard:
    """A second person saw that it is fixed. Refused while the alarm it stands on says otherwise."""
    _want(hazard, *MENDED)
    _want_second(hazard, by, person, "verify")
    if hazard.alarm_id is not None and hazard.clear_ms is None:
        raise _no("conflict", f"hazard {hazard.id}: alarm {hazard.alarm_id} still stands. See why before verifying it.")
    return _confirm(hazard, by, now_ms, handling)


def confirm_by_data(hazard: Hazard, now_ms: int, handling: HazardHandling) -> Hazard:
    """The alarm it stands on stayed clear for long enough."""
    assert hazard.waits_for_data, f"hazard {hazard.id}: the data says nothing of it"
    return _confirm(hazard, DATA, now_ms, handling)


def reject(hazard: Hazard, now_ms: int, handling: HazardHandling) -> Hazard:
    """Somebody looked and it is not fixed."""
    _want(hazard, *MENDED, "verified")
    return reopen(hazard, now_ms, handling)


def reopen(hazard: Hazard, now_ms: int, handling: HazardHandling) -> Hazard:
    """It is there again, or still: back to who has to fix it; one that was closed is found anew."""
    gone = {"fix": None, "confirmed_ms": None, "confirmed_by": "", "closed_by": "", "until_ms": None}
    count = hazard.reopened + 1
    if hazard.state == "closed":
        rounds = (*hazard.rounds, Round(now_ms))
        again = _set(hazard, **gone, reopened=count, rounds=rounds, order=None, extensions=0)
        return _enter(again, "found", now_ms + _ms(handling.assign_h))
    again = _set(hazard, **gone, reopened=count)
    if again.order is not None:
        return _enter(again, "assigned", again.order.deadline_ms)
    return _enter(again, "found", now_ms + _ms(handling.assign_h))


def close(hazard: Hazard, by: str, person: int | None, now_ms: int) -> Hazard:
    """Signed off by the person responsible (Order 61, article 33)."""
    _want(hazard, "verified")
    _want_second(hazard, by, person, "close")
    if hazard.is_listed:
        raise _no("conflict", f"hazard {hazard.id}: is under listed supervision. Delist it first.")
    rounds = (*hazard.rounds[:-1], _set(hazard.rounds[-1], closed_ms=now_ms))
    return _set(hazard, state="closed", until_ms=now_ms, due_ms=None, closed_by=by, rounds=rounds)


def file(hazard: Hazard) -> Hazard:
    """It did not return, or was none; from now on it is history."""
    _want(hazard, "closed", "dismissed")
    return _set(hazard, state="filed")


def put_on_list(hazard: Hazard, listing: Listing, now_ms: int) -> Hazard:
    """An authority supervises it; so it is a major one."""
    _want(hazard, *COUNTED)
    if hazard.is_listed:
        raise _no("conflict", f"hazard {hazard.id}: is under listed supervision already.")
    _want_future("deadline", listing.deadline_ms, now_ms)
    due_ms = listing.deadline_ms if hazard.due_ms is None else min(hazard.due_ms, listing.deadline_ms)
    return _set(hazard, level="major", listing=listing, due_ms=due_ms)


def take_off_list(hazard: Hazard, by: str, now_ms: int) -> Hazard:
    """The authority is satisfied: only once it is confirmed."""
    if hazard.listing is None or not hazard.is_listed:
        raise _no("conflict", f"hazard {hazard.id}: is not under listed supervision.")
    _want(hazard, "verified")
    return _set(hazard, listing=_set(hazard.listing, delisted_ms=now_ms, delisted_by=by))


def settle(hazard: Hazard, now_ms: int, *, moved: bool = False) -> Hazard:
    """Note since when its next step is late, or that it is late no more.

    Args:
        moved: it has just come to this step, whose date may lie in the past: then it is late from now on.
    """
    late = hazard.is_open and hazard.due_ms is not None and hazard.due_ms <= now_ms
    if late and not hazard.is_overdue:
        since_ms = now_ms if moved or hazard.due_ms is None else hazard.due_ms
        return _set(hazard, overdue=(*hazard.overdue, Overdue(since_ms)))
    if hazard.is_overdue and not late:
        return _set(hazard, overdue=(*hazard.overdue[:-1], _set(hazard.overdue[-1], until_ms=now_ms)))
    return hazard


def _confirm(hazard: Hazard, by: str, now_ms: int, handling: HazardHandling) -> Hazard:
    """Confirmed; a general hazard that no authority watches needs nobody's signature and is closed."""
    done = _enter(hazard, "verified", now_ms + _ms(handling.verify_h), confirmed_ms=now_ms, confirmed_by=by)
    return done if done.level == "major" or done.is_listed else close(done, by, None, now_ms)


def _enter(hazard: Hazard, state: State, due_ms: int, **more: Any) -> Hazard:
    if hazard.listing is not None and hazard.is_listed:
        due_ms = min(due_ms, hazard.listing.deadline_ms)
    return _set(hazard, state=state, due_ms=due_ms, **more)


def _want(hazard: Hazard, *states: str) -> None:
    if hazard.state not in states:
        raise _no("conflict", f"hazard {hazard.id}: is {hazard.state}, want {' or '.join(states)}.")


def _want_second(hazard: Hazard, by: str, person: int | None, what: str) -> None:
    if hazard.fix is None:
        return
    same = by == hazard.fix.by or (person is not None and person == hazard.fix.person)
    if same:
        raise _no("conflict", f"hazard {hazard.id}: {by} fixed it. A second person must {what} it.")


def _want_future(what: str, at_ms: int, now_ms: int) -> None:
    if at_ms <= now_ms:
        raise _no("invalid", f"{what}: got a time that is over, want a later one.")


def _no(code: str, text: str) -> ControlError:
    return ControlError(Problem(code, text))


def _ms(hours: float) -> int:
    return int(hours * HOUR_MS)
