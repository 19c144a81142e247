"""Transmitters on a real port: taken, confirmed once durable, asked, supervised."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from simulators.gb26875 import frames as g
from simulators.gb26875.transmitter import Habits, SimulatedTransmitter
from tests.edge_agents.gb26875.bench import ADDRESS, Recorded, recorded

POINT = "c1001p00010203"
FIRE, FAULT, NORMAL = 0x0002, 0x0004, 0x0001


def transmitter(bench: Recorded, habits: Habits | None = None, address: bytes = ADDRESS) -> SimulatedTransmitter:
    """A transmitter that reports to the line."""
    return SimulatedTransmitter(address, "127.0.0.1", bench.port, habits=habits, timeout_s=2.0)


async def until(true: Callable[[], Awaitable[object]], within_s: float = 15.0) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(within_s):
        while not await true():  # what is on disk is looked at again
            await asyncio.sleep(0.02)


async def test_a_fire_is_on_disk_before_it_is_confirmed_when_it_is_told(tmp_path: Path) -> None:
    """The confirm that the transmitter waits for comes after the event is durable."""
    async with recorded(tmp_path) as bench, transmitter(bench) as uitd:
        assert await uitd.component(0x010203, FIRE, "三层东走道") == 1
        assert await bench.state(POINT) == ("fire", "good")
        event = json.loads(str((await bench.state("event"))[0]))  # type: ignore[index] # it is there once confirmed
        assert (event["event"], event["text"], event["device_zh"]) == ("fire", "三层东走道", "点型光电感烟火灾探测器")
        assert await bench.state("online") == (True, "good")


@pytest.mark.parametrize(
    "habits",
    [
        Habits(glue=True),
        Habits(split=True),
        Habits(noise=True),
        Habits(resend=True),
        Habits(no_time=True),
        Habits(bad_clock_s=-86_400.0 * 30),
        Habits(heartbeat=b"\x16", heartbeat_s=0.05),
        Habits(glue=True, split=True, noise=True, resend=True),
    ],
    ids=["glue", "split", "noise", "resend", "no_time", "bad_clock", "short_heartbeat", "all"],
)
async def test_nothing_is_lost_or_doubled_when_a_transmitter_has_bad_habits(tmp_path: Path, habits: Habits) -> None:
    """Twenty fires and twenty restorations give just these events and these states, whatever the habit."""
    async with recorded(tmp_path) as bench, transmitter(bench, habits) as uitd:
        for number in range(20):
            await uitd.component(number, FIRE)
            await uitd.component(number, NORMAL)
        readings = await bench.readings()
        for number in range(20):
            states = [r.value for r in readings if r.point == f"uitd-01/c1001p{number:08x}"]
            assert states == ["fire", "normal"]
        events = [json.loads(str(r.value)) for r in readings if r.point == "uitd-01/event"]
        told = [(e["event"], e.get("restored", False)) for e in events]
        assert told == [("fire", False), ("fire", True)] * 20
        assert uitd.counts.denied == 0


async def test_a_fire_stands_when_only_a_fault_is_told_after_it(tmp_path: Path) -> None:
    """A sender that tells events only must not end a fire with its next word."""
    async with recorded(tmp_path) as bench, transmitter(bench) as uitd:
        await uitd.component(0x010203, FIRE)
        await uitd.component(0x010203, FAULT)
        assert await bench.state(POINT) == ("fire", "good")
        await uitd.component(0x010203, NORMAL)
        assert await bench.state(POINT) == ("normal", "good")


async def test_a_reset_ends_what_stands_and_keeps_disablements_when_it_is_told(tmp_path: Path) -> None:
    """The operation record of a reset ends fire and fault of its system, not a disablement."""
    async with recorded(tmp_path) as bench, transmitter(bench) as uitd:
        await uitd.component(1, FIRE)
        await uitd.component(2, 0x0008)
        await uitd.tell(g.operation(1, 1, 0b1, 7, uitd.at_ms() or 0))
        assert await bench.state("c1001p00000001") == ("normal", "good")
        assert await bench.state("c1001p00000002") == ("disabled", "good")


async def test_system_states_and_values_have_points_of_their_own_when_they_are_told(tmp_path: Path) -> None:
    """Power and bus faults, manual mode, pressures in kPa."""
    async with recorded(tmp_path) as bench, transmitter(bench) as uitd:
        now = uitd.at_ms() or 0
        await uitd.tell(g.system_status(1, 1, 0x0100 | 0x0400 | 0x0800, now))
        assert await bench.state("c1001main_power") == ("fault", "good")
        assert await bench.state("c1001bus") == ("fault", "good")
        assert await bench.state("mode") == ("manual", "good")
        await uitd.tell(g.system_status(1, 1, 0x0001, now + 1000))
        assert await bench.state("c1001main_power") == ("normal", "good")
        assert await bench.state("mode") == ("auto", "good")
        await uitd.tell(g.analog_value(11, 1, 0, 5, 5, 1400, now))
        assert await bench.state("c11001p00000005_pressure_kpa") == (140.0, "good")


async def test_a_damaged_frame_is_denied_and_kept_when_its_checksum_is_wrong(tmp_path: Path) -> None:
    """Deny (6) with the serial of the frame; the bytes lie in the refused file."""
    async with recorded(tmp_path) as bench:
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
        unit = g.component_status(1, 1, 42, 1, FIRE, "", 1_700_000_000_000)
        raw = bytearray(g.frame(77, g.DATA, unit, source=ADDRESS))
        raw[-3] ^= 1
        writer.write(raw)
        answer = g.take_apart(bytearray(await asyncio.wait_for(reader.read(100), 5)))
        assert [(a.serial, a.command) for a in answer] == [(77, g.DENY)]
        writer.close()
        await until(lambda: _refused(tmp_path, bytes(raw).hex()))
        assert await bench.state("c1001p00000001") is None


async def _refused(folder: Path, raw: str) -> bool:
    texts = await asyncio.to_thread(lambda: [path.read_text("utf-8") for path in (folder / "data").glob("refused/*")])
    return any(raw.lower() in text.lower() for text in texts)


async def test_an_unknown_transmitter_is_reported_under_its_address_when_it_comes(tmp_path: Path) -> None:
    """Nothing it says is lost: it is an unknown device of the gateway until somebody approves it."""
    async with recorded(tmp_path) as bench, transmitter(bench, address=b"\xab\0\0\0\0\x02") as stranger:
        await stranger.component(1, FIRE)
        assert await bench.state("c1001p00000001", "uitd-ab0000000002") == ("fire", "good")
        assert await bench.state("c1001p00000001") is None


async def test_its_points_are_unknown_when_a_transmitter_falls_silent(tmp_path: Path) -> None:
    """Silence is never taken for normal; what comes back is uncertain until it was read again."""
    async with (
        recorded(tmp_path, silent_after_s=0.5) as bench,
        transmitter(bench, Habits(heartbeat=None)) as uitd,
    ):
        await uitd.component(1, NORMAL)
        await until(lambda: _is(bench, "online", (False, "good")))
        assert await bench.state("c1001p00000001") == (None, "unknown:no_answer")
        await uitd.component(2, NORMAL)
        assert await bench.state("online") == (True, "good")
        assert (await bench.state("c1001p00000001") or ("", ""))[1] in ("uncertain:missed_events", "good")


async def _is(bench: Recorded, point: str, wanted: tuple[object, str]) -> bool:
    return await bench.state(point) == wanted


async def test_what_was_missed_is_read_when_a_transmitter_returns(tmp_path: Path) -> None:
    """After a cut the line asks for the state of everything it knows, and believes the answers."""
    async with recorded(tmp_path) as bench, transmitter(bench) as uitd:
        await uitd.component(1, FIRE)
        before = uitd.counts.connects
        uitd.states[bytes((1, 1)) + (1).to_bytes(4, "little")] = g.component_status(
            1, 1, 42, 1, NORMAL, "", time.time_ns() // 1_000_000
        )
        await uitd.cut()
        await until(lambda: _true(uitd.counts.connects > before))
        await uitd.component(2, NORMAL)
        await until(lambda: _is(bench, "c1001p00000001", ("normal", "good")))
        assert {61, 62, 81} <= set(uitd.counts.asked)


async def _true(value: bool) -> bool:
    return value


async def test_the_clock_is_set_once_when_it_is_off(tmp_path: Path) -> None:
    """A transmitter an hour behind is told the time; its events stand at the right time all the same."""
    async with recorded(tmp_path) as bench, transmitter(bench, Habits(bad_clock_s=-3600.0)) as uitd:
        before_ms = time.time_ns() // 1_000_000
        await uitd.component(1, FIRE)
        fire = next(r for r in await bench.readings() if r.point == "uitd-01/c1001p00000001")
        assert before_ms - 10 <= fire.observed_ms <= time.time_ns() // 1_000_000 + 10
        await until(lambda: _true(len(uitd.counts.clock_set) == 1))


async def test_a_duty_check_comes_back_answered_when_somebody_is_there(tmp_path: Path) -> None:
    """Type 91 goes out; the answer (type 24, bit 5) is a reading of its own."""
    async with recorded(tmp_path) as bench, transmitter(bench, Habits(answers_duty_after_s=0.05)) as uitd:
        await uitd.component(1, NORMAL)
        assert bench.line.check_duty("uitd-01", 5)
        await until(lambda: _is(bench, "duty_answer", ("operator 3", "good")))
        assert uitd.counts.duty_checks == [5]


async def test_datagrams_are_answered_when_a_transmitter_uses_udp(tmp_path: Path) -> None:
    """One datagram a frame; the confirm goes back to where it came from."""
    async with recorded(tmp_path) as bench:
        loop = asyncio.get_running_loop()
        answers: asyncio.Queue[bytes] = asyncio.Queue()

        class Peer(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: object) -> None:
                answers.put_nowait(data)

        transport, _ = await loop.create_datagram_endpoint(Peer, remote_addr=("127.0.0.1", bench.port))
        unit = g.component_status(1, 1, 42, 9, FIRE, "", time.time_ns() // 1_000_000)
        transport.sendto(g.frame(5, g.DATA, unit, source=ADDRESS))
        answer = g.take_apart(bytearray(await asyncio.wait_for(answers.get(), 5)))
        assert [(a.serial, a.command) for a in answer] == [(5, g.CONFIRM)]
        assert await bench.state("c1001p00000009") == ("fire", "good")
        transport.close()
