"""`weizhan panel decode`: published frames as JSON, damaged ones refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.edge_agents.panels.samples import FRAMES

RUNNER = CliRunner()


@pytest.mark.parametrize("entry", FRAMES, ids=[entry["id"] for entry in FRAMES])
def test_json_has_the_stated_keys_when_a_published_frame_is_decoded(entry: dict[str, Any]) -> None:
    """One object for one frame, with what is stated of it."""
    done = RUNNER.invoke(app, ["panel", "decode", "--driver", entry["driver"], "--json", "--hex", entry["hex"]])
    assert done.exit_code == 0
    (decoded,) = json.loads(done.stdout)
    assert {name: decoded.get(name, "absent") for name in entry["decoded"]} == entry["decoded"]


@pytest.mark.parametrize("entry", [e for e in FRAMES if e["checksum_ok"]], ids=lambda entry: str(entry["id"]))
def test_frame_is_refused_when_its_checksum_is_wrong(entry: dict[str, Any]) -> None:
    """The status is 1, the array is empty, and the bytes are named."""
    wrong = bytearray.fromhex(entry["hex"])
    wrong[len(wrong) // 2] ^= 0x04
    done = RUNNER.invoke(app, ["panel", "decode", "--driver", entry["driver"], "--json", "--hex", wrong.hex()])
    assert done.exit_code == 1
    assert json.loads(done.stdout) == []
    assert "bytes that are no frame" in done.stderr
    assert "got no good frame, want one. Check the driver and the capture." in done.stderr


def test_good_frames_are_shown_and_the_rest_named_when_a_file_has_both(tmp_path: Path) -> None:
    """A capture with noise: its frames on stdout, the noise on stderr, status 0."""
    path = tmp_path / "capture.bin"
    path.write_bytes(b"\x55\x66" + bytes.fromhex("0DDD001004030118BB0AAABB"))
    done = RUNNER.invoke(app, ["panel", "decode", "--driver", "gst_crt", "--json", str(path)])
    assert [frame["event"] for frame in json.loads(done.stdout)] == ["fire", "reset"]
    assert "gst_crt: got 2 bytes that are no frame (no_frame): 5566" in done.stderr
    assert done.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--driver", "gst", "--hex", "00"], "driver: got 'gst', want one of gst_crt,"),
        (["--driver", "jbf", "--hex", "8"], "--hex: got '8', want pairs of hex digits. Mend the text."),
        (["--driver", "jbf"], "got neither or both of --hex and a file, want one of them."),
        (["--driver", "jbf", "/nowhere"], "/nowhere: No such file or directory. Check the path."),
    ],
)
def test_error_says_what_to_do_when_the_command_is_wrong(arguments: list[str], text: str) -> None:
    """No traceback: what was got, what is wanted."""
    done = RUNNER.invoke(app, ["panel", "decode", "--json", *arguments])
    assert done.exit_code != 0
    assert text in done.stderr
