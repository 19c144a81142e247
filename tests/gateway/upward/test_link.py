"""A monitoring centre is told once of everything, fires first, and gets its questions answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.messages import Lane, Reading
from gateway.control.protocol import Ask
from simulators.gb26875 import frames as g
from simulators.gb26875.centre import SimulatedCentre
from tests.gateway.harness import Bench, arrival, batch
from tests.gateway.upward.bench import ADDRESS, told, until, wall_ms

FIRE, FAULT, NORMAL = 0x0003, 0x0005, 0x0001


async def send(bench: Bench, seq: int, *readings: tuple[str, object], lane: Lane = "alarm") -> None:
    """A batch of the site's agent, committed when this returns."""
    now = wall_ms()
    made = [Reading(point, now + n, value) for n, (point, value) in enumerate(readings)]  # type: ignore[arg-type] # any value
    await bench.take(arrival(batch(seq, *made, lane=lane, sent_ms=now), now))


def status_of(unit: bytes) -> tuple[int, str]:
    """Status bits and description of a unit of type 2 with one object."""
    return int.from_bytes(unit[9:11], "little"), unit[11:42].rstrip(b"\0").decode("gb18030")


async def test_a_fire_reaches_the_centre_with_its_place_when_it_is_committed(tmp_path: Path) -> None:
    """A panel point's fire is a component's, from our own address."""
    async with SimulatedCentre() as centre, told(tmp_path, centre.port) as (bench, upward):
        await send(bench, 1, ("panel-01/p001", "fire"))
        await until(lambda: centre.units(2))
        assert status_of(centre.units(2)[0])[0] == FIRE
        assert centre.taken[0].plain.source.hex() == ADDRESS
        await until(lambda: upward.status()["city"]["confirmed"] >= 2)


async def test_everything_is_told_once_when_the_centre_is_away_meanwhile(tmp_path: Path) -> None:
    """What was committed while nobody listened arrives afterwards, each event once, the fire first."""
    async with SimulatedCentre() as first:
        port = first.port
    async with told(tmp_path, port, timeout_s=1.0, fire_timeout_s=0.5) as (bench, upward):
        for n in range(1, 15):
            await send(bench, n, (f"panel-01/p{n:03d}", "fault"))
        await send(bench, 15, ("panel-01/p016", "fire"))
        async with SimulatedCentre(port=port) as centre:
            await until(lambda: upward.status()["city"]["confirmed"] >= 16)
            units = [t.plain.unit for t in centre.taken if t.plain.unit[:1] == b"\x02"]
            objects = [unit[2 + at : 48 + at] for unit in units for at in range(0, len(unit) - 2, 46)]
            assert len(objects) == len(set(objects)) == 15
            assert int.from_bytes(objects[0][7:9], "little") == FIRE


async def test_nothing_is_told_twice_when_confirms_are_lost(tmp_path: Path) -> None:
    """A resend has another time at most: the object is the same to the byte, so the centre knows it."""
    async with SimulatedCentre() as centre, told(tmp_path, centre.port, timeout_s=0.5, fire_timeout_s=0.3) as (b, up):
        centre.deaf = True
        await send(b, 1, ("panel-01/p001", "fire"))
        await until(lambda: len([t for t in centre.taken if t.plain.unit[:1] == b"\x02"]) >= 3)
        centre.deaf = False
        await until(lambda: up.status()["city"]["confirmed"] >= 1)
        assert len(centre.units(2)) == 1


async def test_an_alarm_of_a_hydrant_is_a_fault_of_its_component_when_it_is_raised(tmp_path: Path) -> None:
    """What has no state word of its own is told by its alarm, with the rule's title, and taken back."""
    async with SimulatedCentre() as centre, told(tmp_path, centre.port) as (bench, _):
        await send(bench, 1, ("hydrant-01/cap_open", True))
        await until(lambda: centre.units(2))
        assert status_of(centre.units(2)[0])[0] == FAULT
        assert "闷盖" in status_of(centre.units(2)[0])[1]


async def test_pressure_goes_up_in_tenths_of_a_kilopascal_when_it_is_measured(tmp_path: Path) -> None:
    """Type 5, not type 4: 0.14 and 0.10 MPa must be told apart; and not more often than set."""
    async with SimulatedCentre() as centre, told(tmp_path, centre.port) as (bench, _):
        await send(bench, 1, ("hydrant-01/pressure_kpa", 140.0), lane="telemetry")
        await send(bench, 2, ("hydrant-01/pressure_kpa", 139.0), lane="telemetry")
        await send(bench, 1, ("panel-01/p001", "fault"))
        await until(lambda: centre.units(2))
        await until(lambda: centre.units(3))
        values = [(unit[9], int.from_bytes(unit[10:12], "little", signed=True)) for unit in centre.units(3)]
        assert values == [(5, 1400)]


async def test_questions_are_answered_from_what_is_known_when_the_centre_asks(tmp_path: Path) -> None:
    """States and values now; what is not known is not said to be normal; nothing of ours is set from outside."""
    async with SimulatedCentre() as centre, told(tmp_path, centre.port) as (bench, _):
        await send(bench, 1, ("panel-01/p001", "fire"))
        await until(lambda: centre.units(2))
        place = centre.units(2)[0]
        await centre.say(g.REQUEST, bytes((62, 1)) + place[2:4] + place[5:9])
        await centre.say(g.REQUEST, bytes((62, 1)) + place[2:4] + b"\x09\x09\x09\x09")
        await centre.say(g.REQUEST, bytes((81, 1, 0)))
        await centre.say(g.REQUEST, bytes((88, 1, 0)))
        await centre.say(g.CONTROL, bytes((90, 1)) + g.time_tag(0 + 1_700_000_000_000))
        await centre.say(g.CONTROL, bytes((89, 1, 0)))
        await until(lambda: len(centre.answers) >= 6)
        answers = [(a.command, a.unit[:1]) for a in centre.answers[:6]]
        assert answers == [
            (g.RESPONSE, b"\x02"), (g.DENY, b""), (g.RESPONSE, b"\x15"), (g.RESPONSE, b"\x1c"), (g.DENY, b""),
            (g.DENY, b""),
        ]  # fmt: skip
        assert int.from_bytes(centre.answers[0].unit[9:11], "little") == FIRE


