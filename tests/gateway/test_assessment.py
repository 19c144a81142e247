"""The figures of a week or a month: what adds up, what is never counted as good, and periods of the local calendar."""

from __future__ import annotations

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.assessment import periods
from gateway.assessment.device_time import DeviceTime, Watched, device_time, stops_of
from gateway.assessment.figures import Figures, Rows, added, figures, rates
from gateway.control.protocol import AlarmView
from gateway.duty.checks import DutyCheck
from gateway.duty.readiness_rows import Ready
from gateway.incidents.rows import Crew, Incident
from gateway.work.rectification import Hazard, Round
from rules.model import load_packs

RULES = load_packs()
END = 200
PUMP, VALVE = Watched("s", "pump", "edge", "rs485"), Watched("s", "valve", "edge", None)


def alarm(rule: str, subject: str, from_ms: int, until_ms: int | None, **more: Any) -> AlarmView:
    """An alarm as the ledger has it."""
    site, _, rest = subject.partition("/")
    fields: dict[str, Any] = {
        "id": from_ms, "rule": rule, "subject": subject, "site": site, "device": rest.partition("/")[0] or None,
        "severity": "critical", "state": "normal", "active": until_ms is None, "retrospective": False,
        "raised_ms": from_ms, "recorded_ms": from_ms, "cleared_ms": until_ms, "acknowledged_ms": None,
        "acknowledged_by": None, "inputs": {},
    }  # fmt: skip
    return AlarmView(**(fields | more))


_KINDS = st.sampled_from([
    ("pump-manual", "s/pump/mode"), ("device-silent", "s/pump"), ("line-lost", "s/line-rs485"),
    ("agent-lost", "s/edge"), ("hydrant-frozen", "s/valve"), ("device-silent", "s/valve"),
])  # fmt: skip
_SPANS = st.tuples(st.integers(0, END + 20), st.integers(1, 90))


@given(st.lists(st.tuples(_KINDS, _SPANS), max_size=12), st.lists(_SPANS, max_size=2))
def test_device_time_is_that_of_a_count_moment_by_moment(
    stood: list[tuple[tuple[str, str], tuple[int, int]]], stopped: list[tuple[int, int]]
) -> None:
    """Overlapping faults and silences of a device, its line, its agent and the gateway are counted once."""
    alarms = [alarm(rule, subject, begin, begin + lasts) for (rule, subject), (begin, lasts) in stood]
    stops = [(begin, begin + lasts) for begin, lasts in stopped]
    want = [0, 0, 0, 0, 0]
    for device in (PUMP, VALVE):
        reach = {"s/edge", f"s/{device.device}", f"s/line-{device.line}"}
        for at in range(10, END):
            up = [a for a in alarms if a.raised_ms <= at < (a.cleared_ms or 0)]
            offline = any(a.subject in reach and a.rule.endswith(("silent", "lost")) for a in up)
            offline = offline or any(begin <= at < end for begin, end in stops)
            faulty = any(a.device == device.device and not a.rule.endswith(("silent", "lost")) for a in up)
            row = (1, not offline and not faulty, faulty, offline and not faulty, offline)
            want = [a + b for a, b in zip(want, row, strict=True)]
    assert device_time([PUMP, VALVE], alarms, RULES, stops, 10, END) == DeviceTime(*want)


def test_a_drill_takes_nothing_and_what_stands_lasts_to_the_end() -> None:
    """Alarms of a drill are nobody's fault; one without an end stands."""
    drilled = alarm("pump-manual", "s/pump/mode", 20, 60, drill=1)
    standing = alarm("pump-manual", "s/pump/mode", 150, None)
    assert device_time([PUMP], [drilled, standing], RULES, [], 0, END).faulty == END - 150


def test_time_in_which_no_gateway_ran_is_not_intact() -> None:
    """The alarm after a start says how long nobody watched."""
    told = alarm("gateway-stopped", "system/gateway/stopped_s", 90_000, None, inputs={"value": 80.0})
    assert stops_of([told, alarm("pump-manual", "s/pump/mode", 1, 2)]) == [(10_000, 90_000)]
    found = device_time([PUMP], [], RULES, stops_of([told]), 0, 100_000)
    assert (found.intact, found.unreached, found.offline) == (20_000, 80_000, 80_000)


def check(number: int, state: str) -> DutyCheck:
    return DutyCheck(id=number, site="s", state=state, from_ms=50, until_ms=60, origin="gateway")


def incident(number: int, **more: Any) -> Incident:
    due = {"station": 60, "neighbours": 180, "brigade": 300}
    return Incident(id=number, site="s", state="closed", from_ms=0, due=due, **more)


