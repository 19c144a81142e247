"""Whether a line can be reached: the agent sees it first and says it before it says anything of the devices."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bench.lines.bus import Bus, BusServer
from bench.lines.rig import polling, profile_of, server_line
from bench.lines.virtual import run_virtual
from contract.messages import Reading
from contract.profile import ProfileLibrary
from contract.site import PrinterLine
from edge_agents.bus.presence import LinePresence
from edge_agents.bus.printer import ListeningLine
from edge_agents.drivers.printer import PrinterDecoder
from edge_agents.panel_report import PanelReport
from edge_agents.reporting import Reported, Reports
from tests.edge_agents.gateway import until

T0 = 1_800_000_000_000


def of_line(readings: list[Reading]) -> list[object]:
    """What was said of the line itself."""
    return [reading.value for reading in readings if reading.point.startswith("line-") and "online" in reading.point]


def test_line_is_lost_before_any_of_its_devices_when_the_cable_is_cut() -> None:
    """Thirty devices fall silent together: the line says so at once, and is there again at the first answer."""

    async def story() -> list[Reading]:
        bus = Bus(9600)
        async with (
            BusServer(bus) as server,
            polling(server_line(server.port), profile_of(1, 4), 30, 5.0) as (_, readings),
        ):
            await asyncio.sleep(30)
            assert of_line(readings) == [True]
            alive = set(bus.alive)
            bus.alive.clear()
            await asyncio.sleep(60)
            said = [r for r in readings if r.point.endswith("/online") and r.value is not True]
            assert (said[0].point, said[0].value) == ("line-rtu/online", False)
            assert {(r.value, r.quality) for r in said[1:]} == {(None, "unknown:line")}
            assert len(said) == 31
            assert said[-1].observed_ms - said[0].observed_ms < 100
            bus.alive |= alive
            await asyncio.sleep(60)
        return readings

    assert of_line(run_virtual(story())) == [True, False, True]


def test_line_stays_up_when_all_devices_but_one_are_silent() -> None:
    """As long as one device answers it is not the line."""

    async def story() -> list[Reading]:
        bus = Bus(9600)
        async with (
            BusServer(bus) as server,
            polling(server_line(server.port), profile_of(1, 4), 4, 2.0) as (_, readings),
        ):
            await asyncio.sleep(10)
            bus.alive &= {4}
            await asyncio.sleep(60)
        return readings

    readings = run_virtual(story())
    assert of_line(readings) == [True]
    assert sum(reading.point.endswith("/online") and reading.value is False for reading in readings) == 3


def test_line_stays_up_when_its_only_device_is_silent() -> None:
    """One silent device says nothing of its line."""

    async def story() -> list[Reading]:
        bus = Bus(9600)
        async with (
            BusServer(bus) as server,
            polling(server_line(server.port), profile_of(1, 4), 1, 2.0) as (_, readings),
        ):
            await asyncio.sleep(10)
            bus.alive.clear()
            await asyncio.sleep(60)
        return readings

    assert of_line(run_virtual(story())) == [True]


def test_line_is_lost_when_its_server_is_gone() -> None:
    """A port that cannot be opened is the line; its devices are unknown:line."""

    async def story() -> list[Reading]:
        bus = Bus(9600)
        async with BusServer(bus) as server:
            line = server_line(server.port)
            async with polling(line, profile_of(1, 4), 3, 2.0) as (_, readings):
                await asyncio.sleep(10)
                await server.__aexit__(None, None, None)
                await asyncio.sleep(20)
        return readings

    readings = run_virtual(story())
    assert of_line(readings) == [True, False]
    lost = next(n for n, reading in enumerate(readings) if reading.value is False)
    assert {r.quality for r in readings[lost + 1 :] if not r.point.startswith("line-")} == {"unknown:line"}


async def test_printer_line_is_lost_when_its_port_cannot_be_opened(tmp_path: Path) -> None:
    """A printer port that is not there is a lost line."""
    taken: list[Reports] = []
    profile = ProfileLibrary()["panel-printer"]
    assert profile.printer is not None
    line = ListeningLine(
        PrinterLine.model_validate(
            {
                "id": "p1",
                "kind": "printer",
                "port": str(tmp_path / "none"),
                "devices": [{"id": "fp1", "profile": "panel-printer"}],
            }
        ),
        PrinterDecoder(profile.printer),
        PanelReport("fp1", 600),
        taken.append,
        lambda: T0,
    )
    running = asyncio.create_task(line.run(), name="line")
    try:
        await until(lambda: line.presence.is_up is False, "the line counted as lost")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert [(r.point, r.value) for r in taken[0].alarm] == [("line-p1/online", False)]


def test_presence_is_said_once_and_again_after_long() -> None:
    """What was said before a restart is not said again; what was said long ago is."""
    taken: list[Reports] = []
    now = [T0]
    presence = LinePresence("l1", taken.append, lambda: now[0])
    presence.restore({"line-l1/online": Reported(True, "good", T0 - 1000)})
    presence.say(True)
    assert taken == []
    presence.say(False)
    presence.repeat()
    now[0] += 300_000
    presence.repeat()

    assert [(r.point, r.value, r.observed_ms) for each in taken for r in each.alarm] == [
        ("line-l1/online", False, T0),
        ("line-l1/online", False, T0 + 300_000),
    ]
