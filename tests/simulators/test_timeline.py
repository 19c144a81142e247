"""Stories laid out in time: repeatable, pollable, and true about which rules must speak."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from contract.errors import ConfigError
from simulators.shuiye import plan_shuiye
from simulators.story import Story, load_story, shipped
from simulators.timeline import AlarmDue, PrintEvent, SetLink, SetPoint, SetSilence, StepTold, Timeline, lay_out
from tests.simulators.conftest import LIBRARY

NAMES = [name for name in shipped() if load_story(name).station == "shuiye"]
"""Stories of the one station; those of a town are laid out on its water network (test_stories.py)."""


def _lay_out(story: Story, *, seed: int = 1, speed: float = 1.0, link: bool = True) -> Timeline:
    return lay_out(story, plan_shuiye(), LIBRARY, seed=seed, speed=speed, link=link)


def _story(**fields: Any) -> Story:
    return Story.model_validate({"title": {"zh": "故事", "en": "story"}, "length_s": 60} | fields)


def _changes(timeline: Timeline) -> dict[str, list[tuple[float, Any]]]:
    found: dict[str, list[tuple[float, Any]]] = {}
    for at_s, action in timeline.actions:
        if isinstance(action, SetPoint):
            found.setdefault(action.point, []).append((at_s, action.value))
    return found


@pytest.mark.parametrize("speed", [0.5, 1.0, 5.0, 100.0])
@pytest.mark.parametrize("name", NAMES)
def test_every_level_can_be_polled_three_times_when_a_story_is_laid_out(name: str, speed: float) -> None:
    """At any speed each value of each point holds for three polls or more."""
    plan = plan_shuiye()
    for point, changes in _changes(_lay_out(load_story(name), speed=speed)).items():
        device = plan.devices[point.partition("/")[0]]
        poll_s = device.poll_s or LIBRARY[device.profile].poll_s
        for (start, _), (end, _) in pairwise(changes):
            assert end - start >= 3 * poll_s, (point, start)


@pytest.mark.parametrize("name", NAMES)
def test_numbers_move_by_the_deadband_or_more_when_a_story_is_laid_out(name: str) -> None:
    """Each step is one that a report by exception must report, also against the two levels before."""
    plan = plan_shuiye()
    for point, changes in _changes(_lay_out(load_story(name), seed=3)).items():
        device_id, _, point_name = point.partition("/")
        device = plan.devices[device_id]
        record = LIBRARY[device.profile].point(point_name)
        assert record is not None
        if not record.is_number:
            continue
        levels = [device.start.get(point_name, 0.0), *(value for _, value in changes)]
        for before, after in pairwise(levels):
            assert abs(after - before) > 1.1 * record.deadband, (point, before, after)


@pytest.mark.parametrize("name", NAMES)
def test_conditions_outlast_the_rules_delay_when_a_story_is_hurried(name: str) -> None:
    """Speed never makes a condition too short for its rule."""
    story = load_story(name)
    timeline = _lay_out(story, speed=50)
    opened: dict[tuple[str, str], float] = {}
    alarms = [(at, a) for at, act in timeline.actions for a in (act.alarms if isinstance(act, PrintEvent) else (act,))]
    for at_s, alarm in alarms:
        if not isinstance(alarm, AlarmDue):
            continue
        key = (alarm.rule, alarm.subject)
        if alarm.due:
            assert key not in opened
            opened[key] = at_s
        else:
            assert at_s - opened.pop(key) >= story.must_speak_after_s(alarm.rule)
    assert opened == {}


@pytest.mark.parametrize("name", NAMES)
def test_two_runs_are_the_same_when_their_seed_is(name: str) -> None:
    """The same seed gives the same run, another seed another."""
    story = load_story(name)
    assert _lay_out(story, seed=5) == _lay_out(story, seed=5)
    if story.life or story.exercises:
        assert _lay_out(story, seed=5) != _lay_out(story, seed=6)


def test_levels_differ_from_the_three_before_when_a_value_lives() -> None:
    """Whichever of the levels before was the last one seen, the next is a change."""
    story = _story(length_s=600, life=[{"points": "hydrant-01/pressure_kpa", "spread": 15, "hold_s": [4, 5]}])
    levels = [262.0, *(value for _, value in _changes(_lay_out(story))["hydrant-01/pressure_kpa"])]
    assert len(levels) > 100
    for n, level in enumerate(levels):
        assert level not in levels[max(0, n - 3) : n]


def test_micro_station_story_shows_everything_when_laid_out() -> None:
    """Five minutes with each thing the demo promises."""
    timeline = _lay_out(load_story("micro-station"))
    assert 270 <= timeline.length_s <= 330
    kinds = {type(action) for _, action in timeline.actions}
    assert kinds == {SetPoint, SetSilence, SetLink, PrintEvent, AlarmDue, StepTold}
    rules = {a.rule for _, a in timeline.actions if isinstance(a, AlarmDue)}
    assert rules == {
        "hydrant-pressure-low", "hydrant-pressure-critical", "extinguisher-removed", "panel-fault", "panel-fire",
        "pump-manual", "hydrant-cap-open", "device-silent", "agent-lost", "hydrant-burst", "panel-fire-confirmed",
        "hydrant-unauthorised-use",
    }  # fmt: skip


def test_printed_fire_is_due_in_its_zone_when_the_story_names_the_zone() -> None:
    """A zone's alarm hangs on the printout of its panel: it is due only if anybody listened."""
    timeline = _lay_out(load_story("micro-station"))

    due = [alarm for _, a in timeline.actions if isinstance(a, PrintEvent) for alarm in a.alarms]

    assert [(alarm.rule, alarm.subject) for alarm in due if "zone" in alarm.subject] == [
        ("panel-fire-confirmed", "shuiye-demo/panel-02-zone-1f")
    ]


