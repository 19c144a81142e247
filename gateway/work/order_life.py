"""A work order (工单) and the steps of its life. Pure.

    open ──take──> taken ──done──> done ──confirm (the data) or close (a second person)──> closed ──> filed
      └──────────withdraw──────────┴──> withdrawn        done, closed ──return, reject──> taken or open

An order that names a device, a point or an alarm closes only when the data confirms it: the alarm it stands on is clear
and a good value was measured after the work. One that names nothing is looked at by a second person. A fault that
returns opens its order again.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from contract.order import OrderHandling, Priority
from gateway.control.client import ControlError
from gateway.control.protocol import Problem
from gateway.ledger.entries import Entry, Kind
from gateway.work.rectification import DATA, Overdue, Round

State = Literal["open", "taken", "done", "closed", "filed", "withdrawn"]
Cause = Literal["line", "unit", "battery", "signal", "clock", "backlog", "history", "date", "other"]
"""Where in the plant the fault is; `other`: none of these, or not known."""
PENDING: tuple[State, ...] = ("open", "taken", "done")
"""An order in one of these counts as open."""
WORKING: tuple[State, ...] = ("open", "taken")
HOUR_MS = 3_600_000
MOST_PARTS = 40


class Part(msgspec.Struct, frozen=True):
    """Something that was used."""

    name: str
    count: int = 1


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What was done. at_ms: when the work was finished, ms UTC. works: kinds of work recorded with it. photo: hash of
    the picture taken after."""

    by: str
    at_ms: int
    note: str
    works: tuple[str, ...] = ()
    photo: str = ""