async def test_a_duty_check_is_confirmed_and_handed_on_when_the_centre_asks(tmp_path: Path) -> None:
    """The minutes reach whoever shows them."""
    async with SimulatedCentre() as centre, told(tmp_path, centre.port) as (bench, _):
        await until(lambda: centre.units(21))
        await centre.check_duty(5)
        await until(lambda: centre.answers)
        assert centre.answers[0].command == g.CONFIRM
        (check,) = bench.pipeline.working.duty.shown.values()
        assert (check.site, check.origin, check.until_ms - check.asked_ms) == ("shuiye", "centre/city", 300_000)


async def test_fires_of_a_device_are_told_when_it_was_approved_while_running(tmp_path: Path) -> None:
    """Nothing is told of a stranger; from the approval on it is equipment like any other, its silence too."""
    async with SimulatedCentre() as centre, told(tmp_path, centre.port) as (bench, _):
        await until(lambda: centre.units(21))
        await send(bench, 1, ("panel-99/p002", "fault"))
        await send(bench, 2, ("panel-01/p001", "fault"))
        await until(lambda: centre.units(2))
        assert len(centre.units(2)) == 1
        approval = {"site": "shuiye", "device": "panel-99", "title_zh": "新", "title_en": "New"}
        profile = next(
            p.profile.id for p in bench.pipeline.installation.sites["shuiye"].placed() if p.entry.id == "panel-01"
        )
        await bench.pipeline.ask(Ask(id=1, op="device.approve", actor="wang", args={**approval, "profile": profile}))
        await send(bench, 3, ("panel-99/p001", "fire"))
        await until(lambda: len(centre.units(2)) == 3)
        told_of = [status_of(unit)[0] for unit in centre.units(2)[1:]]
        assert sorted(told_of) == [FIRE, FAULT]
        await send(bench, 4, ("panel-99/online", False))
        engine = bench.pipeline.working.engine
        await until(lambda: engine.cause_of("shuiye", "panel-99") is not None)
        await centre.say(g.REQUEST, bytes((81, 1, 0)))
        await until(lambda: centre.answers)
        assert centre.answers[0].unit[2] & 0b100_0000, "a line fault"


async def test_an_object_is_set_aside_when_the_centre_denies_it_every_time(tmp_path: Path) -> None:
    """It stops holding others up, and stays in the ledger."""
    async with SimulatedCentre() as centre, told(tmp_path, centre.port) as (bench, upward):
        centre.denies = True
        await send(bench, 1, ("panel-01/p001", "fault"))
        await until(lambda: upward.status()["city"]["denied"] >= 6)  # our own state as well
        kept = await bench.store.run(
            lambda connection: connection.execute("SELECT denied FROM upward WHERE type = 2").fetchall()
        )
        assert kept == [(3,)]


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_a_heartbeat_is_sent_when_nothing_else_was(tmp_path: Path, transport: str) -> None:
    """An empty data frame, as practice has it."""
    async with (
        SimulatedCentre(transport=transport) as centre,
        told(tmp_path, centre.port, heartbeat_s=1, transport=transport),
    ):
        await until(lambda: any(not t.plain.unit for t in centre.taken))


async def test_a_fire_overtakes_a_backlog_when_every_tenth_datagram_is_lost(tmp_path: Path) -> None:
    """Two thousand waiting events and losses both ways: the fire is there within ten seconds, and all arrive once."""
    async with SimulatedCentre(transport="udp") as centre:
        port = centre.port
        centre.loses = 0.1
        async with told(tmp_path, port, transport="udp", fire_timeout_s=0.5, timeout_s=1.0) as (bench, upward):
            centre.deaf = True
            for n in range(1, 101):
                await send(bench, n, *[(f"panel-01/p{p:03d}", "fault" if n % 2 else "normal") for p in range(1, 17)])
            centre.deaf = False
            began_ms = wall_ms()
            await send(bench, 101, ("panel-01/p001", "fire"))
            await until(lambda: fires(centre), 20)
            assert fires(centre)[0] - began_ms <= 10_000
            link = upward.links["city"]
            await until(lambda: link.status.confirmed > 1600, 60)


def fires(centre: SimulatedCentre) -> list[int]:
    """When fires came, ms UTC."""
    units = [(t.at_ms, t.plain.unit) for t in centre.taken if t.plain.unit[:2] == b"\x02\x01"]
    return [at_ms for at_ms, unit in units if status_of(unit)[0] == FIRE]


async def test_a_state_is_told_once_when_the_agent_repeats_it(tmp_path: Path) -> None:
    """Repeats against silence are no events; also after the gateway was started again."""
    async with SimulatedCentre() as centre:
        async with told(tmp_path, centre.port) as (bench, _):
            for n in range(1, 4):
                await send(bench, n, ("panel-01/p001", "fault"))
            await until(lambda: centre.units(2))
        async with told(tmp_path, centre.port) as (bench, _):
            await send(bench, 4, ("panel-01/p001", "fault"))
            await send(bench, 5, ("panel-01/p002", "fault"))
            await until(lambda: len(centre.units(2)) == 2)
