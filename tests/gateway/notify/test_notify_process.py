"""Notification in the whole gateway: across kill -9, and the whole path with a real agent and broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from contract.messages import Reading
from contract.mqtt import MqttSettings
from edge_agents.agent import Agent
from edge_agents.settings import AgentSettings
from gateway.app import open_gateway
from gateway.control.client import SOCKET, ControlClient, ControlError
from gateway.history.settings import EmbeddedSettings
from gateway.notify.settings import NotifySettings
from gateway.settings import GatewaySettings
from tests.gateway.gateway_process import Publisher
from tests.gateway.harness import FIRE, ledger, until, write_site
from tests.gateway.notify import servers
from tests.gateway.notify.notify_process import NotifyingProcess
from tests.gateway.notify.sending import hook
from tests.gateway.notify.servers import server
from tests.parts.mosquitto import Mosquitto

STEP_S = 3.0


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    """A broker without passwords, for this module."""
    with Mosquitto(anonymous=True) as part:
        yield part


def section(people: list[dict[str, Any]], steps: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    record = {
        "people": people,
        "chains": [{"id": "duty", "steps": steps, "repeat_s": None}],
        "routes": [{"chain": "duty", "severities": ["fire"]}],
        "proof": {"enabled": False},
        "timeout_s": 1.0,
    }
    return record | changes


async def test_the_next_person_is_told_within_5_s_of_the_time_when_the_gateway_is_killed_before(
    tmp_path: Path, broker: Mosquitto
) -> None:
    """kill -9 between the steps: Li is told at his time, Wang at most once more than once."""
    async with server() as wang, server() as li:
        people = [hook(tmp_path, "wang", wang), hook(tmp_path, "li", li)]
        steps = [{"after_s": 0, "people": ["wang"]}, {"after_s": STEP_S, "people": ["li"]}]
        agent = Publisher(broker.port)
        with NotifyingProcess(tmp_path, broker.port, section(people, steps)) as gateway:
            await gateway.listening()
            sending = asyncio.create_task(agent.run(), name="publisher")
            try:
                agent.seal("alarm", Reading(FIRE, time.time_ns() // 1_000_000, "fire"))
                told = (await wang.posted(1, 20))[0]
                gateway.kill()
                gateway.start()
                await gateway.listening()
                back_ms = time.time_ns() // 1_000_000
                escalated = (await li.posted(1, 20))[0]
                await press_links(gateway.data_dir, wang.posts[0].json["receipt"])
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            code, errors = gateway.stop()
        assert (code, errors.count("Traceback")) == (0, 0)
        due_ms = told.json["due_ms"] + STEP_S * 1000
        assert due_ms <= escalated.json["at_ms"] <= max(due_ms, back_ms) + 5000
        assert escalated.json["kind"] == "escalation"
        assert len(li.posts) == 1
        with ledger(tmp_path) as reader:
            assert [row.read_ms is not None for row in reader.notices_of(1)] == [True, False]
            assert sum(row.action == "notice.receipt" for row in reader.audit()) == 1
        assert 1 <= len(wang.posts) <= 2


async def press_links(data_dir: Path, token: str) -> None:
    """A receipt counts once, also when it was sent before the kill; a forged one and a false `sent` are refused."""
    async with ControlClient(data_dir / SOCKET) as client:
        first = await client.ask("notice.receipt", "receipt", token=token)
        again = await client.ask("notice.receipt", "receipt", token=token)
        assert (first["id"], first["person"], first) == (1, "wang", again)
        with pytest.raises(ControlError) as refused:
            await client.ask("notice.receipt", "receipt", token="1.zzzzzz.AAAAAAAAAAAAAAAAAAAAAA")
        assert refused.value.code == "not_found"
        with pytest.raises(ControlError, match="Only the gateway"):
            await client.ask("path.receipt", "duty", token=token, channel="wang/hook", hop="sent")


@asynccontextmanager
async def whole(folder: Path, port: int, notify: dict[str, Any]) -> AsyncIterator[ControlClient]:
    """A gateway and the real agent of its site, whose devices do not answer."""
    site = write_site(folder)
    made = GatewaySettings(sites=[site], data_dir=folder / "data")
    mqtt = MqttSettings(port=port, root=folder.name)
    edge = AgentSettings(site_file=site, agent_id="edge1", data_dir=folder / "edge", heartbeat_s=1.0)
    parsed = NotifySettings.model_validate(notify)
    async with (
        open_gateway(made, EmbeddedSettings(), mqtt, notify=parsed),
        Agent(edge, mqtt),
        ControlClient(made.data_dir / SOCKET) as client,
    ):
        yield client


async def test_the_path_is_proven_to_the_receipt_and_its_break_named_when_each_hop_is_real(
    tmp_path: Path, broker: Mosquitto
) -> None:
    """Agent, broker, ledger, webhook and a screen that says so; then the webhook stops confirming."""
    async with server(servers.receipt) as there:
        person = hook(tmp_path, "wang", there, receipt=True)
        person["channels"].append({"kind": "screen"})
        steps = [{"after_s": 0, "people": ["wang"]}]
        proof = {"period_s": 4.0, "timeout_s": 1.5}
        async with whole(tmp_path, broker.port, section([person], steps, proof=proof)) as client:
            seen: dict[str, dict[str, Any]] = {}
            alarms: list[dict[str, Any]] = []

            async def watch() -> None:
                async with ControlClient(tmp_path / "data" / SOCKET) as screen:
                    async for event in screen.subscribe():
                        if event.event == "alarm" and event.data["rule"] == "path-test-failed":
                            alarms.append(event.data)
                        if event.event == "proof" and "target" in event.data:
                            seen[event.data["target"]] = event.data
                        if event.event == "proof" and "token" in event.data:
                            said = {"token": event.data["token"], "channel": "screen", "hop": "painted"}
                            await client.ask("path.receipt", "duty", **said)

            watching = asyncio.create_task(watch(), name="screen")
            try:
                targets = ["agent/shuiye/edge1", "channel/wang/hook", "channel/wang/screen"]
                await until(lambda: all(seen.get(one, {}).get("state") == "proven" for one in targets), 20)
                assert seen["channel/wang/hook"]["via"] == "agent/shuiye/edge1"
                assert seen["channel/wang/hook"]["receipt_ms"] is not None
                there.answer = servers.fail
                await until(lambda: any(alarm["active"] for alarm in alarms), 20)
                assert alarms[-1]["subject"] == "system/gateway/path_hop"
                there.answer = servers.receipt
                await until(lambda: not alarms[-1]["active"], 20)
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