class Order(Entry, frozen=True, kw_only=True):
    """A work order as it is now. Times ms UTC; from_ms: when it was opened first, until_ms: when it closed."""

    cause: Cause = "other"
    title: str = ""
    """What is to be done, in words; empty where rule and subject say it."""
    subject: str = ""
    """site/agent, site/device or site/device/point; empty where it is about a place."""
    place: str = ""
    priority: Priority = "normal"
    by: str = ""
    rule: str = ""
    alarm_id: int | None = None
    """The alarm it stands on; with `rule` and `subject`."""
    hazard: int | None = None
    """The hazard it was opened for."""
    clear_ms: int | None = None
    """Since when that alarm is clear; None: it stands, or there is none."""
    owner: str = ""
    """Login, or the name of a company; empty: nobody has it."""
    due_ms: int | None = None
    """By when the next step must be done."""
    deadline_ms: int = 0
    """By when the work itself is to be done."""
    parts: tuple[Part, ...] = ()
    photo: str = ""
    """Hash of the picture taken before."""
    done: Done | None = None
    window: int | None = None
    """The maintenance window that was opened from it last."""
    confirmed_by: str = ""
    """A login, or `data`."""
    reopened: int = 0
    """How often it was opened again: the fault returned, or the work was rejected."""
    seen: int = 1
    """How often the same was asked for."""
    rounds: tuple[Round, ...] = ()
    overdue: tuple[Overdue, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether there is something left to do."""
        return self.state in PENDING

    @property
    def is_overdue(self) -> bool:
        """Whether its next step is late now."""
        return bool(self.overdue) and self.overdue[-1].until_ms is None

    @property
    def needs_data(self) -> bool:
        """Whether only the data can close it."""
        return bool(self.subject)


ORDER = Kind("order", Order, frozenset({*PENDING, "closed"}))
"""Closed ones stay at hand until they are filed: until then a fault that returns opens them again."""
_set = msgspec.structs.replace


# --- the steps: each gives the order as it is after it, or raises ControlError having changed nothing --------------


def take(order: Order, owner: str, now_ms: int) -> Order:
    """Somebody takes it on, or is given it."""
    _want(order, *WORKING)
    if order.state == "taken" and order.owner == owner:
        raise _no("conflict", f"order {order.id}: {owner} has it already.")
    return _enter(order, "taken", order.deadline_ms, now_ms, owner=owner)


def plan(order: Order, now_ms: int, *, deadline_ms: int | None = None, priority: Priority | None = None) -> Order:
    """Another date or priority."""
    _want(order, *WORKING)
    if deadline_ms is not None and deadline_ms <= now_ms:
        raise _no("invalid", "deadline: got a time that is over, want a later one.")
    due_ms = order.deadline_ms if deadline_ms is None else deadline_ms
    return _enter(order, order.state, due_ms, now_ms, deadline_ms=due_ms, priority=priority or order.priority)


def use(order: Order, parts: tuple[Part, ...]) -> Order:
    """Parts that were used, more of the same added to what stands there."""
    _want(order, *PENDING)
    counts = {part.name: part.count for part in order.parts}
    for part in parts:
        counts[part.name] = counts.get(part.name, 0) + part.count
    if len(counts) > MOST_PARTS:
        raise _no("invalid", f"order {order.id}: got {len(counts)} kinds of parts, want at most {MOST_PARTS}.")
    return _set(order, parts=tuple(Part(name, count) for name, count in counts.items()))


def finish(order: Order, done: Done, now_ms: int, handling: OrderHandling) -> Order:
    """Who has it says that the work is done; now the data has to show it."""
    _want(order, "taken")
    since_ms = order.rounds[-1].found_ms
    if not since_ms <= done.at_ms <= now_ms:
        raise _no("invalid", f"order {order.id}: got work that ended before it was asked for, or ahead. Mend the time.")
    return _enter(order, "done", now_ms + _ms(handling.confirm_within_h), now_ms, done=done)


def confirm(order: Order, now_ms: int) -> Order:
    """The data shows that it is done."""
    assert order.state == "done", f"order {order.id}: nothing is to be confirmed"
    return _shut(order, DATA, now_ms)


def close(order: Order, by: str, now_ms: int) -> Order:
    """A second person looked at work that no data speaks of."""
    _want(order, "done")
    if order.needs_data or order.hazard is not None:
        raise _no(
            "conflict",
            f"order {order.id}: closes by itself when the data shows that the fault is gone. See why it does not.",
        )
    assert order.done is not None, "what is done says by whom"
    if by == order.done.by:
        raise _no("conflict", f"order {order.id}: {by} did the work. A second person must look at it.")
    return _shut(order, by, now_ms)


def reopen(order: Order, now_ms: int, handling: OrderHandling) -> Order:
    """It is there again, or still: back to who had it; one that was closed has a new date."""
    rounds, deadline_ms = order.rounds, order.deadline_ms
    if order.state == "closed":
        rounds = (*rounds, Round(now_ms))
        deadline_ms = now_ms + _ms(handling.due_h(order.priority))
    again = _set(
        order, done=None, confirmed_by="", until_ms=None, reopened=order.reopened + 1, rounds=rounds,
        deadline_ms=deadline_ms,
    )  # fmt: skip
    return _enter(again, "taken" if again.owner else "open", deadline_ms, now_ms)


def reject(order: Order, now_ms: int, handling: OrderHandling) -> Order:
    """Somebody looked and it is not done."""
    _want(order, "done")
    return reopen(order, now_ms, handling)


def withdraw(order: Order, now_ms: int) -> Order:
    """It is not wanted any more. What was said to be done is confirmed or rejected instead."""
    _want(order, *WORKING)
    return settle(_set(order, state="withdrawn", until_ms=now_ms, due_ms=None, rounds=_end(order, now_ms)), now_ms)


def file(order: Order) -> Order:
    """Its fault did not return; from now on it is history."""
    _want(order, "closed")
    return _set(order, state="filed")


def settle(order: Order, now_ms: int, *, moved: bool = False) -> Order:
    """Note since when its next step is late, or that it is late no more.

    Args:
        moved: it has just come to this step, whose date may lie in the past: then it is late from now on.
    """
    late = order.is_open and order.due_ms is not None and order.due_ms <= now_ms
    if late and not order.is_overdue:
        since_ms = now_ms if moved or order.due_ms is None else order.due_ms
        return _set(order, overdue=(*order.overdue, Overdue(since_ms)))
    if order.is_overdue and not late:
        return _set(order, overdue=(*order.overdue[:-1], _set(order.overdue[-1], until_ms=now_ms)))
    return order


def _shut(order: Order, by: str, now_ms: int) -> Order:
    shut = _set(
        order, state="closed", until_ms=now_ms, due_ms=None, confirmed_by=by, rounds=_end(order, now_ms)
    )  # fmt: skip
    return settle(shut, now_ms)


def _end(order: Order, now_ms: int) -> tuple[Round, ...]:
    return (*order.rounds[:-1], _set(order.rounds[-1], closed_ms=now_ms))


def _enter(order: Order, state: str, due_ms: int, now_ms: int, **more: Any) -> Order:
    return settle(_set(order, state=state, due_ms=due_ms, **more), now_ms, moved=True)


def _want(order: Order, *states: str) -> None:
    if order.state not in states:
        raise _no("conflict", f"order {order.id}: is {order.state}, want {' or '.join(states)}.")


def _no(code: str, text: str) -> ControlError:
    return ControlError(Problem(code, text))


def _ms(hours: float) -> int:
    return int(hours * HOUR_MS)
