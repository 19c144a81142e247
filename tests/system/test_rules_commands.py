"""`weizhan rules ...` on a real ledger and history, along docs/rule-lab.md: its files and commands are these."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.main import app
from cli.processes import CONFIG_EXIT
from cli.rules_apply import apply
from cli.settings import load_settings
from contract.errors import ConfigError
from contract.messages import Reading
from gateway.control.client import SOCKET, ControlError
from gateway.control.protocol import Problem
from gateway.control.server import ControlServer
from gateway.history.base import Row
from gateway.history.embedded import EmbeddedHistory
from gateway.ledger.reader import LedgerReader
from gateway.ledger.store import FILE
from gateway.reload import Reloader
from tests.gateway.harness import PRESSURE, START_MS, Clock, arrival, batch, open_bench

PAGE = Path(__file__).parents[2] / "docs" / "rule-lab.md"
STEP_MS = 30_000
LOW = range(60, 80)
"""Steps of the history in which the hydrant has 120 kPa; else it has 300."""


def block(after: str, language: str = "yaml") -> str:
    """The first block of the page behind a text."""
    found = re.search(rf"{re.escape(after)}.*?```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert found is not None, after
    return found[1]


async def make(folder: Path) -> None:
    """Two hours of a hydrant through the real pipeline, and the same in the history."""
    clock, rows = Clock(), []
    (folder / "rules").mkdir(parents=True)
    async with open_bench(folder, clock, rule_folders=[folder / "rules"]) as bench:
        for seq in range(1, 25):
            readings = []
            for step in range((seq - 1) * 10, seq * 10):
                at_ms = START_MS + step * STEP_MS
                value = 120.0 if step in LOW else 300.0
                readings += [Reading(PRESSURE, at_ms, value), Reading("hydrant-01/online", at_ms, True)]
                rows += [Row("shuiye", *r.point.split("/"), r.observed_ms, r.value, r.quality) for r in readings[-2:]]
            clock.now_ms = at_ms
            await bench.take(arrival(batch(seq, *readings, sent_ms=at_ms), at_ms))
    async with EmbeddedHistory(folder / "data" / "history") as history:
        await history.write(rows, lambda bad, why: pytest.fail(f"{bad}: {why}"))
    (folder / "weizhan.yaml").write_text(block("An installation's own packs stand"), "utf-8")
    (folder / "new").mkdir()
    (folder / "new" / "own.yaml").write_text(block("`new/own.yaml`"), "utf-8")
    (folder / "new" / "own.cases.yaml").write_text(block("`new/own.cases.yaml`"), "utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation, to be copied by each test."""
    folder = tmp_path_factory.mktemp("made") / "station"
    asyncio.run(make(folder))
    return folder