def test_panel_exercise_changes_two_hundred_contacts_when_laid_out() -> None:
    """About a hundred events, a set and a clear each, over all 16 points, all of them contacts."""
    timeline = _lay_out(load_story("panel-exercise"), seed=7)
    changes = _changes(timeline)
    assert len(changes) == 16
    assert 180 <= sum(map(len, changes.values())) <= 240
    due = [action for _, action in timeline.actions if isinstance(action, AlarmDue) and action.due]
    assert all(alarm.contact and alarm.poll_s == 0.25 for alarm in due)


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_long_run_fits_a_kill_campaign_when_laid_out(seed: int) -> None:
    """25 alarms or more, states of 10 s, values of 4 s, no silence, no cut, no printer, 20 quiet seconds."""
    story = load_story("long-run")
    timeline = _lay_out(story, seed=seed)
    assert 290 <= timeline.length_s <= 320
    assert not any(isinstance(action, SetSilence | SetLink | PrintEvent) for _, action in timeline.actions)
    assert sum(isinstance(action, AlarmDue) and action.due for _, action in timeline.actions) >= 25
    assert max(at_s for at_s, _ in timeline.actions) <= timeline.length_s - 20
    for point, changes in _changes(timeline).items():
        least = 4.0 if point.endswith(("_kpa", "_c", "_m", "_lps")) else 10.0
        for (start, _), (end, _) in pairwise(changes):
            assert end - start >= least, (point, start)


def test_value_is_as_before_when_an_event_within_an_event_is_over() -> None:
    """Pressure falls, falls more, is as after the first fall, is as at the start."""
    story = _story(
        events=[
            {"name": "low", "at_s": 5, "for_s": 40, "set": {"hydrant-01/pressure_kpa": 120}},
            {"name": "lower", "at_s": 15, "for_s": 10, "set": {"hydrant-01/pressure_kpa": 80}},
        ]
    )
    assert _changes(_lay_out(story)) == {
        "hydrant-01/pressure_kpa": [(5.0, 120.0), (15.0, 80.0), (25.0, 120.0), (45.0, 262.0)]
    }


