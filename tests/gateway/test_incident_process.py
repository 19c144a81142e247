"""A fire at night with the real gateway process, killed in the middle: clocks, neighbours and escalation go on."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from contract.messages import Reading
from gateway.control.client import SOCKET, ControlClient
from gateway.incidents.rows import INCIDENT, Incident, missing
from tests.gateway.gateway_process import Publisher
from tests.gateway.harness import ledger, until
from tests.gateway.incident_town import write_town
from tests.gateway.notify.notify_process import NotifyingProcess
from tests.gateway.notify.sending import hook
from tests.gateway.notify.servers import server
from tests.parts.mosquitto import Mosquitto

FIRE = "panel-01/p001"
OWN_S, NEIGHBOURS_S, BRIGADE_S = 3.0, 60.0, 120.0


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def test_a_fire_goes_on_as_it_was_when_the_gateway_is_killed_before_the_first_clock_runs_over(
    tmp_path: Path,
) -> None:
    """kill -9 after the incident opened: its times stand, the neighbour is called once and told, the chief too."""
    async with server() as own, server() as chief, server() as east:
        people = [hook(tmp_path, name, at) for name, at in (("own", own), ("chief", chief), ("east", east))]
        steps = [{"after_s": 0, "people": ["own"]}, {"after_s": OWN_S + 1, "people": ["chief"]}]
        notify = {
            "people": people,
            "chains": [
                {"id": "duty", "steps": steps, "repeat_s": None},
                {"id": "east", "steps": [{"after_s": 0, "people": ["east"]}], "repeat_s": None},
            ],
            "routes": [
                {"chain": "duty", "severities": ["fire"], "sites": ["shuiye"]},
                {"chain": "east", "severities": ["fire"], "sites": ["east"]},
            ],
            "proof": {"enabled": False},
            "timeout_s": 1.0,
        }
        (tmp_path / "town").mkdir()
        made = write_town(tmp_path / "town")
        response = {"own_s": OWN_S, "neighbours_s": NEIGHBOURS_S, "brigade_s": BRIGADE_S, "neighbours_m": 2000}
        settings: dict[str, Any] = {
            "sites": [str(path) for path in made.sites], "grid": str(made.grid), "response": response
        }  # fmt: skip
        with (
            Mosquitto(anonymous=True) as broker,
            NotifyingProcess(tmp_path, broker.port, notify, **settings) as gateway,
        ):
            agent = Publisher(broker.port)
            await gateway.listening()
            sending = asyncio.create_task(agent.run(), name="publisher")
            try:
                agent.seal("alarm", Reading(FIRE, now_ms(), "fire"))
                await own.posted(1, 20)
                gateway.kill()
                gateway.start()
                await gateway.listening()
                called = (await east.posted(1, 30))[0].json
                escalated = (await chief.posted(1, 30))[0].json
                await enter(gateway.data_dir)
                agent.seal("alarm", Reading(FIRE, now_ms(), "normal"))
                await until(lambda: agent.done)
                await close(gateway.data_dir)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            code, errors = gateway.stop()
        assert (code, errors.count("Traceback")) == (0, 0), errors
    with ledger(tmp_path) as reader:
        (row,) = reader.entries(INCIDENT)
        notices = [notice for alarm in reader.alarms(severity="fire") for notice in reader.notices_of(alarm.id)]
        steps_done = [json.loads(step.detail).get("station", "") for step in reader.entry_history("incident", 1)]
    check(row, called, escalated)
    told = [(notice.person, notice.kind) for notice in notices]
    assert [each for each in told if each[1] != "clear"] == [
        ("own", "alarm"),
        ("east", "call"),
        ("chief", "escalation"),
    ]
    assert sorted(who for who, kind in told if kind == "clear") == ["chief", "east", "own"]
    assert steps_done.count("east") == 2  # called once, there once


async def enter(data_dir: Path) -> None:
    """The desk enters who came and what was found."""
    async with ControlClient(data_dir / SOCKET) as desk:
        person = await desk.ask("person.add", "administrator", name="赵六", site="shuiye", roles=["fighter"])
        await desk.ask("incident.arrive", "duty", id=1, station="shuiye", people=[person["id"]])
        await desk.ask("incident.arrive", "duty", id=1, station="east")
        await desk.ask("incident.brigade", "duty", id=1, what="called")
        await desk.ask("incident.find", "duty", id=1, finding="real", found="油锅起火", cause="无人看管")


async def close(data_dir: Path) -> None:
    """The desk closes it."""
    async with ControlClient(data_dir / SOCKET) as desk:
        await desk.ask("incident.close", "duty", id=1, note="移交")


def check(row: Incident, called: dict[str, Any], escalated: dict[str, Any]) -> None:
    """The clock began with the fire, before the kill, and ran over once; the sheet is complete."""
    assert (row.state, missing(row), row.late) == ("closed", [], ("station",))
    assert row.due["station"] - row.from_ms == OWN_S * 1000
    (call,) = row.calls
    assert call.called_ms is not None
    assert row.due["station"] <= call.called_ms
    assert (called["kind"], escalated["kind"]) == ("call", "escalation")
    assert called["due_ms"] == call.called_ms
