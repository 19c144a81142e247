"""Work orders (工单) of all sites: opened from a cause, an alarm, a hazard or by hand; closed when the data shows that
the work is done, and opened again when the fault returns. What an order goes through: order_life.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from contract.order import OrderHandling, Priority
from contract.site import REGISTER_DEVICE
from gateway.control.protocol import AlarmView
from gateway.installation import Installation
from gateway.ledger.entries import GATEWAY, Pen, Register, SavedEntries, Sheet
from gateway.work import order_life as o
from gateway.work.hazards import STILL, Hazards
from gateway.work.order_life import ORDER, Cause, Order
from gateway.work.rectification import DAY_MS, HOUR_MS, Round
from gateway.work.witness import NoWitness, Witness

LOOK_MS = 10_000
"""While work waits for its data, the data is looked at this often."""
_DEFAULT = OrderHandling()


class Orders(Register):
    """The orders at hand. hazards: the register they may stand on; witness: tells when a thing was seen to work."""

    def __init__(self, saved: SavedEntries, hazards: Hazards, witness: Witness | None = None) -> None:
        self._sheet = Sheet(ORDER, saved)
        self._hazards = hazards
        self._witness = witness or NoWitness()
        self._installation: Installation | None = None
        self._active: dict[int, AlarmView] = {}
        self._looked_ms = 0
        self._next_ms: int | None = None
        self._changed = True

    # --- what it is told -----------------------------------------------------------------------------------------

    def sheets(self) -> Iterable[Sheet[Order]]:
        """The orders."""
        return (self._sheet,)

    def install(self, installation: Installation) -> None:
        """These sites and rules are in force."""
        self._installation = installation
        self._changed = True

    def restore(self, alarms: Iterable[AlarmView], alive_ms: int, now_ms: int) -> None:  # noqa: ARG002 # it needs no time
        """After a start: the alarms that are open. What the data is to confirm is looked at anew."""
        for alarm in alarms:
            self._note(alarm)

    def find(self, order_id: int) -> Order | None:
        """An order at hand: one that is not filed or withdrawn."""
        return self._sheet.rows.get(order_id)

    def open(self, site: str | None = None) -> list[Order]:
        """Orders with something left to do, of one site or of all."""
        return [row for row in self._sheet.rows.values() if row.is_open and site in (None, row.site)]

    def is_number(self, order_id: int) -> bool:
        """Whether an order ever had this number."""
        return 0 < order_id < self._sheet.next_id

    def handling(self, site: str) -> OrderHandling:
        """How the site handles orders."""
        found = self._installation.sites.get(site) if self._installation else None
        return found.orders if found else _DEFAULT

    # --- opened --------------------------------------------------------------------------------------------------

    def ask(
        self,
        pen: Pen,
        site: str,
        by: str,
        *,
        cause: Cause = "other",
        title: str = "",
        subject: str = "",
        place: str = "",
        priority: Priority = "normal",
        alarm: AlarmView | None = None,
        hazard: int | None = None,
        deadline_ms: int | None = None,
        photo: str = "",
    ) -> Order:
        """Somebody wants work done; gives its order.

        What is at hand already (the same alarm, the same hazard, or the same words about the same thing) is no second
        order: it is noted that it was asked for again.
        """
        subject = alarm.subject if alarm else subject
        rule = alarm.rule if alarm else ""
        known = self._known(site, rule, subject, hazard, title or place)
        if known is not None:
            return self._keep(pen, msgspec.structs.replace(known, seen=known.seen + 1), "see", by)
        now_ms = pen.now_ms
        due_ms = deadline_ms or now_ms + int(self.handling(site).due_h(priority) * HOUR_MS)
        row = Order(
            id=self._sheet.take_id(), site=site, state="open", from_ms=now_ms, cause=cause, title=title,
            subject=subject, place=place, priority=priority, by=by, rule=rule, alarm_id=alarm.id if alarm else None,
            hazard=hazard, due_ms=due_ms, deadline_ms=due_ms, photo=photo, rounds=(Round(now_ms),),
        )  # fmt: skip
        return self._keep(pen, row, "open", by)

    def step(
        self, pen: Pen, order: Order, verb: str, actor: str, change: Callable[[Order], Order], **detail: object
    ) -> Order:
        """Take an order one step on. `change` gives it as it is then, or raises ControlError having changed nothing."""
        return self._keep(pen, change(o.settle(order, pen.now_ms)), verb, actor, **detail)

    def _known(self, site: str, rule: str, subject: str, hazard: int | None, words: str) -> Order | None:
        for row in self._sheet.rows.values():
            if row.site != site or not row.is_open:
                continue
            if rule or row.rule:
                same = (row.rule, row.subject) == (rule, subject)
            elif hazard is not None or row.hazard is not None:
                same = row.hazard == hazard
            else:
                same = row.subject == subject and (row.title or row.place) == words
            if same:
                return row
        return None

    # --- alarms --------------------------------------------------------------------------------------------------

    def alarm_moved(self, alarm: AlarmView, event: str, pen: Pen) -> None:
        """An alarm clears or returns: what that means for the orders that stand on it."""
        self._note(alarm)
        if alarm.drill is not None or alarm.device == REGISTER_DEVICE:
            return
        for row in list(self._sheet.rows.values()):
            if row.subject == alarm.subject and row.rule in ("", alarm.rule):
                self._follow(row, alarm, event, pen)

    def _follow(self, row: Order, alarm: AlarmView, event: str, pen: Pen) -> None:
        if not alarm.active:
            if alarm.id == row.alarm_id and row.clear_ms is None and event == "clear":
                cleared = msgspec.structs.replace(row, clear_ms=max(pen.now_ms, alarm.cleared_ms or 0))
                self._keep(pen, cleared, "clear", GATEWAY, alarm=alarm.id)
            return
        is_back = alarm.id != row.alarm_id or row.clear_ms is not None
        if alarm.hold in STILL or not is_back:
            return
        if not row.rule and row.state not in ("done", "closed"):
            return  # an order about a thing, not about this alarm, and nobody says that it is done
        again = row if not row.rule else msgspec.structs.replace(row, alarm_id=alarm.id, clear_ms=None)
        if row.state in ("done", "closed"):
            handling = self.handling(row.site)
            back: Callable[[Order], Order] = lambda each: o.reopen(each, pen.now_ms, handling)  # noqa: E731 # one line
            self.step(pen, again, "return", GATEWAY, back, alarm=alarm.id)
        else:
            self._keep(pen, again, "see", GATEWAY, alarm=alarm.id)

    def _note(self, alarm: AlarmView) -> None:
        """Know which alarms are active."""
        if alarm.active and alarm.drill is None:
            self._active[alarm.id] = alarm
        else:
            self._active.pop(alarm.id, None)

    def _stands(self, row: Order) -> bool:
        """Whether an alarm stands that says that it is not done; one that is held stands as well."""
        if row.rule:
            return any((a.rule, a.subject) == (row.rule, row.subject) for a in self._active.values())
        return any(a.subject == row.subject and a.severity != "info" for a in self._active.values())

    # --- time ----------------------------------------------------------------------------------------------------

    def next_due_ms(self) -> int | None:
        """When a step becomes late, the data is to be looked at, or a closed one is filed."""
        if self._changed:
            dues = [due for row in self._sheet.rows.values() if (due := self._due_ms(row)) is not None]
            self._next_ms, self._changed = min(dues, default=None), False
        return self._next_ms

    def _due_ms(self, row: Order) -> int | None:
        if row.state == "closed":
            return self._filed_ms(row)
        dues = [row.due_ms] if row.due_ms is not None and not row.is_overdue else []
        if row.state == "done" and (row.needs_data or row.hazard is not None):
            dues.append(max(self._quiet_ms(row), self._looked_ms + LOOK_MS))
        return min(dues, default=None)

    def _quiet_ms(self, row: Order) -> int:
        """Until when its alarm must have stayed clear."""
        assert row.done is not None, "what is done says when"
        return max(row.done.at_ms, row.clear_ms or 0) + int(self.handling(row.site).confirm_h * HOUR_MS)

    def _filed_ms(self, row: Order) -> int:
        return (row.until_ms or row.from_ms) + int(self.handling(row.site).return_days * DAY_MS)

    def advance(self, pen: Pen) -> None:
        """Let time pass up to now."""
        self._changed = True
        due = [row for row in self._sheet.rows.values() if (at := self._due_ms(row)) is not None and at <= pen.now_ms]
        self._looked_ms = pen.now_ms
        for row in due:
            self._let_pass(row, pen)

    def _let_pass(self, row: Order, pen: Pen) -> None:
        if row.state == "closed":
            self._keep(pen, o.file(row), "file", GATEWAY)
        elif row.state == "done" and self._is_shown(row, pen.now_ms):
            self.step(pen, row, "confirm", GATEWAY, lambda each: o.confirm(each, pen.now_ms))
        elif (settled := o.settle(row, pen.now_ms)) is not row:
            self._keep(pen, settled, "overdue", GATEWAY)

    def _is_shown(self, row: Order, now_ms: int) -> bool:
        """Whether the data shows that the work is done."""
        if not row.subject:
            return row.hazard is not None and self._is_gone(row.hazard)
        if now_ms < self._quiet_ms(row) or self._stands(row):
            return False
        assert row.done is not None, "what is done says when"
        seen_ms = self._witness.last_good_ms(row.subject)
        return seen_ms is not None and seen_ms >= row.done.at_ms

    def _is_gone(self, hazard: int) -> bool:
        """Whether a hazard is confirmed; one that is no longer at hand was filed."""
        found = self._hazards.find(hazard)
        return found is None or found.state in ("verified", "closed", "dismissed")

    # --- rows ----------------------------------------------------------------------------------------------------

    def _keep(self, pen: Pen, row: Order, verb: str, actor: str, **detail: object) -> Order:
        pen.write(self._sheet, row, verb, actor, **detail)
        self._changed = True
        if self._installation is not None and row.site in self._installation.sites:
            rows = self.open(row.site)
            pen.say(row.site, "orders_open_count", len(rows))
            pen.say(row.site, "orders_overdue_count", sum(each.is_overdue for each in rows))
        return row
