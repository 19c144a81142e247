"""`weizhan readiness` and `weizhan ledger verify` on a ledger file, as somebody runs them who trusts nobody."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from gateway.ledger.store import FILE
from tests.gateway.duty.stations import Stations, installed


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with the ledger of a station that was low on water for a while."""
    town = Stations(installed(tmp_path))
    town.begin()
    town.live(20)
    town.say("tank-01", level_m=1.0)
    town.live(40)
    town.say("tank-01")
    town.live(40)
    town.speak()
    data = tmp_path / "data"
    data.mkdir()
    town.connection.execute("VACUUM INTO ?", (str(data / FILE),))
    path = tmp_path / "weizhan.yaml"
    path.write_text(f"gateway: {{sites: [{tmp_path / 'shuiye.yaml'}], data_dir: {data}}}\n", "utf-8")
    return path


def _run(*words: str, config: Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*words, "--config", str(config)])
    return result.exit_code, result.output


def test_what_was_shown_is_derived_again_and_nothing_was_altered(config: Path) -> None:
    """Percents with raw seconds and deductions; the same from the primary rows; every row held by the chain."""
    status, text = _run("readiness", "show", "--site", "shuiye", config=config)
    assert status == 0, text
    assert "not an official score" in text
    assert "water-level-low" in text
    status, text = _run("readiness", "recompute", config=config)
    assert status == 0, text
    assert "Equal to what was shown" in text
    status, text = _run("readiness", "show", "--json", config=config)
    (account,) = json.loads(text)
    assert account["ms"]["not_ready"] == 40_000
    assert sum(account["ms"].values()) == account["until_ms"] - account["from_ms"]
    status, text = _run("ledger", "verify", config=config)
    assert status == 0, text
    assert "Every row is what was written" in text


def test_the_difference_and_the_row_are_named_when_a_row_was_altered(config: Path) -> None:
    """An alarm that is made to last shorter is found by both."""
    with sqlite3.connect(config.parent / "data" / FILE) as connection:
        connection.execute("UPDATE transition SET recorded_ms = recorded_ms - 5000 WHERE event = 'clear'")
    connection.close()
    status, text = _run("readiness", "recompute", config=config)
    assert status == 1
    assert "shuiye: readiness at" in text
    status, text = _run("ledger", "verify", config=config)
    assert status == 1
    assert "transition" in text
    assert "was altered" in text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--site", "nowhere"), "want one of shuiye"),
        (("--from", "last week"), "want a time such as"),
        (("--from", "2026-02-01", "--to", "2026-01-01"), "want a time after"),
    ],
)
def test_a_wrong_option_is_told(config: Path, words: tuple[str, ...], text: str) -> None:
    """What was got, what is wanted."""
    status, told = _run("readiness", "show", *words, config=config)
    assert status != 0
    assert text in told
