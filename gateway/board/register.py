"""The register of the duty board: floor plans, ticks of advice, sound checks. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from gateway.board.rows import ADVICE, FLOOR_PLAN, SOUND_CHECK, Advice, Done, FloorPlan, Mark, SoundCheck
from gateway.control.protocol import AlarmView
from gateway.duty.shifts import Shifts
from gateway.installation import Installation
from gateway.ledger.entries import GATEWAY, Pen, Register, SavedEntries, Sheet


class DutyBoard(Register):
    """Plans that are shown, advice of open alarms, the last sound check of each site.

    It says of each station whether this shift has listened to its screen: `ok`, `untested`, or `not_heard`.
    """

    def __init__(self, saved: SavedEntries, shifts: Shifts) -> None:
        self._plans = Sheet(FLOOR_PLAN, saved)
        self._advice = Sheet(ADVICE, saved)
        self._sounds = Sheet(SOUND_CHECK, saved)
        self._shifts = shifts
        self._unsaid: set[str] = set()
        shifts.watch(self._unsaid.add)

    def sheets(self) -> Iterable[Sheet[Any]]:
        return (self._plans, self._advice, self._sounds)

    def install(self, installation: Installation) -> None:
        """Stations are to be listened to."""
        self._unsaid.update(site.site for site in installation.sites.values() if site.station is not None)

    def next_due_ms(self) -> int | None:
        """At once where a shift or a sound check is another."""
        return 0 if self._unsaid else None

    def advance(self, pen: Pen) -> None:
        """Say what is to be said of the sound."""
        for site in sorted(self._unsaid):
            if self._shifts.station(site) is not None:
                pen.say(site, "sound", self._sound_word(site))
        self._unsaid.clear()

    def _sound_word(self, site: str) -> str:
        station, shift = self._shifts.station(site), self._shifts.current(site)
        if station is None or not station.sound_check or shift is None:
            return "ok"  # nobody there is another rule's affair
        last = next((row for row in self._sounds.rows.values() if row.site == site), None)
        if last is None or not last.is_of_shift(shift.from_ms):
            return "untested"
        return "ok" if last.heard else "not_heard"

    def alarm_moved(self, alarm: AlarmView, event: str, pen: Pen) -> None:  # noqa: ARG002 # of the interface
        """The list of an alarm that is back to normal is over."""
        row = self._advice.rows.get(alarm.id)
        if row is not None and alarm.state == "normal":
            pen.write(self._advice, replace(row, state="over", until_ms=pen.now_ms), "over")

    # --- floor plans -----------------------------------------------------------------------------------------------

    def plan(self, number: int) -> FloorPlan | None:
        """A plan that is shown."""
        return self._plans.rows.get(number)

    def plans(self, site: str) -> list[FloorPlan]:
        """The plans of a site, in order."""
        found = [row for row in self._plans.rows.values() if row.site == site]
        return sorted(found, key=lambda row: (row.position, row.id))

    def add_plan(self, pen: Pen, site: str, title: str, picture: tuple[str, int, int], actor: str) -> FloorPlan:
        """Show a further plan, after the others. picture: name in the store, width and height in pixels."""
        position = max((row.position for row in self.plans(site)), default=0) + 1
        row = FloorPlan(
            id=self._plans.take_id(), site=site, state="shown", from_ms=pen.now_ms, title=title, position=position,
            picture=picture[0], width=picture[1], height=picture[2],
        )  # fmt: skip
        return pen.write(self._plans, row, "add", actor)

    def change_plan(self, pen: Pen, plan: FloorPlan, actor: str, **fields: Any) -> FloorPlan:
        """Title, position or picture are others; the marks stay where they are on it."""
        changed = replace(plan, **fields)
        return plan if changed == plan else pen.write(self._plans, changed, "change", actor)

    def remove_plan(self, pen: Pen, plan: FloorPlan, actor: str) -> FloorPlan:
        """The plan is shown no more."""
        return pen.write(self._plans, replace(plan, state="removed", until_ms=pen.now_ms), "remove", actor)

    def place(self, pen: Pen, plan: FloorPlan, mark: Mark, actor: str) -> FloorPlan:
        """Something stands at a place of the plan; it is moved there if it stands elsewhere on it."""
        others = tuple(old for old in plan.marks if old.at != mark.at)
        if plan.mark(mark.at) == mark:
            return plan
        return pen.write(
            self._plans, replace(plan, marks=(*others, mark)), "place", actor, at=mark.at, x=mark.x, y=mark.y
        )

    def unplace(self, pen: Pen, plan: FloorPlan, at: str, actor: str) -> FloorPlan:
        """Something stands on the plan no more."""
        kept = tuple(mark for mark in plan.marks if mark.at != at)
        if kept == plan.marks:
            return plan
        return pen.write(self._plans, replace(plan, marks=kept), "unplace", actor, at=at)

    # --- advice ----------------------------------------------------------------------------------------------------

    def advice(self, alarm: int) -> Advice | None:
        """What was done of an open alarm's advice; None: nothing yet."""
        return self._advice.rows.get(alarm)

    def tick(self, pen: Pen, alarm: AlarmView, done: Done) -> Advice:
        """A step was done; done twice is done once, by who did it first."""
        row = self._advice.rows.get(alarm.id)
        if row is None:
            row = Advice(id=alarm.id, site=alarm.site, state="open", from_ms=pen.now_ms)
        elif any(old.step == done.step for old in row.done):
            return row
        row = replace(row, done=tuple(sorted((*row.done, done), key=lambda each: each.step)))
        return pen.write(self._advice, row, "tick", done.by, step=done.step, text=done.text)

    def untick(self, pen: Pen, alarm: AlarmView, step: int, actor: str) -> Advice | None:
        """A step was not done after all; the tick stays in the audit."""
        row = self._advice.rows.get(alarm.id)
        if row is None or all(old.step != step for old in row.done):
            return row
        kept = tuple(old for old in row.done if old.step != step)
        return pen.write(self._advice, replace(row, done=kept), "untick", actor, step=step)

    # --- sound -----------------------------------------------------------------------------------------------------

    def listen(self, pen: Pen, check: SoundCheck) -> SoundCheck:
        """Somebody listened; what was known of the site before is past."""
        for old in [row for row in self._sounds.rows.values() if row.site == check.site]:
            pen.write(self._sounds, replace(old, state="past", until_ms=pen.now_ms), "past", GATEWAY)
        self._unsaid.add(check.site)
        row = replace(check, id=self._sounds.take_id(), state="heard" if check.heard else "not_heard")
        return pen.write(self._sounds, row, "listen", check.user)