def test_time_runs_faster_only_where_rules_allow_when_hurried() -> None:
    """60 story seconds at speed 10: 6 s, but a rule of 20 s within 30 of them takes its 24 s."""
    event = {"name": "manual", "at_s": 10, "for_s": 30, "set": {"pump-01/mode": "manual"}}
    story = _story(
        tail_s=2, speaks_after_s={"pump-manual": 20}, events=[event | {"alarms": {"pump-01/mode": ["pump-manual"]}}]
    )
    timeline = _lay_out(story, speed=10)
    assert timeline.length_s == pytest.approx(1 + 24 + 2 + 2)
    (begun_s, begun), (over_s, over) = _changes(timeline)["pump-01/mode"]
    assert (begun, over) == ("manual", "auto")
    assert (begun_s, over_s) == pytest.approx((1, 25))


def test_link_events_are_left_out_when_there_is_no_link() -> None:
    """Without a link nothing is cut and nobody has to say so."""
    timeline = _lay_out(load_story("micro-station"), link=False)
    assert not any(isinstance(action, SetLink) for _, action in timeline.actions)
    assert not any(isinstance(action, AlarmDue) and action.rule == "agent-lost" for _, action in timeline.actions)


EVENT = {"name": "e", "at_s": 1, "for_s": 10}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"events": [EVENT | {"set": {"hydrant-9/cap_open": True}}]},
         "event e: set: got 'hydrant-9/cap_open', want a point of the station. Mend the name."),
        ({"events": [EVENT | {"set": {"pump-01/mode": "sideways"}}]},
         "event e: set: pump-01/mode: mode: got 'sideways', want one of ['auto', 'manual', 'off']."),
        ({"events": [EVENT | {"silence": ["panel-02"]}]},
         "event e: silence: got 'panel-02', want a Modbus device. Mend the name."),
        ({"events": [EVENT | {"print": {"device": "panel-01", "word": "火警"}}]},
         "event e: print: got 'panel-01', want one of ['panel-02']."),
        ({"events": [EVENT | {"alarms": {"panel-9/p001": ["panel-fire"]}}]},
         "event e: alarms: got 'panel-9/p001', want a subject of the station."),
        ({"life": [{"points": "hydrant-9/*", "spread": 10, "hold_s": [1, 2]}]},
         "life: got 'hydrant-9/*', which fits no point. Mend the pattern."),
        ({"life": [{"points": "pump-01/mode", "spread": 10, "hold_s": [1, 2]}]},
         "life: got 'pump-01/mode', want a number with a deadband."),
        ({"life": [{"points": "hydrant-01/pressure_kpa", "spread": 3, "hold_s": [1, 2]}]},
         "life: hydrant-01/pressure_kpa: got spread 3, want at least 12 within the range. Widen it."),
    ],
)  # fmt: skip
def test_story_is_refused_when_the_station_cannot_play_it(fields: dict[str, Any], text: str) -> None:
    """A slip in a story is told before anything runs."""
    with pytest.raises(ConfigError) as caught:
        _lay_out(_story(**fields))
    assert str(caught.value) == text


def test_story_is_refused_with_its_line_when_its_file_is_wrong(tmp_path: Path) -> None:
    """File and line, as for every other configuration; and the names there are, when there is none of that name."""
    path = tmp_path / "mine.yaml"
    path.write_text("title: {zh: 一, en: one}\nlength_s: 5\nevents:\n- {name: a, at_s: 1, for_s: 2, sett: {}}\n")
    with pytest.raises(ConfigError) as caught:
        load_story(str(path))
    assert str(caught.value) == f"{path}:4: events[0].sett: got an unknown key. Did you mean 'set'?"
    with pytest.raises(ConfigError) as caught:
        load_story("nothing")
    names = ", ".join(shipped())
    assert str(caught.value) == f"story: got 'nothing', want one of {names}, or a YAML file. Name one that exists."
