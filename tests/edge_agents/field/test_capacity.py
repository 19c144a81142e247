"""The arithmetic of a serial line, and the refusal of one that cannot meet its periods."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cli.processes import CONFIG_EXIT
from cli.settings import check, load_settings
from contract.profile import ProfileLibrary
from contract.site import DeviceEntry, ModbusRtuLine
from edge_agents.drivers.modbus import Block
from edge_agents.field.capacity import Speed, find_overload, loads_of, time_block, units_carried

SITE = """\
site: s
title: {zh: 站, en: S}
agents:
  - id: edge-1
    lines:
      - id: rs485-1
        kind: modbus_rtu
        port: /dev/ttyUSB0
        baud: 9600
        devices:
"""


def make_line(units: int, poll_s: float, baud: int = 9600) -> ModbusRtuLine:
    """Municipal hydrants, all polled alike."""
    devices = [
        DeviceEntry(id=f"h{n}", profile="hydrant-municipal", unit_id=n, poll_s=poll_s) for n in range(1, units + 1)
    ]
    return ModbusRtuLine(id="rs485-1", kind="modbus_rtu", port="/dev/ttyUSB0", baud=baud, devices=devices)


def write_config(folder: Path, units: int, poll_s: float) -> Path:
    """A configuration file with such a line."""
    rows = [
        f"          - {{id: h{n}, profile: hydrant-municipal, unit_id: {n}, poll_s: {poll_s}}}\n"
        for n in range(1, units + 1)
    ]
    (folder / "site.yaml").write_text(SITE + "".join(rows), "utf-8")
    (folder / "weizhan.yaml").write_text("agent: {site_file: site.yaml, agent_id: edge-1, data_dir: edge}\n", "utf-8")
    return folder / "weizhan.yaml"


def test_block_time_is_the_standards_when_nothing_was_measured() -> None:
    """Seven registers at 9600 8N1: 8 characters, 3.5 of silence, 19 characters, 3.5 of silence."""
    time = time_block(Block(3, 0, 7), Speed(9600))
    assert [round(part * 1000, 2) for part in time] == [8.33, 4.01, 19.79, 4.01]


@pytest.mark.parametrize(("block", "chars"), [(Block(1, 0, 9), 7), (Block(4, 0, 125), 255), (Block(2, 0, 8), 6)])
def test_answer_time_fits_when_bits_or_words_are_read(block: Block, chars: int) -> None:
    """Eight bits to a character, two characters to a word, 11 bits a character with parity."""
    assert time_block(block, Speed(1200, "E")).answer_s == pytest.approx(chars * 11 / 1200)


def test_units_carried_are_what_fits_when_each_takes_its_time() -> None:
    """Ten seconds of 125 ms are 80 units."""
    blocks = [time_block(Block(3, 0, 1), Speed(9600), 0.125 - time_block(Block(3, 0, 1), Speed(9600), 0).total_s)]
    assert units_carried(blocks, 10.0) == 80


def test_a_line_is_let_be_when_it_can_meet_its_periods() -> None:
    """27 units of 36.1 ms fit one second; a faster line carries more."""
    library = ProfileLibrary()
    assert find_overload(make_line(27, 1.0), library) is None
    assert find_overload(make_line(100, 1.0, baud=115200), library) is None
    assert sum(load.share for load in loads_of(make_line(27, 1.0), library)) == pytest.approx(0.976, abs=0.001)


def test_check_refuses_with_the_arithmetic_when_a_line_is_overcommitted(tmp_path: Path) -> None:
    """The text has file, line, units, blocks, ms of each part, sum and period."""
    config = write_config(tmp_path, 40, 1.0)
    assert check(config, load_settings(config)) == [
        f"{tmp_path}/site.yaml:6: agents[0].lines[0] (rs485-1): got reads that take 145% of the line's time at "
        "9600 baud 8N1, want at most 100%: 40 x hydrant-municipal (1 block: 8.3 request + 4.0 turnaround + "
        "19.8 answer + 4.0 silence = 36.1 ms) = 1446 ms in each 1 s = 145%. "
        "Poll slower (poll_s x 1.5), raise the baud rate or share the devices out over 2 lines."
    ]


def test_check_is_content_when_the_line_belongs_to_another_agent(tmp_path: Path) -> None:
    """Only the lines this agent reads are its problem."""
    config = write_config(tmp_path, 40, 1.0)
    device = "{id: p, unit_id: 1, profile: pump-controller}"
    other = f"  - {{id: edge-2, lines: [{{id: t, kind: modbus_tcp, host: h, devices: [{device}]}}]}}\n"
    site = tmp_path / "site.yaml"
    site.write_text(site.read_text("utf-8") + other, "utf-8")
    config.write_text(config.read_text("utf-8").replace("edge-1", "edge-2"), "utf-8")
    assert check(config, load_settings(config)) == []


def test_start_says_what_check_says_when_a_line_is_overcommitted(tmp_path: Path) -> None:
    """`weizhan edge run` refuses with the text of `weizhan check` before it opens anything."""
    config = write_config(tmp_path, 40, 1.0)
    said = [
        subprocess.run(
            [sys.executable, "-P", "-m", "cli.main", *command], capture_output=True, text=True, timeout=60, check=False
        )
        for command in (["check", str(config)], ["edge", "run", "--config", str(config)])
    ]
    assert [done.returncode for done in said] == [CONFIG_EXIT, CONFIG_EXIT]
    assert said[0].stderr == said[1].stderr
    assert "145%" in said[0].stderr
    assert not (tmp_path / "edge").exists()
