"""Kill -9 of every part, again and again, with the store away for a minute: nothing lost, nothing twice, no decision
changed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cli.installation import AGENT, Plan
from tests.parts.influxdb1 import USER, InfluxDB1
from tests.parts.mosquitto import Mosquitto
from tests.system.campaign import Nemesis, Outcome, broker_of, installation, play

KILLS = 10
SPAN_S = 270.0
STORY = "long-run"


@pytest.mark.chaos
@pytest.mark.timeout(600)
async def test_kill_9_of_every_part_changes_nothing_when_the_store_is_away_too(tmp_path: Path) -> None:
    """Agent, broker and gateway die ten times each and InfluxDB is away for a minute, in a run of five minutes."""
    calm, wild = await asyncio.gather(_undisturbed(tmp_path / "calm"), _disturbed(tmp_path / "wild"))

    assert wild.killed == {"edge": KILLS, "gateway": KILLS, "broker": KILLS}
    for outcome in (calm, wild):
        readings, alarms = outcome.report["readings"], outcome.report["alarms"]
        assert (readings["lost"], readings["duplicated"], readings["wrong"]) == (0, 0, 0), outcome.report["details"]
        assert (alarms["missed"], alarms["false"]) == (0, 0), outcome.report["details"]
        assert readings["produced"] > 300
        assert alarms["expected"] >= 25
        assert outcome.report["writes_to_equipment"] == 0
    assert wild.decisions == calm.decisions


async def _undisturbed(folder: Path) -> Outcome:
    with Mosquitto((AGENT,)) as mosquitto:
        plan = Plan(STORY, web_port=None, broker=broker_of(mosquitto))
        async with installation(folder, plan) as (up, _):
            return await play(up)


async def _disturbed(folder: Path) -> Outcome:
    with Mosquitto((AGENT,)) as mosquitto, InfluxDB1() as influxdb:
        history: dict[str, Any] = {
            "kind": "influx1", "url": influxdb.url, "username": USER, "password_file": str(influxdb.password_file),
            "timeout_s": 5.0,
        }  # fmt: skip
        plan = Plan(STORY, web_port=None, broker=broker_of(mosquitto), history=history)
        async with installation(folder, plan) as (up, family):
            nemesis = Nemesis(seed=7, kills=KILLS, span_s=SPAN_S)
            children = {child.name: child for child in family.children if child.name in ("edge", "gateway")}
            trouble = [
                asyncio.create_task(nemesis.haunt(children, mosquitto), name="nemesis"),
                asyncio.create_task(_store_away(influxdb), name="store away"),
            ]
            outcome = await play(up)
            await asyncio.gather(*trouble)
            outcome.killed = dict(nemesis.killed)
            return outcome


async def _store_away(influxdb: InfluxDB1) -> None:
    await asyncio.sleep(100)
    await asyncio.to_thread(influxdb.stop)
    await asyncio.sleep(60)
    await asyncio.to_thread(influxdb.start)
