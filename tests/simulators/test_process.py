"""`python -m simulators` as its parent sees it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from contract.site import ModbusTcpLine, load_site
from simulators.truth import Truth, read_truth
from tests.simulators.clients import read_pdu, tcp_request, words_of
from tests.simulators.conftest import LIBRARY

STORY = """
title: {zh: 短, en: short}
length_s: 1.4
tail_s: 0.1
events:
- {name: fire, at_s: 0.05, for_s: 1.3, say: {zh: 火警, en: fire}, set: {panel-01/p002: fire},
   alarms: {panel-01/p002: [panel-fire]}}
"""


class _Simulators:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stdin is not None
        assert process.stdout is not None
        self.stdin: IO[bytes] = process.stdin
        self.stdout: IO[bytes] = process.stdout

    def told(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.stdout.readline())
        return message

    def say(self, word: str) -> None:
        self.stdin.write(word.encode() + b"\n")
        self.stdin.flush()


@contextmanager
def _simulators(out: Path, *args: str) -> Iterator[_Simulators]:
    command = [sys.executable, "-m", "simulators", "--out", str(out), *args]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield _Simulators(process)
        finally:
            process.kill()


def _story(folder: Path) -> str:
    path = folder / "short.yaml"
    path.write_text(STORY)
    return str(path)


def _panel_alarm(truth: Truth) -> tuple[str, str, bool, bool]:
    (alarm,) = truth.alarms
    return alarm.rule, alarm.subject, alarm.contact, alarm.to_ms is not None


async def test_station_answers_where_its_site_file_says_when_ready(tmp_path: Path) -> None:
    """The ready line names a site file that loads, with about 60 points or more, and whose ports answer."""
    with _simulators(tmp_path / "out") as simulators:
        ready = simulators.told()
        assert ready | {"site": "", "truth": "", "story_s": 0} == {
            "ready": True, "site": "", "truth": "", "story_s": 0, "broker_port": None,
        }  # fmt: skip
        site = load_site(Path(ready["site"]), LIBRARY)
        assert sum(len(placed.points) for placed in site.placed()) >= 60
        line = next(line for line in site.agents[0].lines if isinstance(line, ModbusTcpLine))
        panel = next(entry for entry in line.devices if entry.id == "panel-01")
        assert panel.unit_id is not None
        assert words_of(await tcp_request(line.port, panel.unit_id, read_pdu(3, 0, 16))) == [0] * 16
        assert {path.name for path in (tmp_path / "out").iterdir() if path.is_symlink()} == {"rtu-1", "printer-1"}
        simulators.say("stop")
        assert simulators.process.wait(10) == 0
    assert not any(path.is_symlink() for path in (tmp_path / "out").iterdir())


def test_story_is_played_once_when_started(tmp_path: Path) -> None:
    """Nothing happens before `start`; then the steps, then the end; the truth file has it all."""
    with _simulators(tmp_path, "--story", _story(tmp_path)) as simulators:
        ready = simulators.told()
        assert ready["story_s"] == pytest.approx(1.5)
        simulators.say("start")
        assert list(simulators.told()) == ["began_ms"]
        step = simulators.told()
        assert (step["step"], step["zh"], step["en"]) == ("fire", "火警", "fire")
        assert simulators.told() == {"finished": True}
        simulators.say("stop")
        assert simulators.process.wait(10) == 0
    truth = read_truth(tmp_path / "truth.jsonl")
    assert _panel_alarm(truth) == ("panel-fire", "shuiye-demo/panel-01/p002", True, True)
    assert [s.value for s in truth.segments if s.point == "panel-01/p002"] == ["normal", "fire", "normal"]
    assert truth.steps[0].at_ms == step["at_ms"]


@pytest.mark.parametrize("how", ["stop", "end of stdin", "SIGTERM"])
def test_open_segments_are_written_when_stopped_in_the_middle(tmp_path: Path, how: str) -> None:
    """However it is stopped, the process ends with 0 and the truth file is whole."""
    with _simulators(tmp_path, "--story", _story(tmp_path), "--speed", "0.1") as simulators:
        simulators.told()
        simulators.say("start")
        simulators.told()
        assert simulators.told()["step"] == "fire"
        if how == "stop":
            simulators.say("stop")
        elif how == "SIGTERM":
            simulators.process.send_signal(signal.SIGTERM)
        else:
            simulators.stdin.close()
        assert simulators.process.wait(10) == 0
        assert simulators.process.stderr is not None
        assert simulators.process.stderr.read() == b""
    truth = read_truth(tmp_path / "truth.jsonl")
    assert _panel_alarm(truth) == ("panel-fire", "shuiye-demo/panel-01/p002", True, False)
    points = {segment.point for segment in truth.segments}
    assert {"hydrant-01/pressure_kpa", "rack-01/set_4_present", "panel-01/main_power"} <= points


def test_story_begins_again_when_it_loops(tmp_path: Path) -> None:
    """With --loop the same step is told again."""
    with _simulators(tmp_path, "--story", _story(tmp_path), "--loop") as simulators:
        simulators.told()
        simulators.say("start")
        simulators.told()
        assert [simulators.told()["step"] for _ in range(2)] == ["fire", "fire"]


def test_link_stands_before_the_broker_when_a_port_is_given(tmp_path: Path, free_port: int) -> None:
    """The ready line names the link's port, which is not the broker's."""
    with _simulators(tmp_path, "--broker-port", str(free_port)) as simulators:
        assert simulators.told()["broker_port"] not in (None, free_port)
        simulators.say("stop")
        assert simulators.process.wait(10) == 0


def test_reason_is_told_when_it_cannot_start(tmp_path: Path) -> None:
    """An unknown story ends the process with 2 and the names there are."""
    with _simulators(tmp_path, "--story", "nothing") as simulators:
        assert simulators.process.wait(10) == 2
        assert simulators.process.stderr is not None
        assert simulators.process.stderr.read().startswith(b"story: got 'nothing', want one of a-bad-night, ")