def test_every_rate_has_its_counts() -> None:
    """Of one site with a station: who answered, who came in time, what was ready, found, closed, false."""
    rows = Rows(
        alarms=[
            alarm("panel-fire", "s/panel/p1", 10, 20, severity="fire", finding="false"),
            alarm("panel-fire", "s/panel/p2", 30, 40, severity="fire", finding="real"),
            alarm("panel-fire", "s/panel/p3", 50, 60, severity="fire"),
            alarm("panel-fire", "s/panel/p4", 70, 80, severity="fire", drill=3),
        ],
        ready=[
            Ready(id=1, site="s", state="past", from_ms=0, until_ms=150, level="ready", score=100.0),
            Ready(id=2, site="s", state="past", from_ms=150, until_ms=190, level="unknown", score=None, unknown=1),
        ],
        checks=[check(1, "answered"), check(2, "late"), check(3, "unanswered"), check(4, "open")],
        incidents=[
            incident(1, finding="real", own=Crew(site="s", arrived_ms=50), brigade_needed=False),
            incident(2, late=("station",), own=Crew(site="s", arrived_ms=90), finding="real"),
            incident(3, finding="false", late=("station", "brigade")),
            incident(4, drill=1, late=("station",)),
        ],
        hazards=[
            Hazard(id=1, site="s", state="filed", from_ms=5, source="person", rounds=(Round(5, 100),)),
            Hazard(id=2, site="s", state="found", from_ms=9, source="person", rounds=(Round(9),)),
        ],
    )
    found = figures(rows, [PUMP], RULES, [], 0, END, has_station=True, site="s")
    told = {rate.name: (rate.part, rate.whole) for rate in rates(found)}
    assert told == {
        "ready": (150, 200), "duty_checks": (1, 3), "response_station": (1, 2), "response_neighbours": (0, 0),
        "response_brigade": (0, 0), "intact": (200, 200), "online": (200, 200), "patrols": (0, 0), "trainings": (0, 0),
        "hazards_closed": (1, 2), "hazards_in_time": (1, 1), "false_alarms": (1, 3),
    }  # fmt: skip
    assert {rate.name for rate in rates(found) if rate.percent is None} == {
        "response_neighbours", "response_brigade", "patrols", "trainings",
    }  # fmt: skip
    assert (found.fires_undecided, found.arrivals, found.arrival_ms, sum(found.readiness)) == (1, 2, 140, 200)


def test_a_site_without_a_station_has_no_readiness() -> None:
    """It is not counted as never ready either."""
    found = figures(Rows(), [], RULES, [], 0, END, has_station=False)
    assert (found.sites, found.stations, found.station_ms) == (1, 0, 0)


def test_the_sum_of_sites_is_the_area() -> None:
    """Every count adds up with its fellow."""
    one = figures(Rows(checks=[check(1, "answered")]), [PUMP], RULES, [(0, 50)], 0, END, has_station=True, site="s")
    both = added([one, one])
    assert (both.sites, both.checks, both.checks_in_time) == (2, 2, 2)
    assert both.devices == DeviceTime(*(2 * n for n in one.devices))
    assert both.readiness == tuple(2 * n for n in one.readiness)
    assert both.station_ms == 2 * END
    assert added([]) == Figures()


@pytest.mark.parametrize(
    ("name", "hours"),
    [("2026-03", 31 * 24 - 1), ("2026-10", 31 * 24 + 1), ("2026-W13", 167), ("2026-W43", 169), ("2026-W01", 168)],
)
def test_a_period_is_one_of_the_local_calendar(name: str, hours: int) -> None:
    """With the hour that daylight saving takes or gives; weeks begin on Monday, as ISO 8601 names them."""
    zone = ZoneInfo("Europe/Berlin")
    period = periods.named(name, zone)
    assert period.name == name
    assert period.until_ms - period.from_ms == hours * 3_600_000
    assert periods.after(periods.before(period, zone), zone) == period
    assert periods.before(period, zone).until_ms == period.from_ms


def test_a_day_finds_its_week_when_the_year_ends_in_it() -> None:
    """New Year's Day 2027 is in the last week of 2026."""
    assert periods.period_of("week", date(2027, 1, 1), ZoneInfo("Asia/Shanghai")).name == "2026-W53"


@pytest.mark.parametrize("name", ["2026-13", "2026-W54", "26-1", "2026", "heute"])
def test_what_is_no_period_is_refused(name: str) -> None:
    """By the one error that the pages know."""
    with pytest.raises(ValueError):
        periods.named(name, ZoneInfo("UTC"))
