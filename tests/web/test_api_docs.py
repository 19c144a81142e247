"""docs/api.md: its examples run against a station, and its tables are those of the code."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from contract.messages import Batch, Reading
from contract.mqtt import MqttSettings
from gateway.app import open_gateway
from gateway.control.client import SOCKET, ControlClient, ControlError
from gateway.history.settings import EmbeddedSettings
from gateway.web.access import new_token, token_hash
from gateway.web.metrics import METRICS
from gateway.web.problems import KINDS
from tests.gateway.harness import arrival
from tests.web.station import HOUR_MS, SITE, Browser, Station, now_ms, serving

NEW = "a new password 站 for the test"
PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")


def _block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


async def test_the_examples_do_what_they_say_when_run_against_a_station(tmp_path: Path, free_port: int) -> None:
    """Read a value, turn the pages of the alarms, acknowledge, follow the stream: with curl and with Python."""
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is missing")
    station = Station.__new__(Station)
    station.data_dir = tmp_path / "d"
    station.site_file = tmp_path / "shuiye.yaml"
    station.site_file.write_text(SITE, "utf-8")
    async with open_gateway(station.settings(), EmbeddedSettings(), MqttSettings(port=free_port)) as gateway:
        at, token = now_ms(), new_token()
        readings = [Reading("hydrant-01/pressure_kpa", at, 212.4)]
        readings += [Reading(f"panel-01/{point}", at, "fire") for point in ("p001", "p002")]
        told = {"site": "shuiye", "agent": "edge1", "epoch": "e", "lane": "alarm", "seq": 1, "oldest": 1}
        assert gateway.pipeline.offer(arrival(Batch(**told, sent_ms=at, readings=readings), at))
        async with serving(station) as address:
            async with Browser(address) as browser:
                await browser.sign_in("administrator", gateway.one_time_passwords["administrator"])
                await browser.submit("/first-password", "/first-password", password=NEW, again=NEW)
            async with ControlClient(station.data_dir / SOCKET) as control:
                wanted = {"name": "script", "role": "duty", "area": "", "read_only": False, "expires_ms": at + HOUR_MS}
                await control.ask("token.create", "administrator", token_hash=token_hash(token), **wanted)
            shell = await _run(address, token, "bash", "-e", "-c", _block("sh"))
            script = await _run(address, token, sys.executable, "-c", _block("python"))
    assert '"value":212.4' in shell
    assert shell.count('"next":') >= 3
    assert '"state":"acknowledged"' in shell
    assert "event: heartbeat" in shell
    assert "shuiye/hydrant-01/pressure_kpa 212.4 kPa" in script
    assert "now acknowledged" in script
    assert "heartbeat {'now_ms'" in script


async def test_a_number_no_row_can_have_is_refused_when_sent(tmp_path: Path, free_port: int) -> None:
    """In an address it names nothing; in a command the gateway refuses it and goes on deciding."""
    station = Station.__new__(Station)
    station.data_dir = tmp_path / "d"
    station.site_file = tmp_path / "shuiye.yaml"
    station.site_file.write_text(SITE, "utf-8")
    async with open_gateway(station.settings(), EmbeddedSettings(), MqttSettings(port=free_port)) as gateway:
        async with ControlClient(station.data_dir / SOCKET) as control:
            with pytest.raises(ControlError, match="64 bits"):
                await control.ask("alarm.note", "duty", alarm_id=2**64, note="x")
        assert gateway.pipeline.status()["ledger_fault"] is None
        async with serving(station) as address, Browser(address) as browser:
            await browser.sign_in("duty", gateway.one_time_passwords["duty"])
            await browser.submit("/first-password", "/first-password", password=NEW, again=NEW)
            answer = await browser.get(f"/api/v1/alarms/{10**30}")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:weizhan:problem:not-found")


async def _run(address: str, token: str, *command: str) -> str:
    done = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "WEIZHAN": address, "TOKEN": token, "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    async with asyncio.timeout(60):
        said, _ = await done.communicate()
    assert done.returncode == 0, said.decode()
    return said.decode()


def test_every_problem_and_metric_stands_on_the_page_when_compared_with_the_code() -> None:
    """What a client compares with, and what a dashboard is made of."""
    assert [kind.type for kind in KINDS if f"| `{kind.type}` | {kind.status} | {kind.meaning} |" not in PAGE] == []
    lines = [f"| `{name}` | {kind} | {text} |" for name, (kind, text) in METRICS.items()]
    assert [line for line in lines if line not in PAGE] == []
