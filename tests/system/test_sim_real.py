"""A story of the town on real parts, as a person runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli.sim_real import hindrances_of, quickened_rules
from cli.sim_run import shipped_rules
from contract.equipment import Limits
from rules.model import load_packs
from simulators.story import load_story
from tests.system.test_start import weizhan

STORY = """
title: {zh: 短, en: Short}
station: town
length: 14s
events:
  - name: fire
    at: 1s
    for: 8s
    set: {panel-01/p003: fire}
    speaks: [{rule: panel-fire, of: panel-01/p003, within: 5s}]
  - name: leak
    at: 2s
    for: 8s
    set: {leak-01/leak: true}
    speaks: [{rule: water-leak, of: leak-01*, within: 5s}]
    ask: [{op: alarm.acknowledge, args: {alarm_id: "@alarm panel-fire", note: seen}}]
  - name: never
    at: 3s
    for: 1s
    set: {hydrant-02/battery_pct: 80}
    speaks: [{rule: hydrant-knocked, within: 5s}]
"""


@pytest.mark.timeout(120)
def test_a_story_is_played_on_real_parts_and_judged_as_a_fast_one(tmp_path: Path) -> None:
    """Contacts of a polled panel and of a sensor on its own broker reach the desk; what never comes is missed; pages
    and one-time passwords are told."""
    (tmp_path / "short.yaml").write_text(STORY, "utf-8")
    out = tmp_path / "run.json"
    command = ["sim", "run", "short.yaml", "--speed", "real", "--network", "valley", "--port", "0", "--data", "run"]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "cli.main", *command, "--out", str(out)],
        capture_output=True, text=True, timeout=110, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr[-3000:]
    assert "http://127.0.0.1:" in done.stderr
    assert "administrator" in done.stderr
    data = json.loads(out.read_text("utf-8"))
    assert {verdict["rule"]: verdict["delay_s"] is not None for verdict in data["verdicts"]} == {
        "panel-fire": True, "water-leak": True, "hydrant-knocked": False,
    }  # fmt: skip
    assert (data["false"], data["refused"]) == ([], [])


def test_what_real_parts_cannot_do_is_refused_event_by_event(tmp_path: Path) -> None:
    """Before anything is started; a speed that is none is refused as well."""
    refused = weizhan("sim", "run", "agent-and-link", "--speed", "real", folder=tmp_path)
    assert refused.returncode == 78
    assert "event clock: agent: the clock of this machine is not set" in refused.stderr
    assert "--speed warp: got 'warp', want fast, real, or a factor of 1 to 20." in weizhan(
        "sim", "run", "panel-fire", "--speed", "warp", folder=tmp_path
    ).stderr  # fmt: skip
    night = list(hindrances_of(load_story("riser-leaks-at-night", 1), shipped_rules()))
    assert night == ["event sinks: indoor-leak-night: speaks at a time of the day, and a real run is now."]
    assert list(hindrances_of(load_story("main-bursts", 1), shipped_rules())) == []


@pytest.mark.parametrize("speed", [2.0, 20.0])
def test_rules_wait_less_when_a_story_is_faster(speed: float) -> None:
    """Every rule takes its shorter durations; the look back of a burst is shorter as well."""
    overrides = quickened_rules(shipped_rules(), speed)
    assert overrides["hydrant-burst"] == {
        "for_s": 10 / speed, "clear_for_s": 10 / speed, "window_s": 60 / speed,
    }  # fmt: skip
    quick = load_packs(None, {name: Limits(**changes) for name, changes in overrides.items()})
    assert quick["panel-start-no-feedback"].for_s == shipped_rules()["panel-start-no-feedback"].for_s / speed
    assert quickened_rules(shipped_rules(), 1.0) == {}
