"""Patrols of a site file: what is taken, what is refused with file and line, how often when nobody says."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.errors import ConfigError
from contract.patrol import PLAN_CYCLES, Plan
from contract.profile import ProfileLibrary
from contract.site import load_site
from tests.gateway.harness import SITE

LIBRARY = ProfileLibrary()
STOP = "stops: [{device: hydrant-01}]"
HEAD = "- {id: a, title: {zh: 查, en: a}, kind: patrol, "
NIGHT = "opening: [{days: [sun], open: '20:00', close: '04:00'}"
TITLE = "title: {zh: 门, en: door}"


def load(folder: Path, more: str) -> object:
    path = folder / "s.yaml"
    path.write_text(SITE + more, "utf-8")
    return load_site(path, LIBRARY)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (f"patrols:\n  {HEAD}cycle: open_hours, {STOP}}}\n", "without opening hours"),
        (f"place: public_gathering\npatrols:\n  {HEAD}{STOP}}}\n", "without opening hours"),
        (f"patrols:\n  {HEAD}{STOP}}}\n  {HEAD}{STOP}}}\n", "got 'a' again, want each plan once"),
        (f"patrols:\n  {HEAD}stops: [{{device: hydrant-07}}]}}\n", "got device 'hydrant-07', want one of this site"),
        (f"patrols:\n  {HEAD}stops: [{{device: hydrant-01}}, {{device: hydrant-01}}]}}\n", "each stop once in a route"),
        (f"patrols:\n  {HEAD}stops: [{{id: x}}]}}\n", "want `id` and `title`"),
        (f"patrols:\n  {HEAD}stops: []}}\n", "stops"),
        (
            f"patrols:\n  {HEAD}stops: [{{id: x, {TITLE}}}, {{id: y, device: hydrant-01}}]}}\n"
            f"  {HEAD.replace('id: a', 'id: b')}stops: [{{id: x, device: hydrant-01}}]}}\n",
            "one place a label",
        ),
        ('opening: [{open: "08:00", close: "20:00"}, {days: [wed], open: "19:00", close: "21:00"}]\n', "on wed"),
        (f"{NIGHT}, {{days: [mon], open: '03:00', close: '05:00'}}]\n", "on mon"),
        ("trainings: [{kind: training}, {kind: training}]\n", "each kind once"),
        ("trainings: [{kind: training, cycle: open_hours}]\n", "want daily to yearly"),
    ],
)  # fmt: skip
def test_a_patrol_that_cannot_be_walked_is_refused_when_the_site_is_loaded(
    tmp_path: Path, more: str, said: str
) -> None:
    """With file and line."""
    with pytest.raises(ConfigError, match=r"s\.yaml:\d+: ") as refused:
        load(tmp_path, more)
    assert said in str(refused.value)


def test_hours_that_touch_are_taken_when_a_place_never_closes(tmp_path: Path) -> None:
    """The same hour twice is the whole day."""
    load(tmp_path, 'opening: [{open: "00:00", close: "00:00"}]\n')
    load(tmp_path, 'opening: [{open: "06:00", close: "12:00"}, {open: "12:00", close: "06:00"}]\n')


def test_how_often_follows_from_kind_and_place_when_the_plan_does_not_say() -> None:
    """Order 61, articles 25 and 26; GB 25201-2010; what the plan says goes first."""
    plan = Plan.model_validate(
        {"id": "a", "title": {"zh": "查", "en": "a"}, "kind": "patrol", "stops": [{"device": "d"}]}
    )
    found = [plan.cycle_at(place) for place in ("public_gathering", "key_unit", "other")]
    assert found == ["open_hours", "daily", "weekly"]
    assert PLAN_CYCLES["self_check"]["office"] == "quarterly"
    assert plan.model_copy(update={"cycle": "half_monthly"}).cycle_at("key_unit") == "half_monthly"
