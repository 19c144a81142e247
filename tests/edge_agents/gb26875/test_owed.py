"""Nothing is confirmed before it is on disk, and nothing waits for what it does not need."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from contract.gb26875.tables import Tables
from contract.messages import LANES, Lane
from edge_agents.drivers.gb26875.owed import EVENTS, KINDS, Owed, Way
from edge_agents.drivers.gb26875.session import Session
from simulators.gb26875 import frames as g
from tests.edge_agents.gb26875.bench import ADDRESS, recorded


class Disk:
    """Takes what was recorded when it is told to, lane by lane."""

    def __init__(self) -> None:
        self.taken: dict[Lane, asyncio.Event] = {lane: asyncio.Event() for lane in LANES}

    async def durable(self, lanes: tuple[Lane, ...]) -> None:
        for lane in lanes:
            await self.taken[lane].wait()


def way_to(answers: list[bytes], *, is_stream: bool = True) -> Way:
    """A sender that notes what it is answered."""
    return Way(Session(Tables(), lambda: 0), answers.append, is_stream, lambda: None, 0.0)


@asynccontextmanager
async def running(owed: Owed) -> AsyncIterator[None]:
    """It hands out while the context is open."""
    tasks = [asyncio.create_task(owed.run(lanes), name="owed") for lanes in KINDS]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_an_event_is_confirmed_when_values_still_wait_for_the_disk() -> None:
    """Each answer waits for the lanes its message needs; over a stream those of one write come together."""
    disk, told, by_udp = Disk(), list[bytes](), list[bytes]()
    owed = Owed(disk.durable)
    async with running(owed):
        stream, datagrams = way_to(told), way_to(by_udp, is_stream=False)
        for answer, lanes in ((b"value", LANES), (b"fire", EVENTS), (b"fault", EVENTS)):
            owed.add(stream, answer, lanes)
            owed.add(datagrams, answer, lanes)
        disk.taken["alarm"].set()
        await owed.fewer(stream, 2)
        assert (told, by_udp) == ([b"firefault"], [b"fire", b"fault"])
        disk.taken["telemetry"].set()
        await owed.fewer(stream, 1)
        assert (told[1:], by_udp[2:]) == ([b"value"], [b"value"])


async def test_nothing_is_confirmed_when_the_disk_takes_nothing() -> None:
    """After the longest wait the sender is owed nothing more; it sends again, and that is answered."""
    disk, told = Disk(), list[bytes]()
    owed = Owed(disk.durable, most_s=0.02)
    async with running(owed):
        way = way_to(told)
        owed.add(way, b"lost", EVENTS)
        await owed.fewer(way, 1)
        assert (told, owed.unconfirmed) == ([], 1)
        disk.taken["alarm"].set()
        owed.add(way, b"again", EVENTS)
        await owed.fewer(way, 1)
        assert told == [b"again"]


async def test_the_confirm_comes_when_the_sender_has_closed_its_side(tmp_path: Path) -> None:
    """Some connect, tell one thing, say that this was all, and wait for its confirm."""
    async with recorded(tmp_path) as bench:
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
        unit = g.component_status(1, 1, 42, 9, 0x0003, "", 1_760_000_000_000)
        writer.write(g.frame(5, g.DATA, unit, source=ADDRESS))
        writer.write_eof()
        answer = g.take_apart(bytearray(await asyncio.wait_for(reader.read(), 5)))
        assert (answer[0].serial, answer[0].command) == (5, g.CONFIRM)
        writer.close()
