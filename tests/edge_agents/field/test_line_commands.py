"""`weizhan line ...` as an installer runs it, on simulated equipment behind a pseudo-terminal at 9600 baud."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.line import line
from cli.processes import CONFIG_EXIT
from contract.profile import ModbusVector, ProfileLibrary, load_profile
from edge_agents.drivers.modbus import decode_point, plan_reads
from simulators.device import Device
from simulators.modbus_rtu import ModbusRtuLine
from simulators.recorder import Recorder
from tests.parts.modbus_slave import rtu_slave, serial_line

LIBRARY = ProfileLibrary()
CHAR_S = 10 / 9600
LATE_S = 0.08


class Equipment:
    """A line with two hydrants and a tank."""

    def __init__(self, folder: Path) -> None:
        self.recorder = Recorder(folder / "truth.jsonl", lambda: 1)
        self.devices = {3: self._of("hydrant-municipal"), 4: self._of("hydrant-municipal"), 9: self._of("water-level")}
        self.line = ModbusRtuLine(self.devices, folder / "ttyLINE", self.recorder)
        self.port = str(folder / "ttyLINE")

    def _of(self, profile_id: str) -> Device:
        vector = LIBRARY[profile_id].test_vector
        assert isinstance(vector, ModbusVector)
        return Device(profile_id, LIBRARY[profile_id], self.recorder, start=vector.values)


@pytest.fixture
async def equipment(tmp_path: Path) -> AsyncIterator[Equipment]:
    """The line, answering."""
    equipment = Equipment(tmp_path)
    async with equipment.line:
        yield equipment
    equipment.recorder.close()
    assert equipment.recorder.violations == 0, "something was written to equipment"


async def weizhan(*args: str, enter: bool = False) -> tuple[int, str, str]:
    """Run a command beside the simulators; gives exit code, stdout, stderr."""
    process = await start(*args)
    async with asyncio.timeout(60):
        out, err = await process.communicate(b"\n" if enter else b"")
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def start(*args: str) -> asyncio.subprocess.Process:
    """A command that is running."""
    pipe = asyncio.subprocess.PIPE
    environment = {**os.environ, "COLUMNS": "160", "NO_COLOR": "1"}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "cli.main", "line", *args, stdin=pipe, stdout=pipe, stderr=pipe, env=environment
    )


async def test_doctor_measures_the_turnaround_when_units_are_slow(equipment: Equipment) -> None:
    """Two units that take 80 ms: counts, timeout, silence and capacity follow from it."""
    for device in equipment.devices.values():
        device.late_s = LATE_S
    code, out, err = await weizhan(
        *(
            "doctor",
            "--port",
            equipment.port,
            "--units",
            "3,4",
            "--count",
            "7",
            "--rounds",
            "8",
            "--listen",
            "0",
            "--json",
        )
    )
    assert code == 0, err
    found = json.loads(out)
    truth_s = LATE_S + 3.5 * CHAR_S + 0.003
    assert found["counts"] == {
        "asked": 16, "answered": 16, "timeouts": 0, "late_answers": 0, "crc_errors": 0,
        "noise_bytes": 0, "echoes": 0, "foreign_frames": 0,
    }  # fmt: skip
    # A busy machine answers later than told, never sooner; how exact the figures are is shown in virtual time.
    measured_s = found["turnaround"]["mean"] / 1000
    assert 0.99 * truth_s <= found["turnaround"]["least"] / 1000 <= 2 * truth_s
    assert found["advised_timeout_s"] >= 1.5 * truth_s + 27 * CHAR_S
    assert found["units_carried"] == pytest.approx(10 / (measured_s + 27 * CHAR_S + 38.5 / 9600), rel=0.02)
    assert found["findings"] == []


async def test_doctor_takes_line_and_blocks_from_a_configuration(equipment: Equipment, tmp_path: Path) -> None:
    """Every device is asked what its profile asks; a silent one is named; the load is that of the configuration."""
    equipment.devices[4].silent = True
    devices = ", ".join(
        f"{{id: d{unit}, unit_id: {unit}, profile: {device.name}}}" for unit, device in equipment.devices.items()
    )
    (tmp_path / "site.yaml").write_text(
        "site: s\ntitle: {zh: 站, en: S}\nagents:\n  - id: edge-1\n    lines:\n"
        f"      - {{id: rs485-1, kind: modbus_rtu, port: {equipment.port}, devices: [{devices}]}}\n",
        "utf-8",
    )
    config = tmp_path / "weizhan.yaml"
    config.write_text("agent: {site_file: site.yaml, agent_id: edge-1, data_dir: edge}\n", "utf-8")
    code, out, err = await weizhan("doctor", "--config", str(config), "--rounds", "3", "--listen", "0")
    assert code == 0, err
    assert "units 4: got no answer" in out
    assert "asked 9: answered 6, timeouts 3" in out
    assert "This line carries" in out
    assert "As configured its polls take 1% of the line's time" in out


async def test_scan_finds_units_and_their_profiles_when_they_answer(equipment: Equipment) -> None:
    """All units, those of another function too, with the right profile first; a slow one as well."""
    equipment.devices[4].late_s = 0.15
    code, out, err = await weizhan("scan", "--port", equipment.port, "--units", "1-12", "--timeout", "0.1", "--json")
    assert code == 0, err
    (found,) = json.loads(out)
    best = {unit["unit_id"]: unit["profiles"][0]["profile_id"] for unit in found["units"]}
    assert best == {3: "hydrant-municipal", 4: "hydrant-municipal", 9: "water-level"}
    assert (found["baud"], found["parity"]) == (9600, "N")


async def test_learn_writes_a_profile_when_two_values_were_shown(equipment: Equipment, tmp_path: Path) -> None:
    """The gauge is read twice, the second time after Enter; the written profile reads the device right."""
    device, path = equipment.devices[3], tmp_path / "my-gauge.yaml"
    args = ("learn", "--port", equipment.port, "--unit", "3", "--registers", "0-15", "--shows", "0.1523 MPa")
    process = await start(*args, "--second-value", "0.6040", "--write", str(path))
    assert process.stderr is not None
    async with asyncio.timeout(30):
        prompt = await process.stderr.readline()
    assert prompt == b"Bring the gauge to 0.6040 MPa, let it settle, then press Enter.\n"
    device.set("pressure_kpa", 604.0)
    async with asyncio.timeout(30):
        out, err = await process.communicate(b"\n")
    assert process.returncode == 0, err.decode()
    assert b"Written: profile my-gauge, point pressure_kpa." in out
    profile = load_profile(path)
    assert (profile.points[0].register_, profile.points[0].scale) == (0, 0.1)
    assert decode_point(plan_reads(profile).points[0], {0: 6040}) == (604.0, "good")


async def test_learn_asks_for_a_second_value_when_one_is_ambiguous(equipment: Equipment, tmp_path: Path) -> None:
    """Nothing is written on a guess; the text says what to do."""
    equipment.devices[3].set("pressure_kpa", 10.0)  # 100 in one register; 12 and 87 are in others
    equipment.devices[3].set("flow_lps", 1.0)
    code, _, err = await weizhan(
        *("learn", "--port", equipment.port, "--unit", "3", "--registers", "0-6", "--shows", "0.010 MPa"),
        *("--write", str(tmp_path / "g.yaml")),
    )
    assert code == CONFIG_EXIT
    assert "Take a second reading at another value (--second-value)" in err
    assert not (tmp_path / "g.yaml").exists()


async def test_commands_name_the_holder_when_the_port_is_in_use(equipment: Equipment) -> None:
    """The process that holds the port is named with its id; so is what to do."""
    fd = os.open(equipment.port, os.O_RDWR | os.O_NOCTTY)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        for command in (("scan",), ("learn", "--unit", "3", "--shows", "0.6 MPa")):
            code, _, err = await weizhan(*command, "--port", equipment.port)
            assert code == CONFIG_EXIT
            assert f"{equipment.port}: got a port in use, held by" in err
            assert f"({os.getpid()})" in err
    finally:
        os.close(fd)


async def test_learn_says_what_to_check_when_the_unit_is_silent(equipment: Equipment) -> None:
    """No answer is not the same as nothing found."""
    code, _, err = await weizhan(
        "learn", "--port", equipment.port, "--unit", "77", "--shows", "0.6", "--timeout", "0.1"
    )
    assert code == CONFIG_EXIT
    assert err.startswith("unit 77: got no answer at 9600 baud 8N1, want one. Check in this order: power")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("doctor", "--port", "/dev/nowhere"), "/dev/nowhere: got no such port."),
        (("doctor", "--port", "/dev/null"), "/dev/null: got a device that is no serial port."),
        (("doctor",), "--config: got neither --config and --port, want one of them."),
        (("doctor", "--port", "x", "--units", "0-3"), "--units: got '0-3', want addresses within 1-247"),
        (("doctor", "--port", "x", "--function", "6"), "--function: got 6, want 1..4."),
        (("doctor", "--port", "x", "--parity", "X"), "--parity: got 'X', want N, E or O."),
        (("doctor", "--config", "none.yaml"), "none.yaml: No such file or directory."),
        (("scan", "--port", "x", "--baud-list", "fast"), "--baud-list: got 'fast', want speeds such as 9600,19200."),
        (("learn", "--port", "x", "--unit", "1", "--shows", "much"), "--shows: got 'much', want a number and its unit"),
        (("learn", "--port", "x", "--unit", "0", "--shows", "1 bar"), "--unit: got 0, want 1..247."),
        (
            ("learn", "--port", "x", "--unit", "1", "--shows", "1.00 bar", "--second-value", "1.01"),
            "--second-value: got '1.01' beside '1.00 bar', want a clearly different value.",
        ),
        (
            ("learn", "--port", "x", "--unit", "1", "--shows", "1 bar", "--write", "Big Name.yaml"),
            "--write: got Big Name.yaml, want a name of a-z",
        ),
    ],
)
def test_wrong_parameters_are_refused_when_given(args: tuple[str, ...], said: str) -> None:
    """What is wrong, what was wanted, before the line is touched."""
    done = CliRunner().invoke(line, args)
    assert (done.exit_code, done.stdout) == (CONFIG_EXIT, "")
    assert done.stderr.startswith(said)


async def test_tools_work_on_a_slave_that_is_not_ours_when_it_is_libmodbus(slave_exe: Path) -> None:
    """Doctor, scan and learn against a C slave: its float is found by what it holds."""
    with serial_line() as far, rtu_slave(slave_exe, far.far):
        port = ("--port", far.near, "--baud", "115200")
        code, out, err = await weizhan("doctor", *port, "--units", "1", "--rounds", "20", "--listen", "0", "--json")
        assert (code, json.loads(out)["counts"]["answered"]) == (0, 20), err
        code, out, err = await weizhan(
            *("scan", "--port", far.near, "--baud-list", "115200", "--parity-list", "N", "--units", "1-5", "--json")
        )
        assert [unit["unit_id"] for unit in json.loads(out)[0]["units"]] == [1], err
        code, out, err = await weizhan(
            *("learn", *port, "--unit", "1", "--register", "40211", "--shows", "36.50 C", "--json")
        )
        assert code == 0, err
        best = json.loads(out)["candidates"][0]
        assert (best["function"], best["register"], best["type"], best["word_order"]) == (3, 210, "float32", "big")
        assert (best["scale"], best["offset"]) == (1.0, 0.0)
