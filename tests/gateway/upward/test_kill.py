"""Each event is told to a centre once by its identity, whatever dies on the way."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest

from contract.messages import Reading
from simulators.gb26875.centre import SimulatedCentre
from tests.gateway.gateway_process import GatewayProcess, Publisher
from tests.gateway.harness import until
from tests.gateway.upward.bench import ADDRESS
from tests.parts.mosquitto import Mosquitto

EVENTS = 160
KILLS = 6
OBJECT = 46
"""Bytes of a component status."""


def objects(centre: SimulatedCentre) -> list[bytes]:
    """Component states that came, repeats among them: type, address, state, description, event time."""
    units = [taken.plain.unit for taken in centre.taken if taken.plain.unit[:1] == b"\x02"]
    return [unit[2 + at : 2 + at + OBJECT] for unit in units for at in range(0, len(unit) - 2, OBJECT)]


@pytest.mark.chaos
async def test_every_event_is_told_once_by_its_identity_when_gateway_and_connection_die(tmp_path: Path) -> None:
    """kill -9 of the gateway and cuts of the connection: all arrive; what comes again is the same to the byte."""
    rng = random.Random(3)
    with Mosquitto(anonymous=True) as broker:
        async with SimulatedCentre() as centre:
            told = {
                "id": "city", "site": "shuiye", "host": "127.0.0.1", "port": centre.port, "address": ADDRESS,
                "values_every_s": None, "timeout_s": 1.0, "fire_timeout_s": 0.5,
            }  # fmt: skip
            with GatewayProcess(tmp_path, broker.port, centres=[told]) as gateway:
                await gateway.listening()
                agent = Publisher(broker.port)
                publishing = asyncio.create_task(agent.run(), name="agent")
                try:
                    await until(lambda: centre.connects > 0)
                    base_ms = time.time_ns() // 1_000_000
                    for number in range(EVENTS):
                        point, word = f"panel-01/p{number % 16 + 1:03d}", "fault" if number // 16 % 2 == 0 else "normal"
                        # A second apart, as an event time has no finer step; so each object is one of a kind.
                        agent.seal("alarm", Reading(point, base_ms - (EVENTS - number) * 1000, word))
                        if number % (EVENTS // KILLS) == EVENTS // KILLS // 2:
                            await asyncio.sleep(
                                rng.uniform(0.0, 0.25)
                            )  # the moment of the kill is drawn, not waited for
                            await (_restart(gateway) if rng.random() < 0.7 else centre.hang_up())
                    await until(lambda: agent.done, 60)
                    await until(lambda: len(set(objects(centre))) == EVENTS, 60)
                finally:
                    publishing.cancel()
                    await asyncio.gather(publishing, return_exceptions=True)
            came = objects(centre)
            assert len(set(came)) == EVENTS
            identities = {(item[:7], item[40:46]) for item in came}
            assert len(identities) == EVENTS  # system, component, event time: nothing came as another event


async def _restart(gateway: GatewayProcess) -> None:
    gateway.kill()
    gateway.start()
    await gateway.listening()
