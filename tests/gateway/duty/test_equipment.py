"""Equipment of a station: by its sensors, or by what somebody ticked and when."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.station import Needed
from gateway.control.client import ControlError
from gateway.duty.equipment import NO_FAULTS, TICK, Faults, Tick, judge
from gateway.ledger.entries import entries
from gateway.work.rectification import HAZARD
from tests.gateway.duty.stations import Stations, installed
from tests.gateway.harness import START_MS

HOUR_MS = 3_600_000
RADIOS = Needed.model_validate(
    {"id": "radio", "title": {"zh": "对讲机", "en": "Radio"}, "kind": "radio", "count": 4, "check_every_h": 8}
)
RACK = Needed.model_validate(
    {"id": "air", "title": {"zh": "空呼", "en": "Air"}, "kind": "breathing", "count": 2, "devices": ["rack-01"]}
)


def _tick(**fields: object) -> Tick:
    given = {"id": 1, "site": "a", "state": "latest", "from_ms": 0, "item": "radio", "count": 4, "result": "ok"}
    return Tick(**{**given, "user": "wang", **fields})  # type: ignore[arg-type] # fields of a Tick


@pytest.mark.parametrize(
    ("tick", "now_ms", "status", "missing"),
    [
        (None, 0, "unchecked", 0),
        (_tick(), 8 * HOUR_MS - 1, "ok", 0),
        (_tick(), 8 * HOUR_MS, "unchecked", 0),
        (_tick(count=3, result="short"), 0, "short", 1),
        (_tick(count=3, result="short"), 90 * HOUR_MS, "short", 1),
        (_tick(count=4, result="defect"), 0, "short", 1),
        (_tick(expires_ms=HOUR_MS), HOUR_MS - 1, "ok", 0),
        (_tick(expires_ms=HOUR_MS), HOUR_MS, "expired", 0),
        (_tick(count=2, result="short", expires_ms=HOUR_MS), HOUR_MS, "short", 2),
    ],
)
def test_a_line_without_sensors_is_what_the_latest_tick_says_while_it_is_young(
    tick: Tick | None, now_ms: int, status: str, missing: int
) -> None:
    """Nothing is complete because it was so once; what was missing stays missing until somebody looks again."""
    line = judge(RADIOS, tick, NO_FAULTS, now_ms)
    assert (line.status, line.missing) == (status, missing)


def test_a_line_with_sensors_lacks_what_alarms_speak_of_and_is_not_known_when_they_are_silent() -> None:
    """Each alarm on a point takes one away; a silent rack tells nothing."""
    assert judge(RACK, None, NO_FAULTS, 0).status == "ok"
    low = judge(RACK, None, Faults((7,), frozenset({"a/rack-01/cylinder_1_pressure_kpa"}), False), 0)
    assert (low.status, low.missing, low.alarms) == ("short", 1, (7,))
    assert judge(RACK, None, Faults((8,), frozenset(), True), 0).status == "unchecked"


def test_the_station_says_what_is_missing_and_when_a_tick_is_too_old(tmp_path: Path) -> None:
    """Ticked, a cylinder empties, the tick grows old: each is an alarm with its rule, and takes from readiness."""
    town = Stations(installed(tmp_path))
    town.begin()
    town.live(20)
    assert _said(town) == ("ok", 0.0)
    town.say("rack-01", cylinder_1_pressure_kpa=10000.0)
    town.live(70)
    assert _said(town) == ("short", 1.0)
    assert {"breathing-air-low", "station-equipment-short"} <= {alarm.rule for alarm in town.open}
    town.say("rack-01")
    town.live(70)
    assert _said(town) == ("ok", 0.0)
    town.wait(8 * HOUR_MS)
    assert _said(town)[0] == "unchecked"
    assert town.level == "unknown"


def test_a_tick_takes_the_place_of_the_one_before_and_both_stay_on_record(tmp_path: Path) -> None:
    """Who looked, when, and what they saw."""
    town = Stations(installed(tmp_path))
    town.begin()
    town.tick(count=3, result="short", note="one at the workshop")
    town.restart()
    assert _said(town) == ("short", 1.0)
    latest, first = entries(town.connection, TICK)
    assert (latest.state, latest.note, latest.user) == ("latest", "one at the workshop", "wang")
    assert (first.state, first.until_ms) == ("past", START_MS)


def test_a_defect_becomes_a_hazard(tmp_path: Path) -> None:
    """What is broken is somebody's work from then on."""
    town = Stations(installed(tmp_path))
    town.begin()
    town.tick(result="defect", count=3, note="no sound")
    (hazard,) = entries(town.connection, HAZARD)
    assert hazard.source == "equipment"
    assert "no sound" in hazard.text


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ({"item": "boat"}, "got no such line"),
        ({"site": "nowhere"}, "got no such line"),
        ({"count": 3, "result": "ok"}, "want at least 4"),
        ({"count": 3, "result": "short"}, "want what is missing"),
        ({"count": -1}, "count"),
        ({"result": "fine"}, "result"),
    ],
)
def test_a_tick_that_cannot_be_is_refused(tmp_path: Path, args: dict[str, object], text: str) -> None:
    """Three of four are not complete, and what is missing must be said."""
    town = Stations(installed(tmp_path))
    with pytest.raises(ControlError, match=text):
        town.tick(**args)


def _said(town: Stations) -> tuple[object, object]:
    values = {point: slot.value for point, slot in town.state.engine.values()}
    return values["shuiye/register/equipment"], values["shuiye/register/equipment_missing_count"]
