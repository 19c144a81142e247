"""The stories that are shipped: they fit the town on both networks, cover every rule, and mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.sim_run import shipped_rules
from cli.sim_score import wanted
from contract.errors import ConfigError
from contract.profile import ProfileLibrary
from simulators.hydraulics.mapping import load_mapping, shipped_networks
from simulators.hydraulics.network import NETWORKS
from simulators.story import STORIES, Story, load_story, shipped
from simulators.story_values import parse_duration
from simulators.timeline import SetPoint
from simulators.town import lay_out_town

NOT_TOLD = {
    "path-test-failed": "the proof of a path needs channels of notification: tests/gateway/notify",
    "roster-double": "needs a station with two posts, the town has one: tests/gateway/test_roster.py",
}
"""Rules no story tells of, and where they are tested instead."""


def town() -> list[str]:
    return [name for name in shipped() if load_story(name).station == "town"]


def rules_of(story: Story) -> set[str]:
    told = {rule for event in story.events for said in wanted(event, story.must_speak_after_s) for rule in said.rule}
    return told | {rule for each in story.exercises for c in each.changes for rules in c.to.values() for rule in rules}


def test_every_rule_of_every_pack_is_told_of_or_named_with_the_reason() -> None:
    """And no story expects a rule that there is not."""
    rules, told = set(shipped_rules()), set()
    for name in shipped():
        found = rules_of(load_story(name))
        assert found <= rules, f"{name}: {sorted(found - rules)}"
        told |= found
    assert rules - told == set(NOT_TOLD)
    assert all(Path(where.rpartition(": ")[2]).exists() for where in NOT_TOLD.values())


def test_there_are_forty_stories_and_quiet_weeks_among_them() -> None:
    """As many as the score is made of."""
    stories = {name: load_story(name) for name in town()}
    assert len(stories) >= 40
    assert sum(story.kind == "quiet" and story.length_s >= 7 * 86_400 for story in stories.values()) >= 3


@pytest.mark.parametrize("network", shipped_networks())
def test_the_same_seed_lays_a_story_out_alike_and_another_one_otherwise(network: str) -> None:
    """Parameters, instruments and weather, to the last digit."""
    where, library = load_mapping(network), ProfileLibrary()
    one, same, other = (
        lay_out_town(load_story("water-is-stolen", seed), where, library, seed=seed) for seed in (4, 4, 5)
    )
    assert one == same
    assert one.actions != other.actions


def test_a_parameter_is_decided_by_the_seed_and_by_the_command_line() -> None:
    """Within its range; in keys and texts too; a value given stands for every seed."""
    seen = [load_story("main-bursts", seed).events[0].water for seed in range(12)]
    holes = {act.hole_mm for act in seen if act is not None and act.hole_mm is not None}
    assert len(holes) > 5
    assert all(140 <= hole <= 220 for hole in holes)
    water = load_story("main-bursts", 3, {"hole_mm": 99}).events[0].water
    assert water is not None
    assert water.hole_mm == 99
    stolen = load_story("water-is-stolen", 1, {"where": "hydrant-06"})
    assert list(stolen.events[1].sets) == ["hydrant-06/cap_open"]
    with pytest.raises(ConfigError, match="got no such parameter, want one of where, hole_mm, when"):
        load_story("main-bursts", 1, {"holes": 3})


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90.0), ("1h30m", 5400.0), ("7d", 604_800.0), ("250ms", 0.25), (12, 12)]
)
def test_a_duration_is_read_as_people_write_it(text: object, seconds: float) -> None:
    """Days, hours, minutes, seconds."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("for: 40m", "for: 40min", 12, "events[0].for: got '40min', want a duration such as 90s, 2h30m or 7d"),
        ("what: burst", "what: brust", 13, "events[0].water.what: got 'brust', want 'burst', 'leak'"),
        ("hole_mm: $hole_mm}", "hole: 3}", 13, "events[0].water.hole: got an unknown key. Did you mean 'hole_mm'?"),
        ("hole_mm: $hole_mm}", "hole_mm: $holes}", 13, "got the parameter $holes, want one of where, hole_mm, when."),
        ("within: 2m", "within: -2", 15, "events[0].speaks[0].within: got -2, want greater than 0"),
        ("length: 3h", "length: 30m", 1, "want at most length_s 1800. Move it or lengthen the story."),
        ("between: [140, 220]", "between: [140]", 7, "parameters.hole_mm.between"),
    ],
)
def test_a_mistake_in_a_story_is_named_by_file_and_line(
    tmp_path: Path, old: str, new: str, line: int, said: str
) -> None:
    """File, line, what was got, what is wanted."""
    text = (STORIES / "main-bursts.yaml").read_text("utf-8")
    assert old in text
    path = tmp_path / "story.yaml"
    path.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_story(str(path), 1)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{path}:{line}:")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("node: H01", "node: H99", "hydrants.hydrant-01.node: got 'H99', want a junction of district.inp."),
        ("valve: PH01", "valve: PH02", "hydrants.hydrant-01.valve: got 'PH02', want a pipe that ends at 'H01'."),
        ("works: [PUMP1", "works: [PUMP9", "works[0]: got 'PUMP9', want a pump of district.inp."),
        ("levels: {tank-01: ROOF}", "levels: {tank-01: B1}", "levels.tank-01: got 'B1', want a tank of district.inp."),
        ("north: [hydrant-01", "north: [hydrant-91", "mains.north[0]: got 'hydrant-91', want one of the hydrants"),
    ],
)
def test_a_mistake_in_a_mapping_is_named_by_file_and_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    """A user's own network gets the same care."""
    text = (NETWORKS / "district.yaml").read_text("utf-8")
    assert old in text
    path = tmp_path / "mine.yaml"
    (tmp_path / "district.inp").write_text((NETWORKS / "district.inp").read_text("utf-8"), "utf-8")
    path.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_mapping(str(path))
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{path}:")


def test_an_act_on_what_is_not_in_the_town_is_refused_by_its_event(tmp_path: Path) -> None:
    """A story may fit its form and still not the town."""
    text = (STORIES / "main-bursts.yaml").read_text("utf-8").replace("at: [$where]", "at: [bay-01]")
    path = tmp_path / "story.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match="water: burst: at: got 'bay-01', want one of hydrant-01"):
        lay_out_town(load_story(str(path), 1), load_mapping("district"), ProfileLibrary(), seed=1)


def test_an_event_lies_over_what_the_water_makes_of_a_point() -> None:
    """While a value is set the instrument's own is not shown; afterwards it is again."""
    story = load_story("pool-levels", 1)
    timeline = lay_out_town(story, load_mapping("valley"), ProfileLibrary(), seed=1)
    low = story.events[0]
    seen = [
        (at, action.value)
        for at, action in timeline.actions
        if isinstance(action, SetPoint) and action.point == "pool-01/level_m"
    ]
    during = {value for at, value in seen if low.at_s <= at < low.at_s + low.for_s}
    assert during == {1.7}
    after = next(value for at, value in seen if at >= low.at_s + low.for_s)
    assert isinstance(after, float)
    assert after > 3
