"""`weizhan gb26875 decode` as a person or a script calls it, and the short fuzz campaign."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.gb26875 import campaign
from cli.main import app

FIRE = (
    "404001000101203A091A090C790300000000385B0100000030000202010101280A000200020020202020202020202020202020202020202020"
    "202020202020202020202000023A091A090C462323"
)
CONFIRM = "404001000101233A091A090C385B01000000790300000000000003AB2323"


def run(*arguments: str) -> list[dict[str, Any]]:
    done = CliRunner().invoke(app, ["gb26875", "decode", "--json", *arguments])
    assert done.exit_code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_frame_is_one_line_of_json_when_given_as_hex() -> None:
    """Names in both languages stand beside the values."""
    (found,) = run("--hex", FIRE)
    item = found["decoded"]["unit"]["objects"][0]
    assert (found["valid"], found["tolerances"]) == (True, [])
    assert (item["comp_type_name"], item["comp_type_name_zh"]) == ("smoke detector", "感烟火灾探测器")
    assert (item["status_bits"], item["status_bits_zh"], item["status_bits_en"]) == (["fire"], ["火警"], ["fire"])


@pytest.mark.parametrize("text", [FIRE.lower(), " ".join([FIRE[:7], FIRE[7:]]), "0x40 0x40" + FIRE[4:], f"# A\n{FIRE}"])
def test_hex_is_read_when_written_in_the_usual_ways(text: str) -> None:
    """Case, spaces, 0x and comment lines do not matter."""
    assert run("--hex", text)[0]["hex"] == FIRE


def test_each_byte_is_accounted_for_when_a_capture_has_rubbish(tmp_path: Path) -> None:
    """Glued frames, rubbish before, between and behind: frames in order, the rest told as skipped."""
    capture = tmp_path / "capture.bin"
    capture.write_bytes(b"\x01\x02" + bytes.fromhex(FIRE + CONFIRM) + b"noise" + bytes.fromhex(FIRE) + b"end")
    found = run(str(capture))
    assert [(item["kind"], item["valid"], item["offset"]) for item in found] == [
        ("skipped", False, 0), ("frame", True, 2), ("frame", True, 80), ("skipped", False, 110), ("frame", True, 115),
        ("skipped", False, 193),
    ]  # fmt: skip
    assert "".join(item["hex"] for item in found) == capture.read_bytes().hex().upper()


def test_frame_is_joined_when_a_hex_dump_breaks_lines(tmp_path: Path) -> None:
    """A dump of sixteen bytes a line is one stream."""
    dump = tmp_path / "dump.txt"
    dump.write_text("\n".join(FIRE[at : at + 32] for at in range(0, len(FIRE), 32)))
    assert [item["hex"] for item in run(str(dump))] == [FIRE]


def test_line_is_read_as_a_unit_when_it_is_no_frame(tmp_path: Path) -> None:
    """Frames and bare units may stand in one file, a line each."""
    lines = tmp_path / "lines.txt"
    lines.write_text(f"{FIRE}\n5B010A\n{CONFIRM}\n0100\n")
    found = run(str(lines))
    assert [(item["kind"], item["valid"]) for item in found] == [
        ("frame", True), ("unit", True), ("frame", True), ("unit", False),
    ]  # fmt: skip
    assert found[1]["decoded"]["unit"]["objects"] == [{"minutes": 10}]
    assert "object count 0" in found[3]["why"]
    assert run("--unit", "--hex", "960100")[0]["decoded"]["unit"]["type_range"] == "user"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (CONFIRM[:-6] + "112324", "checksum 0x11, sum gives 0xAB; end marker 2324, expected 2323"),
        ("4041" + CONFIRM[4:], "start marker 4041, expected 4040"),
        (CONFIRM[:40], "20 bytes, a frame has at least 30"),
        (FIRE[:-2], "length 77, expected 78 = 30 + 48"),
        (FIRE[:48] + "FFFF" + FIRE[52:], "application unit of 65535 bytes, at most 1024 allowed"),
    ],
)
def test_refusal_says_why_when_a_frame_is_damaged(text: str, why: str) -> None:
    """A damaged frame is told with its reason; the exit status is 0, for the input was read."""
    first = run("--hex", text)[0]
    assert (first["valid"], first["why"], first["deny"]) == (False, why, why)


def test_private_names_are_used_when_a_dialect_is_named() -> None:
    """The same unit without and with the dialect."""
    unit = "07010101800102030400" + "00" * 30
    assert run("--hex", unit)[0]["decoded"]["unit"]["objects"][0]["comp_type_name"] == "user range"
    assert run("--hex", unit)[0]["decoded"]["unit"]["objects"][0]["comp_type_hints"][0]["dialect"] == "sanjiang"
    named = run("--hex", unit, "--dialect", "water")
    assert named[0]["decoded"]["unit"]["objects"][0]["comp_type_name"] == "water pressure"


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["--hex", "404"], 1, "input: --hex:1: got 3 hex digits, want an even number. Half a byte is missing."),
        (["--hex", "40 4G"], 1, "input: --hex:1: got 'G', want hex digits. Take it out."),
        (["--hex", ""], 1, "input: got nothing, want at least one byte."),
        (["--hex", " \n "], 1, "input: got nothing, want at least one byte."),
        ([], 1, "input: got neither, want either --hex H or FILE."),
        (["--hex", "40", "capture.bin"], 1, "input: got both, want either --hex H or FILE."),
        (["no-such-file"], 1, "input: no-such-file: No such file or directory. Check the path."),
        (["--hex", "40", "--dialect", "nosuch"], 78, "dialect: got 'nosuch', want one of common"),
    ],
)
def test_error_says_got_and_wanted_when_the_input_is_unusable(arguments: list[str], status: int, text: str) -> None:
    """The text goes to stderr, nothing to stdout."""
    done = CliRunner().invoke(app, ["gb26875", "decode", "--json", *arguments])
    assert (done.exit_code, done.stdout) == (status, "")
    assert done.stderr.startswith(text)


def test_people_get_lines_when_json_is_not_asked_for() -> None:
    """One head line a frame, then objects and tolerances."""
    done = CliRunner().invoke(app, ["gb26875", "decode", "--hex", FIRE + "00" + CONFIRM[:-2] + "24"])
    assert "frame 1 send data 发送数据" in done.stdout
    assert "REFUSED" in done.stdout


def test_nothing_crashes_when_fuzzed_for_a_moment() -> None:
    """The campaign of `python -m bench gb26875-fuzz`, short: no crash, nothing invented, nothing slow."""
    found = campaign(1500, 20260101, lambda _: None)
    assert (found["faults"], found["fault_count"]) == ([], 0)
    # The limit on time is the campaign's own, in processor time; here only that frames were really found.
    assert found["frames"] > 500
    assert found["refused"] > 50
