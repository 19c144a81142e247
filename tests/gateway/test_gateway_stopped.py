"""A gateway that stands still for a minute, as a suspended or starved machine does, while its agent goes on."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.messages import Reading
from tests.gateway.gateway_process import GatewayProcess, Publisher
from tests.gateway.harness import FIRE, PRESSURE, ledger, until
from tests.parts.mosquitto import Mosquitto

STOPPED_S = 60
SILENT_S, LOST_FOR_S = 10, 2
"""What an agent may be silent, far below the pause."""


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    """A broker without passwords."""
    with Mosquitto(anonymous=True) as part:
        yield part


async def measure(agent: Publisher, began_ms: int) -> None:
    """Seal a value every fifth of a second."""
    while True:
        now_ms = time.time_ns() // 1_000_000
        agent.seal("telemetry", Reading(PRESSURE, now_ms, 300.0 + (now_ms - began_ms) % 7))
        await asyncio.sleep(0.2)


@pytest.mark.chaos
@pytest.mark.timeout(400)
async def test_nobody_is_lost_when_the_gateway_stood_still_for_a_minute_and_its_agent_queued(
    tmp_path: Path, broker: Mosquitto
) -> None:
    """SIGSTOP for six times as long as an agent may be silent: nobody counts as lost then or later, what was queued
    is stored once, and a fire of the meantime is told with the time at which it began."""
    hasty = {"agent-lost": {"after_s": SILENT_S, "for_s": LOST_FOR_S}}
    agent = Publisher(broker.port)
    with GatewayProcess(tmp_path, broker.port, rule_overrides=hasty) as gateway:
        await gateway.listening()
        tasks = [
            asyncio.create_task(agent.run(), name="publisher"),
            asyncio.create_task(agent.speak(1), name="heartbeats"),
            asyncio.create_task(measure(agent, time.time_ns() // 1_000_000), name="measuring"),
        ]
        try:
            await until(lambda: agent.acknowledged["telemetry"] > 0, 60)
            gateway.signal(signal.SIGSTOP)
            await asyncio.sleep(STOPPED_S / 2)
            stopped_at = dict(agent.acknowledged)
            fire_ms = time.time_ns() // 1_000_000
            agent.seal("alarm", Reading(FIRE, fire_ms, "fire"))
            await asyncio.sleep(STOPPED_S / 2)
            assert agent.acknowledged == stopped_at
            gateway.signal(signal.SIGCONT)
            await asyncio.sleep(SILENT_S + LOST_FOR_S + 5)
            tasks.pop().cancel()
            await until(lambda: agent.done, 120)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        code, errors = gateway.stop()
    assert (code, errors.count("Traceback")) == (0, 0)
    with ledger(tmp_path) as reader:
        # The other agent of the site never spoke.
        assert [a.subject for a in reader.alarms(rule="agent-lost")] == ["shuiye/edge2"]
        assert [a.raised_ms for a in reader.alarms(rule="panel-fire")] == [fire_ms]
        stored = Counter(
            reading.observed_ms for row in reader.inbox() if row.agent == "edge1" for reading in row.readings
        )
    assert len(stored) == agent.acknowledged["telemetry"] + agent.acknowledged["alarm"]
    assert set(stored.values()) == {1}
