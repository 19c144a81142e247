"""The town's equipment as real endpoints: every line is bound, and what a story does to it is seen there."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

import aiomqtt

from contract.site import load_site
from simulators.hydraulics.mapping import load_mapping
from simulators.panels.transmitter import Transmitter
from simulators.ports import free_port
from simulators.recorder import Recorder
from simulators.station import Station
from simulators.story_acts import LineAct
from simulators.town import SHORTEST_POLL_S, plan_town, quickened
from tests.simulators.clients import DEADLINE_S, read_pdu, tcp_request
from tests.simulators.conftest import LIBRARY


async def test_every_line_answers_and_suffers_when_a_story_wants_it(tmp_path: Path, recorder: Recorder) -> None:
    """Sensors tell at once what changed, a line is unplugged and plugged in, a broken sensor is mended."""
    async with Station(plan_town(load_mapping("valley")), tmp_path, recorder, LIBRARY) as station:
        station.write_site(tmp_path / "site.yaml")
        site = load_site(tmp_path / "site.yaml", LIBRARY)
        assert [line.kind for line in site.agents[0].lines] == [
            "modbus_tcp", "modbus_rtu", "modbus_tcp", "modbus_rtu", "mqtt", "panel_tcp",
        ]  # fmt: skip
        ports = {line["id"]: line["port"] for line in station.site()["agents"][0]["lines"]}

        async with aiomqtt.Client("127.0.0.1", ports["mqtt-1"]) as client:
            await client.subscribe("zigbee2mqtt/pump-room-leak")
            station.set("leak-01/leak", True)
            async with asyncio.timeout(DEADLINE_S):
                async for message in client.messages:
                    if json.loads(bytes(message.payload))["water_leak"]:
                        break

        station.set_line("tcp-hydrants", LineAct.model_validate({"id": "tcp-hydrants", "fault": "unplugged"}))
        hydrant, modbus = station.devices["hydrant-02"], LIBRARY["hydrant-municipal"].modbus
        assert modbus is not None
        question = read_pdu(modbus.function, next(iter(hydrant.points)).register_ or 0, 1)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                raise AssertionError(await tcp_request(ports["tcp-hydrants"], 12, question))
        station.set_line("tcp-hydrants", None)
        assert (await tcp_request(ports["tcp-hydrants"], 12, question))[0] < 0x80

        station.set_broken("hydrant-02/pressure_kpa", is_broken=True)
        station.set("hydrant-02/pressure_kpa", 222.0)
        value, quality = hydrant.value("pressure_kpa")
        assert value is None
        assert quality.startswith("bad:")
        station.set_broken("hydrant-02/pressure_kpa", is_broken=False)
        assert hydrant.value("pressure_kpa") == (222.0, "good")


async def test_a_transmitter_says_that_it_is_there_once_somebody_listens() -> None:
    """It tries again, and says nothing while it is silent."""
    port, heard = free_port(), asyncio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert b'"NULL"' in await reader.readuntil(b"\r")
        writer.write(b"\nACK\r")
        writer.close()
        await writer.wait_closed()
        heard.set()

    async with Transmitter(port), await asyncio.start_server(take, "127.0.0.1", port), asyncio.timeout(DEADLINE_S):
        await heard.wait()


def test_devices_are_looked_at_more_often_when_the_story_is_faster() -> None:
    """By the speed, down to a shortest period; at speed 1 nothing is changed."""
    plan = plan_town(load_mapping("valley"))
    assert quickened(plan, 1.0) is plan
    polls = {name: device.poll_s for name, device in quickened(plan, 10.0).devices.items()}
    assert (polls["hydrant-01"], polls["pump-01"], polls["leak-01"]) == (1.0, SHORTEST_POLL_S, None)
