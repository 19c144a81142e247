"""`weizhan line doctor --send`: a report arrives at the web pages, or says in a sentence why not and is not lost."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cli.line_send import VARIABLE, Goal, deliver, goal
from contract.errors import ConfigError, RetryLater, StartError
from gateway.control.client import SOCKET, ControlClient
from gateway.web.access import token_hash
from gateway.work.line_reports import LINE_REPORT
from tests.web.station import HOUR_MS, now_ms
from tests.web.test_upkeep_pages import REPORT
from tests.web.upkeep_house import House, open_upkeep


@pytest.fixture
async def house(tmp_path: Path, free_port: int) -> AsyncIterator[House]:
    """A station with its web pages."""
    async with open_upkeep(tmp_path, free_port) as made:
        yield made


async def token_of(house: House, *, read_only: bool = False) -> str:
    """An API token of a maintainer."""
    token = f"wzt_{secrets.token_urlsafe(24)}"
    wanted = {"name": "laptop", "role": "maintainer", "area": "", "read_only": read_only}
    async with ControlClient(house.station.data_dir / SOCKET) as control:
        await control.ask(
            "token.create", "maintainer", token_hash=token_hash(token), expires_ms=now_ms() + HOUR_MS, **wanted
        )
    return token


async def test_a_report_is_kept_once_when_it_is_sent_twice(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the token from a file; what is told is where it stands."""
    monkeypatch.chdir(tmp_path)
    await house.browser("maintainer")
    file = tmp_path / "token"
    file.write_text(await token_of(house) + "\n", "utf-8")
    to = goal(house.address, "shuiye/field", file, None)
    told = [await asyncio.to_thread(deliver, to, REPORT) for _ in range(2)]
    assert told == [f"kept as report 1: {house.address}/upkeep/lines/shuiye/field#report-1"] * 2
    (row,) = house.ledger.entries(LINE_REPORT)
    assert (row.line, row.report.counts.asked) == ("field", 60)
    assert list(tmp_path.glob("line-report-*")) == []


@pytest.mark.parametrize(
    ("line", "token", "why"),
    [("none", "good", "no such line"), ("field", "reads", "may not keep"), ("field", "wzt_made-up", "not known")],
)
async def test_a_refused_report_is_put_aside_with_a_sentence_why(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, token: str, why: str
) -> None:
    """The measurement is not lost, the token is not told."""
    monkeypatch.chdir(tmp_path)
    await house.browser("maintainer")
    secret = token if "wzt" in token else await token_of(house, read_only=token == "reads")
    with pytest.raises(StartError, match=why) as refused:
        await asyncio.to_thread(deliver, Goal(house.address, "shuiye", line, secret), REPORT)
    assert secret not in str(refused.value)
    (kept,) = tmp_path.glob("line-report-*.json")
    assert str(kept.name) in str(refused.value)
    assert json.loads(kept.read_text("utf-8")) == REPORT
    assert list(house.ledger.entries(LINE_REPORT)) == []


def test_a_report_is_put_aside_when_nobody_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    """Try again later."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RetryLater, match="got no answer"):
        deliver(Goal(f"http://127.0.0.1:{free_port}", "shuiye", "field", "t"), REPORT)
    assert len(list(tmp_path.glob("line-report-*.json"))) == 1


@pytest.mark.parametrize(
    ("send", "place", "token", "said"),
    [
        ("weizhan.example.cn", "a/b", "t", "--send: got 'weizhan.example.cn'"),
        ("https://x/api", "a/b", "t", "want the address"),
        ("https://x", "field", "t", "--as: got 'field'"),
        ("https://x", "a/b", "", "no usable token in the environment variable WEIZHAN_TOKEN"),
        ("https://x", "a/b", "two words", "no usable token"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, send: str, place: str, token: str, said: str
) -> None:
    """Option, what was given, what is wanted."""
    monkeypatch.setenv(VARIABLE, token)
    with pytest.raises(ConfigError, match=said):
        goal(send, place, None, None)


def test_a_token_file_that_is_missing_is_named(tmp_path: Path) -> None:
    """With the option it came from."""
    with pytest.raises(ConfigError, match=r"--token-file: .*none: cannot be read"):
        goal("https://x", "a/b", tmp_path / "none", None)
