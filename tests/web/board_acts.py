"""Commands of the duty board on the stand-in for the gateway: the real register on the station's ledger."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.board.register import DutyBoard
from gateway.board.rows import Done, Mark, SoundCheck
from gateway.control.protocol import AlarmView
from gateway.duty.people import People
from gateway.duty.shifts import Shifts
from gateway.ledger.changes import Changes
from gateway.ledger.entries import Pen, SavedEntries

if TYPE_CHECKING:
    from tests.web.station import Station


class BoardActs:
    """The register, each command in a transaction of its own."""

    def __init__(self, station: Station) -> None:
        self.station = station
        saved = SavedEntries({}, {})
        self.board = DutyBoard(saved, Shifts(saved, People(saved)))

    def do(self, op: str, actor: str, args: dict[str, Any]) -> Any:
        """Carry a command out; None where it is another's."""
        found: Callable[..., Any] | None = getattr(self, "_" + op.replace(".", "_"), None)
        if found is None:
            return None
        now_ms = time.time_ns() // 1_000_000
        changes = Changes(now_ms)
        pen = Pen(changes, now_ms)
        row = found(pen, actor, **args)
        changes.write(self.station.db)
        for event in pen.events():
            self.station._tell(event.event, event.data)
        return {} if row is None else msgspec.to_builtins(row)

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Open rows, as a snapshot has them."""
        sheets = self.board.sheets()
        return {sheet.kind.name: [msgspec.to_builtins(row) for row in sheet.rows.values()] for sheet in sheets}

    def _floor_plan_add(
        self, pen: Pen, actor: str, site: str, title: str, picture: str, width: int, height: int
    ) -> Any:
        return self.board.add_plan(pen, site, title, (picture, width, height), actor)

    def _floor_plan_change(self, pen: Pen, actor: str, id: int, **fields: Any) -> Any:  # noqa: A002  # name of the argument
        plan = self.board.plan(id)
        assert plan is not None
        given = {name: value for name, value in fields.items() if value is not None}
        return self.board.change_plan(pen, plan, actor, **given)

    def _floor_plan_remove(self, pen: Pen, actor: str, id: int) -> Any:  # noqa: A002  # name of the argument
        plan = self.board.plan(id)
        assert plan is not None
        return self.board.remove_plan(pen, plan, actor)

    def _floor_plan_place(self, pen: Pen, actor: str, id: int, at: str, x: int, y: int) -> Any:  # noqa: A002  # name of the argument
        plan = self.board.plan(id)
        assert plan is not None
        return self.board.place(pen, plan, Mark(at, x, y), actor)

    def _floor_plan_unplace(self, pen: Pen, actor: str, id: int, at: str) -> Any:  # noqa: A002  # name of the argument
        plan = self.board.plan(id)
        assert plan is not None
        return self.board.unplace(pen, plan, at, actor)

    def _advice_tick(self, pen: Pen, actor: str, alarm_id: int, step: int, done: bool) -> Any:
        alarm = msgspec.convert(self.station._view(alarm_id), AlarmView)
        if not done:
            return self.board.untick(pen, alarm, step, actor)
        return self.board.tick(pen, alarm, Done(step, f"step {step}", actor, pen.now_ms))

    def _sound_check_listen(self, pen: Pen, actor: str, site: str, heard: bool, screen: str) -> Any:
        check = SoundCheck(id=0, site=site, state="", from_ms=pen.now_ms, heard=heard, user=actor, screen=screen)
        return self.board.listen(pen, check)
