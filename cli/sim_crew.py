"""The people of a fast run: they relieve each other, answer duty checks, write the log, look at equipment, walk routes,
train, and go to a fire; or do not, where the story says so. They act by the commands that people have, and by nothing
else.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from datetime import datetime
from functools import partial
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from cli.demo_crew import PEOPLE, UNTIL
from cli.sim_desk import Desk
from contract.site import Site
from gateway.control.client import ControlError
from gateway.duty.roster_check import Shift, shifts_between
from gateway.work.labels import make_label
from simulators.story import GOOD_HABITS, Story
from simulators.story_acts import Habits

CREWS = ((1, 2), (3, 4), (5, 6))
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
CELLS = 60
"""Shifts planned in one command."""
SIGN_TRIES = 5


class Crew:
    """Everybody of one station.

    Args:
        desk: where they give their commands.
        site: with its station, routes and trainings.
        story: how long it lasts, and habits that are not good ones.
        seed: of how early, late and quick they are.
    """

    def __init__(self, desk: Desk, site: Site, story: Story, seed: int) -> None:
        assert site.station is not None
        self.refused: list[str] = []
        self._desk = desk
        self._site = site
        self._station = site.station
        self._post = site.station.posts[0].id
        self._zone = ZoneInfo(site.time_zone)
        self._rng = random.Random(f"{seed}/crew")  # noqa: S311  # a seed that must repeat, not a secret
        self._habits = GOOD_HABITS
        self._tasks: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self._turns = -1
        self._checks: set[int] = set()
        self._fires: set[int] = set()
        self._alarms: set[int] = set()
        self._on_duty = CREWS[0]
        self._end_ms = desk.now_ms + round((story.length_s + story.tail_s) * 1000) + 9 * DAY_MS
        self.change(story.crew)
        self._begin()

    def change(self, habits: Habits) -> None:
        """From here on they do it so."""
        self._habits = self._habits.model_copy(update=habits.model_dump(exclude_none=True))
        if habits.ticks:
            self._at(self._desk.now_ms + MINUTE_MS, self._look_at_equipment)
        if habits.patrols:
            self._at(self._desk.now_ms + MINUTE_MS, self._walk)
        if habits.trains:
            self._at(self._desk.now_ms + MINUTE_MS, self._train)
        if habits.log:
            self._at(self._desk.now_ms + MINUTE_MS, self._write_log)
        if habits.listens:
            self._at(self._desk.now_ms + MINUTE_MS, self._listen)

    def next_ms(self) -> int:
        """When somebody does something next."""
        if self._turns != self._desk.turns:
            self._turns = self._desk.turns
            self._notice()
        return self._tasks[0][0] if self._tasks else 2**62

    def act(self) -> None:
        """Do what is due."""
        while self._tasks and self._tasks[0][0] <= self._desk.now_ms:
            heapq.heappop(self._tasks)[2]()

    # --- a station begins -----------------------------------------------------------------------------------------

    def _begin(self) -> None:
        certificate = [{"kind": "operator", "until": UNTIL.isoformat()}]
        for each in PEOPLE:
            fields = {key: value for key, value in each.items() if key != "user"}
            self._ask("person.add", site=self._site.site, certificates=certificate, **fields)
        ahead = shifts_between(self._station, self._zone, self._desk.now_ms - 8 * HOUR_MS, self._end_ms)
        shifts = [shift for shift in ahead if shift.until_ms > self._desk.now_ms]
        self._plan(shifts)
        if self._habits.begins:
            for person in CREWS[0]:
                self._ask("shift.sign_on", site=self._site.site, post=self._post, person=person, proof="pin")
            self._sign("new", CREWS[0][0])
            self._sign("old", CREWS[2][0])
            self._listen()
        self._look_at_equipment()
        self._train()
        self._walk()
        self._at(self._desk.now_ms + 90 * MINUTE_MS, self._write_log)
        for number, shift in enumerate(shifts[1:], 1):
            off_ms = self._rng.randrange(-5 * MINUTE_MS, 3 * MINUTE_MS)
            self._at(shift.from_ms + off_ms, partial(self._come, number))

    def _plan(self, shifts: list[Shift]) -> None:
        cells = [
            {"site": self._site.site, "day": shift.day.isoformat(), "shift": shift.begins, "post": post.id,
             "people": list(CREWS[number % len(CREWS)])}
            for number, shift in enumerate(shifts)
            for post in self._station.posts
        ]  # fmt: skip
        for first in range(0, len(cells), CELLS):
            self._ask("roster.plan", cells=cells[first : first + CELLS], accept=True)

    # --- day by day -----------------------------------------------------------------------------------------------

    def _come(self, number: int) -> None:
        """The crew of that shift comes, late or not, and takes over."""
        if not self._habits.relief:
            return
        late_ms = round((self._habits.late_s or 0.0) * 1000)
        if late_ms:
            self._at(self._desk.now_ms + late_ms, partial(self._relieve, number))
        else:
            self._relieve(number)

    def _relieve(self, number: int) -> None:
        old, new = self._on_duty, CREWS[number % len(CREWS)]
        for person in new:
            self._ask(
                "shift.sign_on", site=self._site.site, post=self._post, person=person, proof="pin", takes_over=True
            )
        self._sign("old", old[0])
        self._sign("new", new[0])
        self._on_duty = new
        self._listen()
        self._look_at_equipment()

    def _sign(self, side: str, person: int) -> None:
        """Look at the sheet and sign it; it may change in between."""
        for _ in range(SIGN_TRIES):
            seen = self._ask("handover.look", site=self._site.site)
            if seen is None:
                return
            fields = {"site": self._site.site, "side": side, "seen": seen["seen"], "person": person, "proof": "pin"}
            if self._ask("handover.sign", **fields) is not None:
                return

    def _write_log(self) -> None:
        if self._habits.log:
            self._ask("log.write", site=self._site.site, text="巡视正常", person=self._on_duty[0], proof="pin")
            self._at(self._desk.now_ms + self._rng.randrange(70, 110) * MINUTE_MS, self._write_log)

    def _listen(self) -> None:
        """Turn the sound of the duty screen on, and hear it."""
        if self._habits.listens:
            self._ask("sound_check.listen", site=self._site.site, heard=True)

    def _look_at_equipment(self) -> None:
        if self._habits.ticks:
            for item in self._station.equipment:
                self._ask("equipment.tick", site=self._site.site, item=item.id, count=item.count, result="ok")

    def _walk(self) -> None:
        """Every route once a day, stop by stop."""
        if not self._habits.patrols:
            return
        for plan in self._site.patrols:
            begun = self._ask("round.start", site=self._site.site, plan=plan.id)
            if begun is not None:
                self._at(self._desk.now_ms + 3 * MINUTE_MS, partial(self._stop, plan, begun["id"], 0))
        self._at(self._desk.now_ms + DAY_MS - HOUR_MS, self._walk)

    def _stop(self, plan: Any, number: int, at: int) -> None:
        if at >= len(plan.stops):
            self._ask("round.finish", id=number)
            return
        stop = plan.stops[at]
        spot = stop.device or stop.id
        proof = make_label(self._desk.secret, self._site.site, spot).token
        answers = [[n, "ok"] for n in range(len(stop.items) or 1)]
        self._ask("round.tick", id=number, spot=spot, proof=proof, answers=answers)
        self._at(self._desk.now_ms + 3 * MINUTE_MS, partial(self._stop, plan, number, at + 1))

    def _train(self) -> None:
        """Drill, training and assessment, each a little more often than it is owed."""
        if not self._habits.trains:
            return
        for plan in self._desk.state.registers.patrols.plans(self._site.site):
            if plan.spec.is_training:
                now_ms = self._desk.now_ms
                self._ask("training.record", site=self._site.site, plan=plan.spec.plan, held_ms=now_ms, count=6)
        self._at(self._desk.now_ms + 12 * DAY_MS, self._train)

    # --- what they notice -----------------------------------------------------------------------------------------

    def _notice(self) -> None:
        """What a turn brought that somebody has to answer."""
        state, now_ms = self._desk.state, self._desk.now_ms
        for check in list(state.duty.shown.values()):
            if check.id not in self._checks:
                self._checks.add(check.id)
                delay_ms = self._rng.randrange(MINUTE_MS, 7 * MINUTE_MS)
                self._at(now_ms + delay_ms, partial(self._answer, check.id))
        for incident in list(state.registers.incidents.sheet.rows.values()):
            if incident.id not in self._fires:
                self._fires.add(incident.id)
                self._go(incident.id)
        for alarm in list(state.book.open.values()):
            if alarm.id not in self._alarms and alarm.severity == "fire":
                self._alarms.add(alarm.id)
                delay_ms = self._rng.randrange(15_000, 40_000)
                self._at(now_ms + delay_ms, partial(self._acknowledge, alarm.id))

    def _answer(self, number: int) -> None:
        if self._habits.answers:
            self._ask("duty.answer", id=number, person=self._on_duty[0], proof="pin")

    def _acknowledge(self, number: int) -> None:
        if self._habits.responds:
            self._ask("alarm.acknowledge", alarm_id=number)

    def _go(self, number: int) -> None:
        """A minute to be there, three for a neighbour or none, five for the brigade; then it is found and closed."""
        site, now_ms = self._site.site, self._desk.now_ms
        steps: tuple[tuple[int, str, dict[str, Any]], ...] = (
            (25, "incident.depart", {"station": site}),
            (50, "incident.arrive", {"station": site, "people": list(self._on_duty)}),
            (80, "incident.brigade", {"what": "not_needed"}),
        )
        for second, op, args in steps:
            at_ms = now_ms + second * 1000 + self._rng.randrange(0, 6000)
            self._at(at_ms, partial(self._respond, number, op, args))

    def _respond(self, number: int, op: str, args: dict[str, Any]) -> None:
        if self._habits.responds:
            self._ask(op, id=number, **args)

    # --- by command -----------------------------------------------------------------------------------------------

    def _ask(self, op: str, **args: Any) -> Any:
        """Its result; None where it is refused, which is kept for whoever reads the run."""
        self._desk.now_ms += 1
        try:
            return self._desk.command(op, "duty", args)
        except ControlError as exc:
            at = datetime.fromtimestamp(self._desk.now_ms / 1000, self._zone).strftime("%m-%d %H:%M")
            self.refused.append(f"{at} {op}: {exc.code}: {exc}")
            return None

    def _at(self, at_ms: int, task: Callable[[], None]) -> None:
        heapq.heappush(self._tasks, (at_ms, next(self._order), task))
