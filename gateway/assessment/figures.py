"""The figures of a week or a month: raw counts that add up over sites and areas, and the rates made of them. Pure.

There is no national formula for a unit's score; these are the indicator families that platforms use, each with the
counts it is made of. They are a local measure and nothing official.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.assessment.device_time import DeviceTime, Span, Watched, device_time
from gateway.control.protocol import AlarmView
from gateway.duty.checks import ANSWERED, LATE, UNANSWERED, DutyCheck
from gateway.duty.readiness_report import account_of
from gateway.duty.readiness_rows import Ready
from gateway.incidents.rows import CLOCKS, Incident, is_met
from gateway.work.completion import completion, did_rounds, did_trainings, slots
from gateway.work.hazard_counts import HazardCounts, count_hazards
from gateway.work.plans import PlanRow
from gateway.work.rectification import Hazard
from gateway.work.routes import Round
from gateway.work.training import Training
from rules.model import Rule
from rules.readiness import LEVELS
from rules.readiness_spans import UNRECORDED


class Rows(NamedTuple):
    """What the ledger has of one site: rows in force in the span, alarms raised or standing in it."""

    alarms: Sequence[AlarmView] = ()
    ready: Sequence[Ready] = ()
    checks: Sequence[DutyCheck] = ()
    incidents: Sequence[Incident] = ()
    hazards: Sequence[Hazard] = ()
    plans: Sequence[PlanRow] = ()
    rounds: Sequence[Round] = ()
    trainings: Sequence[Training] = ()


class Figures(NamedTuple):
    """Counts of one site or of many together; everything adds up. Times in ms.

    readiness: by level, and time of which there is no row; of stations only. checks: asked in the span and over.
    response: of real and undecided incidents, (clock: to be met, met in time). arrivals: from the fire to the own
    station at the place. patrols, trainings: windows that are over, and of these those done in time or late.
    """

    sites: int = 0
    stations: int = 0
    readiness: tuple[int, ...] = (0,) * (len(LEVELS) + 1)
    checks: int = 0
    checks_in_time: int = 0
    checks_late: int = 0
    checks_unanswered: int = 0
    devices: DeviceTime = DeviceTime()
    fires: int = 0
    fires_false: int = 0
    fires_undecided: int = 0
    incidents: int = 0
    clocks_due: tuple[int, ...] = (0,) * len(CLOCKS)
    clocks_met: tuple[int, ...] = (0,) * len(CLOCKS)
    arrivals: int = 0
    arrival_ms: int = 0
    patrols: int = 0
    patrols_done: int = 0
    patrols_late: int = 0
    trainings: int = 0
    trainings_done: int = 0
    hazards: HazardCounts = HazardCounts()

    @property
    def ready_ms(self) -> int:
        """Time the stations were ready."""
        return self.readiness[LEVELS.index("ready")]

    @property
    def station_ms(self) -> int:
        """Time of all stations, recorded or not."""
        return sum(self.readiness)


class Rate(NamedTuple):
    """A share with the counts it is made of. unit: `count` or `ms`; percent None: nothing to take a share of."""

    name: str
    part: int
    whole: int
    unit: str

    @property
    def percent(self) -> float | None:
        """0..100."""
        return 100 * self.part / self.whole if self.whole else None


READINESS_NAMES = (*LEVELS, UNRECORDED)


def figures(
    rows: Rows,
    devices: Iterable[Watched],
    rules: Mapping[str, Rule],
    stops: Iterable[Span],
    from_ms: int,
    until_ms: int,
    *,
    has_station: bool,
    site: str = "",
) -> Figures:
    """Of one site over a span (ms UTC, end not included; no later than now)."""
    met = [_clocks(row, until_ms) for row in rows.incidents if _counts(row, from_ms, until_ms)]
    arrivals = [
        row.own.arrived_ms - row.from_ms
        for row in rows.incidents
        if _counts(row, from_ms, until_ms) and row.own is not None and row.own.arrived_ms is not None
    ]
    fires = [a for a in rows.alarms if a.severity == "fire" and a.drill is None and from_ms <= a.raised_ms < until_ms]
    checks = [row for row in rows.checks if from_ms <= row.asked_ms < until_ms]
    in_time, late = (sum(row.state == state for row in checks) for state in (ANSWERED, LATE))
    missed = sum(row.state == UNANSWERED for row in checks)
    patrols = _completed(rows, from_ms, until_ms, is_training=False)
    trainings = _completed(rows, from_ms, until_ms, is_training=True)
    return Figures(
        sites=1,
        stations=int(has_station),
        readiness=_readiness(rows.ready, from_ms, until_ms, site) if has_station else Figures().readiness,
        checks=in_time + late + missed,
        checks_in_time=in_time,
        checks_late=late,
        checks_unanswered=missed,
        devices=device_time(devices, rows.alarms, rules, stops, from_ms, until_ms),
        fires=len(fires),
        fires_false=sum(alarm.finding == "false" for alarm in fires),
        fires_undecided=sum(alarm.finding in (None, "unclear") for alarm in fires),
        incidents=len(met),
        clocks_due=tuple(sum(due[n] for due, _ in met) for n in range(len(CLOCKS))),
        clocks_met=tuple(sum(done[n] for _, done in met) for n in range(len(CLOCKS))),
        arrivals=len(arrivals),
        arrival_ms=sum(arrivals),
        patrols=patrols[0],
        patrols_done=patrols[1],
        patrols_late=patrols[2],
        trainings=trainings[0],
        trainings_done=trainings[1],
        hazards=count_hazards(rows.hazards, from_ms, until_ms),
    )


def added(parts: Iterable[Figures]) -> Figures:
    """Of all of them together."""
    total = Figures()
    for part in parts:
        total = Figures._make(_sum(a, b) for a, b in zip(total, part, strict=True))
    return total


def rates(of: Figures) -> list[Rate]:
    """Every rate with its counts, in the order of a report."""
    hazards, devices = of.hazards, of.devices
    return [
        Rate("ready", of.ready_ms, of.station_ms, "ms"),
        Rate("duty_checks", of.checks_in_time, of.checks, "count"),
        *(Rate(f"response_{clock}", of.clocks_met[n], of.clocks_due[n], "count") for n, clock in enumerate(CLOCKS)),
        Rate("intact", devices.intact, devices.whole, "ms"),
        Rate("online", devices.whole - devices.offline, devices.whole, "ms"),
        Rate("patrols", of.patrols_done, of.patrols, "count"),
        Rate("trainings", of.trainings_done, of.trainings, "count"),
        Rate("hazards_closed", hazards.closed, hazards.before + hazards.found, "count"),
        Rate("hazards_in_time", hazards.in_time, hazards.closed, "count"),
        Rate("false_alarms", of.fires_false, of.fires, "count"),
    ]


def _sum(a: Any, b: Any) -> Any:
    """Of two counts, or of two rows of counts, each with its fellow."""
    if not isinstance(a, tuple):
        return a + b
    made = [x + y for x, y in zip(a, b, strict=True)]
    return type(a)(*made) if hasattr(a, "_fields") else tuple(made)


def _readiness(ready: Sequence[Ready], from_ms: int, until_ms: int, site: str) -> tuple[int, ...]:
    summary = account_of(site, ready, (), from_ms, until_ms).summary
    return tuple(summary.ms[name] for name in READINESS_NAMES)


def _counts(row: Incident, from_ms: int, until_ms: int) -> bool:
    """Whether its response is assessed: no drill, and nothing that proved to be no fire."""
    return row.drill is None and from_ms <= row.from_ms < until_ms and row.finding not in ("false", "test")


def _clocks(row: Incident, until_ms: int) -> tuple[list[int], list[int]]:
    """For each clock whether it was due by then, and whether it was met in time."""
    due = [int(clock in row.due and row.due[clock] <= until_ms) for clock in CLOCKS]
    if not row.calls:
        due[CLOCKS.index("neighbours")] = 0
    if not row.brigade_needed:
        due[CLOCKS.index("brigade")] = 0
    return due, [
        int(bool(is_due) and clock not in row.late and is_met(row, clock))
        for is_due, clock in zip(due, CLOCKS, strict=True)
    ]


def _completed(rows: Rows, from_ms: int, until_ms: int, *, is_training: bool) -> tuple[int, int, int]:
    """(due, done, of these late) of every plan of a kind."""
    due = done = late = 0
    for plan in sorted({row.spec.plan for row in rows.plans if row.spec.is_training == is_training}):
        of_plan = [row for row in rows.plans if row.spec.plan == plan]
        did = (
            did_trainings(row for row in rows.trainings if row.plan == plan)
            if is_training
            else did_rounds(row for row in rows.rounds if row.plan == plan)
        )
        found = completion(slots(of_plan, did, from_ms, until_ms, until_ms), until_ms)
        due, done, late = due + found.due, done + found.done, late + found.late
    return due, done, late
