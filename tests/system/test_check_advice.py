"""`weizhan check` says what will give trouble later."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from cli.main import app

SITE = """\
site: shuiye
title: {zh: 水冶, en: Shuiye}
agents:
  - id: edge-1
    lines:
      - id: rtu-1
        kind: modbus_rtu
        port: PORT
        devices:
          - {id: hydrant-01, profile: hydrant-municipal, unit_id: 1}
"""


def checked(tmp_path: Path, port: str) -> tuple[int, str]:
    """Exit status and output of a check of a site with that port."""
    (tmp_path / "site.yaml").write_text(SITE.replace("PORT", port), "utf-8")
    config = tmp_path / "weizhan.yaml"
    config.write_text("agent: {site_file: site.yaml, agent_id: edge-1, data_dir: data}\n", "utf-8")
    result = CliRunner().invoke(app, ["check", str(config)])
    return result.exit_code, result.output.replace(str(tmp_path) + "/", "")


def test_a_numbered_serial_name_is_noted_and_passes(tmp_path: Path) -> None:
    """A name that changes with the order of plugging is a note with file and line, not an error."""
    code, said = checked(tmp_path, "/dev/ttyUSB0")
    assert code == 0
    assert "note: site.yaml:8: agents[0].lines[0].port: got /dev/ttyUSB0" in said
    assert "/dev/serial/by-path/" in said


def test_a_stable_serial_name_passes_without_a_note(tmp_path: Path) -> None:
    """Names by path do not change."""
    code, said = checked(tmp_path, "/dev/serial/by-path/pci-0000-usb-1-port0")
    assert (code, "note:" in said) == (0, False)
