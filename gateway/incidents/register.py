"""Incidents: opened by a fire that pages, or by hand; the 1-3-5 minute clocks; neighbours called. Pure.

    fire that pages ──> open ──second detector, call point──> confirmed ──> neighbours are called
                          │                                                       ▲
                          └── the own station is not there in time ───────────────┘
                          └── clocks run over ──> `response` is said ──> an alarm of rules/packs/incident.yaml

A drill's fires open an incident of that drill: its clocks run, and it says and calls nothing outside.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.alarms.holds import FIRE
from gateway.control.protocol import AlarmView
from gateway.incidents.rows import INCIDENT, OPEN, Crew, How, Incident, next_clock, response_word
from gateway.installation import Installation
from gateway.ledger.entries import GATEWAY, Pen, Register, SavedEntries, Sheet
from gateway.notify.calls import Call, End

replace = msgspec.structs.replace


class Incidents(Register):
    """The open incidents: at most one a site, and one a drill."""

    def __init__(self, saved: SavedEntries) -> None:
        self.sheet = Sheet(INCIDENT, saved)
        self._installation: Installation | None = None
        self._late: dict[int, AlarmView] = {}
        """Fires of this turn that came late; one that is over by the end of the turn is a matter of the past."""

    def sheets(self) -> Iterable[Sheet[Any]]:
        """One sheet."""
        return (self.sheet,)

    def install(self, installation: Installation) -> None:
        """These sites, this grid, these clocks."""
        self._installation = installation

    def next_due_ms(self) -> int | None:
        """When the next clock of any incident runs over; at once for a fire that came late."""
        if self._late:
            return 0
        clocks = (next_clock(row) for row in self.sheet.rows.values())
        return min((clock[0] for clock in clocks if clock is not None), default=None)

    def advance(self, pen: Pen) -> None:
        """Clocks that ran over are noted and said; without the own station the neighbours are called."""
        late, self._late = self._late, {}
        for alarm in late.values():
            self._take(alarm, pen)
        for number in list(self.sheet.rows):
            self._run_over(self.sheet.rows[number], pen)

    def _run_over(self, row: Incident, pen: Pen) -> None:
        while (due := next_clock(row)) is not None and due[0] <= pen.now_ms:
            row = pen.write(self.sheet, replace(row, late=(*row.late, due[1])), "late", clock=due[1])
            if due[1] == "station" and row.drill is None:
                row = self._call_neighbours(row, pen)
        self._say(row.site, pen)

    # --- fires ---------------------------------------------------------------------------------------------------

    def alarm_moved(self, alarm: AlarmView, event: str, pen: Pen) -> None:
        """A fire that pages opens the incident of its site, or is one more in it; so does a fire of a drill."""
        if alarm.severity != FIRE:
            return
        if not alarm.active:
            self._late.pop(alarm.id, None)
        elif alarm.retrospective and (event == "raise" or alarm.id in self._late):
            self._late[alarm.id] = alarm
        else:
            self._take(alarm, pen)

    def _take(self, alarm: AlarmView, pen: Pen) -> None:
        in_drill = alarm.hold == "drill" and alarm.drill is not None
        if not in_drill and (alarm.hold is not None or alarm.state != "unacknowledged"):
            return
        drill = alarm.drill if in_drill else None
        row = self.of_site(alarm.site, drill)
        how = self._confirms(alarm, row)
        if row is None:
            row = self._open(alarm.site, pen, alarm=alarm.id, subject=alarm.subject, rule=alarm.rule, drill=drill)
        if how is not None and row.confirmed_ms is None:
            self.confirm(row, how, pen)

    def _confirms(self, alarm: AlarmView, row: Incident | None) -> How | None:
        """How this fire confirms that it burns; None when it is the first sign of it."""
        assert self._installation is not None
        rule, site = self._installation.rules.get(alarm.rule), self._installation.sites.get(alarm.site)
        point = alarm.subject.split("/")[2] if alarm.subject.count("/") == 2 else ""
        if site is not None and alarm.device is not None and point and site.is_manual(alarm.device, point):
            return "manual_call_point"
        if rule is not None and rule.per != "point":
            return "rule"  # such a fire is judged of several detectors or call points
        return "second_detector" if row is not None and row.subject not in ("", alarm.subject) else None

    # --- what commands do ----------------------------------------------------------------------------------------

    def of_site(self, site: str, drill: int | None = None) -> Incident | None:
        """The open incident of a site, or of a drill there."""
        return next((row for row in self.sheet.rows.values() if row.site == site and row.drill == drill), None)

    def open_by_hand(self, site: str, text: str, actor: str, pen: Pen) -> Incident:
        """Somebody saw it; that is as good as confirmed."""
        row = self._open(site, pen, text=text, opened_by=actor)
        return self.confirm(row, "person", pen, actor)

    def confirm(self, row: Incident, how: How, pen: Pen, actor: str = GATEWAY) -> Incident:
        """It burns: the neighbours are called now."""
        row = replace(row, confirmed_ms=pen.now_ms, confirmed_by=how)
        row = pen.write(self.sheet, row, "confirm", actor, how=how)
        return row if row.drill is not None else self._call_neighbours(row, pen, actor)

    def crew_moves(self, row: Incident, crew: Crew, verb: str, actor: str, pen: Pen) -> Incident:
        """The own station or a neighbour answers, departs, arrives; `crew` is what it is then."""
        if crew.site == row.site:
            row = replace(row, own=crew)
        else:
            calls = [crew if old.site == crew.site else old for old in row.calls]
            if all(old.site != crew.site for old in row.calls):
                calls.append(crew)
            row = replace(row, calls=tuple(calls))
            pen.call(End(_number(row, crew.site), None))
        return self.keep(row, verb, actor, pen, station=crew.site)

    def call(self, row: Incident, sites: Iterable[tuple[str, float | None]], actor: str, pen: Pen) -> Incident:
        """Call these stations (site, metres); those called already stay as they are."""
        known = {crew.site for crew in row.calls}
        for site, distance_m in sites:
            if site in known:
                continue
            metres = None if distance_m is None else round(distance_m)
            crew = Crew(site=site, distance_m=metres, called_ms=pen.now_ms, by=actor)
            row = replace(row, calls=(*row.calls, crew))
            row = pen.write(self.sheet, row, "call", actor, station=site)
            pen.call(
                Call(
                    _number(row, site),
                    row.alarm,
                    row.rule,
                    row.subject or row.site,
                    row.site,
                    site,
                    row.from_ms,
                    row.text,
                )
            )
        return row

    def keep(self, row: Incident, verb: str, actor: str, pen: Pen, **detail: Any) -> Incident:
        """Write it as it is now; a clock that was met in time after all did not run over."""
        late = tuple(clock for clock in row.late if not _was_in_time(row, clock))
        row = pen.write(self.sheet, replace(row, late=late), verb, actor, **detail)
        if row.finding in ("false", "test") or row.state != OPEN:
            for crew in row.calls:
                pen.call(End(_number(row, crew.site), pen.now_ms))
        self._say(row.site, pen)
        return row

    # --- inside --------------------------------------------------------------------------------------------------

    def _open(self, site: str, pen: Pen, **fields: Any) -> Incident:
        assert self._installation is not None
        clocks = self._installation.response
        lasts = {"station": clocks.own_s, "neighbours": clocks.neighbours_s, "brigade": clocks.brigade_s}
        row = Incident(
            id=self.sheet.take_id(),
            site=site,
            state=OPEN,
            from_ms=pen.now_ms,
            due={clock: pen.now_ms + round(seconds * 1000) for clock, seconds in lasts.items()},
            **fields,
        )
        row = pen.write(self.sheet, row, "open", fields.get("opened_by", GATEWAY))
        self._say(site, pen)
        return row

    def _call_neighbours(self, row: Incident, pen: Pen, actor: str = GATEWAY) -> Incident:
        assert self._installation is not None
        clocks, grid = self._installation.response, self._installation.grid
        return self.call(row, grid.near(row.site, clocks.neighbours_m, clocks.neighbours), actor, pen)

    def _say(self, site: str, pen: Pen) -> None:
        if self._installation is None or site not in self._installation.sites:
            return  # taken out of the configuration since
        row = self.of_site(site)
        pen.say(site, "incident", "none" if row is None else "open")
        pen.say(site, "response", "ok" if row is None else response_word(row))


def _was_in_time(row: Incident, clock: str) -> bool:
    due_ms = row.due[clock]
    if clock == "station":
        times = [row.own.arrived_ms if row.own is not None else None]
    elif clock == "neighbours":
        times = [crew.arrived_ms for crew in row.calls]
    else:
        times = [row.brigade_arrived_ms]
    return any(at_ms is not None and at_ms <= due_ms for at_ms in times)


def _number(row: Incident, site: str) -> int:
    """The number of a call among everything that is told: never that of an alarm."""
    place = next((n for n, crew in enumerate(row.calls) if crew.site == site), len(row.calls))
    return -(row.id * 100 + place + 1)