@pytest.fixture
def station(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation of the test's own, with its folder as the current one."""
    folder = tmp_path / "station"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return folder


def weizhan(*words: str) -> Result:
    """Run a command line in this process."""
    return CliRunner().invoke(app, [*words], env={"COLUMNS": "200"})


def low_alarm() -> int:
    """Number of the alarm about the pressure."""
    with LedgerReader(Path("data") / FILE) as ledger:
        return ledger.alarms(rule="hydrant-pressure-low")[0].id


def test_page_holds_from_the_first_line_to_in_force(station: Path) -> None:
    """The files of the page are sound, its cases pass, the history shows what they gain, and they come into force."""
    number = low_alarm()
    commands = [
        line
        for part in re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
        for line in part.splitlines()
    ]
    told = {}
    for line in commands:
        words = line.replace("add 1 ", f"add {number} ").split()
        done = weizhan(*words[1:])
        assert done.exit_code == 0, f"{line}: {done.output}"
        told[line] = done.output

    assert "2 cases, 0 failed, 0 rules without a case." in told["weizhan rules test new"]
    assert "hydrant-below-usual" in told[next(line for line in commands if "lab diff" in line)]
    assert "seen hydrant-pressure-low" in told["weizhan rules golden check new"]
    assert "1 golden incidents still seen" in told["weizhan rules apply new"]
    assert sorted(path.name for path in (station / "rules").iterdir()) == ["golden", "own.cases.yaml", "own.yaml"]
    assert "hydrant-below-usual" in weizhan("rules", "list").output
    report = (station / "report.html").read_text("utf-8")
    assert "<svg" in report
    assert "http" not in report


def test_diff_gives_the_same_json_when_it_is_made_again(station: Path) -> None:
    """What is gained, when, and how many pages: the same each time."""
    first, second = (weizhan("rules", "lab", "diff", "current", "new", "--history", "2h", "--json") for _ in range(2))

    data = json.loads(first.stdout)
    assert first.stdout == second.stdout
    assert [(c["kind"], c["rule"], c["after"]["raised_ms"] - START_MS) for c in data["changes"]] == [
        ("gained", "hydrant-below-usual", LOW.start * STEP_MS + 60_000)
    ]
    assert data["pages_per_shift"]["before"]["total"] == 0
    assert data["pages_per_shift"]["after"]["total"] == 1
    assert data["compared"] == ["hydrant-below-usual"]


def test_replay_of_the_history_gives_the_alarms_of_the_ledger(station: Path) -> None:
    """What the lab makes of the history is what was decided when it was live."""
    done = weizhan("rules", "lab", "diff", "current", "current", "--history", "3h", "--all", "--json")
    live = json.loads(weizhan("rules", "explain", str(low_alarm()), "--json").stdout)["alarm"]

    data = json.loads(done.stdout)
    again = {rule["rule"]: rule["after"] for rule in data["rules"]}
    assert again["hydrant-pressure-low"] == 1
    assert live["raised_ms"] == START_MS + LOW.start * STEP_MS + 30_000
    assert data["changes"] == []


def test_apply_refuses_and_names_the_incident_when_it_would_go_unseen(station: Path) -> None:
    """A pack that takes the place of the shipped one and sees less changes nothing."""
    assert weizhan("rules", "golden", "add", str(low_alarm()), "--title", "东门断水").exit_code == 0
    text = (station / "new" / "own.yaml").read_text("utf-8")
    blind = text.replace("pack: own", "pack: hydrant").replace("hydrant-below-usual", "hydrant-pressure-low")
    (station / "new" / "own.yaml").write_text(
        blind.replace("below: 250, clear: 260", "below: 110, clear: 260"), "utf-8"
    )
    (station / "new" / "own.cases.yaml").unlink()

    done = weizhan("rules", "apply", "new")

    assert done.exit_code == CONFIG_EXIT
    assert "东门断水" in done.output
    assert "hydrant-pressure-low on shuiye/hydrant-01/pressure_kpa: got no raise, want one at" in done.output
    assert "pressure_kpa went from 300 to 120" in done.output
    assert "takes the place of" in done.output
    assert sorted(path.name for path in (station / "rules").iterdir()) == ["golden"]


def test_apply_refuses_when_a_case_fails_or_a_file_is_wrong(station: Path) -> None:
    """The cases are drawn, the file is named with its line; the folder in force stays as it was."""
    cases = station / "new" / "own.cases.yaml"
    cases.write_text(cases.read_text("utf-8").replace("{at: 70, event: raise}", "{at: 60, event: raise}"), "utf-8")
    failing = weizhan("rules", "apply", "new")
    pack = station / "new" / "own.yaml"
    pack.write_text(pack.read_text("utf-8").replace("on_missing: hold", "inhibit_by: [{rule: panel-fyre}]"), "utf-8")
    wrong = weizhan("rules", "apply", "new")

    assert (failing.exit_code, wrong.exit_code) == (CONFIG_EXIT, CONFIG_EXIT)
    assert "FAIL" in failing.output
    assert "raise 60 s" in failing.output
    assert "raise 70 s" in failing.output
    assert "own.yaml:" in wrong.output
    assert list((station / "rules").iterdir()) == []


async def test_former_rules_are_back_when_the_gateway_refuses(station: Path) -> None:
    """What a running gateway will not take is not left in its folder; what it takes is in force at once."""
    settings = load_settings(station / "weizhan.yaml")
    socket = station / "data" / SOCKET

    async def refuse(_: str) -> dict[str, Any]:
        raise ControlError(Problem("invalid", "not these."))

    async with open_bench(station, rule_folders=[station / "rules"]) as bench:
        assert settings.gateway is not None
        reloader = Reloader(settings.gateway, lambda: bench.pipeline.installation, bench.pipeline.install)
        async with ControlServer(socket, bench.pipeline, bench.feed, dict, refuse):
            with pytest.raises(ConfigError, match=r"the gateway refused the rules: not these\."):
                await apply(settings, station / "new", None)
        left = list((station / "rules").iterdir())
        async with ControlServer(socket, bench.pipeline, bench.feed, dict, reloader.reload):
            done = await apply(settings, station / "new", None)

    assert left == []
    assert done.told is not None
    assert done.told["rules"] == {"added": ["hydrant-below-usual"]}


def test_check_names_file_and_line_of_everything_that_is_wrong(station: Path) -> None:
    """References, repeated ids, cases of no rule, limits of devices; what watches nothing is a note."""
    pack = station / "new" / "own.yaml"
    text = pack.read_text("utf-8")
    pack.write_text(text.replace("    for_s: 60", "    for_s: 60\n    inhibit_by: [{rule: panel-fyre}]"), "utf-8")
    (station / "new" / "more.yaml").write_text(
        text.replace("pack: own", "pack: more").replace("hydrant-municipal/", "hydrant-indoor/"), "utf-8"
    )
    site = station / "shuiye.yaml"
    site.write_text(
        site.read_text("utf-8").replace(
            "unit_id: 1}\n          - {id: p", "unit_id: 1, limits: {no-rule: {below: 1}}}\n          - {id: p"
        ),
        "utf-8",
    )

    done = weizhan("rules", "check", "new")

    start = weizhan("check", "weizhan.yaml")

    assert done.exit_code == 2
    assert start.exit_code == CONFIG_EXIT
    assert "limits.no-rule: got no such rule" in start.output
    assert re.search(
        r"new/own.yaml:13: rules\[0\].inhibit_by\[0\].rule: got rule 'panel-fyre'.*'panel-fire'", done.output
    )
    assert re.search(r"new/own.yaml:4: rules\[0\].id: got 'hydrant-below-usual' again", done.output)
    assert re.search(r"shuiye.yaml:\d+: .*limits.no-rule: got no such rule", done.output)
    assert "note: new/more.yaml:4: rule hydrant-below-usual: watches nothing in the configured sites" in done.output


def test_explain_tells_rule_inputs_and_every_step_from_the_ledger_alone(station: Path) -> None:
    """Neither configuration nor rules are needed: the folder of the ledger is enough."""
    number = low_alarm()
    (station / "weizhan.yaml").unlink()

    told = weizhan("rules", "explain", str(number), "--data", "data", "--lang", "en").output
    data = json.loads(weizhan("rules", "explain", str(number), "--data", "data", "--json").stdout)

    assert "Municipal hydrant pressure low" in told
    assert "below: 140.0" in told
    assert "condition begins to hold" in told
    assert [step["what"] for step in data["steps"]] == ["violated", "raise", "clear"]
    assert data["rule"]["record"]["when"]["below"] == 140.0
    assert data["alarm"]["inputs"]["value"] == 120.0
    assert data["steps"][0]["at_ms"] == START_MS + LOW.start * STEP_MS


def test_explain_says_why_there_is_no_alarm(station: Path) -> None:
    """Before the limit was passed long enough the rule waits; a subject nobody knows is named with those that are."""
    moment = START_MS + LOW.start * STEP_MS + 10_000
    at = f"2025-10-09T{(moment // 3_600_000) % 24:02d}:{(moment // 60_000) % 60:02d}:{(moment // 1000) % 60:02d}+00:00"
    given = ("rules", "explain", "--subject", "shuiye/hydrant-01/pressure_kpa", "--at", at)

    data = json.loads(weizhan(*given, "--json").stdout)
    stranger = weizhan("rules", "explain", "--subject", "shuiye/hydrant-09/pressure_kpa")

    thoughts = {thought["rule"]: thought for thought in data["thoughts"]}
    assert thoughts["hydrant-pressure-low"]["phase"] == "pending"
    assert thoughts["hydrant-pressure-low"]["for_s"] == 30.0
    assert thoughts["hydrant-pressure-critical"]["holds"] is False
    assert data["alarms"] == []
    assert "got device shuiye/hydrant-09, want one of" in stranger.output
