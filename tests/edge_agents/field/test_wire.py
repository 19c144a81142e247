"""The raw side of a line on a real terminal: nothing heard is lost, and what is wrong with the port is said."""

from __future__ import annotations

import asyncio
import os
import struct
import tty
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from contract.errors import StartError
from edge_agents.drivers.modbus import Block
from edge_agents.field.capacity import Speed
from edge_agents.field.doctor import Observed, diagnose
from edge_agents.field.frames import tell_apart
from edge_agents.field.wire import SerialWire
from tests.edge_agents.field.simulated_wire import frame

BLOCK = Block(3, 0, 2)
SPEED = Speed(115200)
ANSWER = frame(struct.pack(">BBBHH", 1, 3, 4, 10, 20))


class Far:
    """The far end of a pseudo-terminal: `reply` turns what arrives into what is sent back."""

    def __init__(self) -> None:
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self.reply: Callable[[bytes], list[bytes]] = lambda _request: []

    def start(self) -> None:
        """Begin to reply."""
        asyncio.get_running_loop().add_reader(self.master, self._take)

    def _take(self) -> None:
        for data in self.reply(os.read(self.master, 4096)):
            os.write(self.master, data)

    def hang_up(self) -> None:
        """Take the line away."""
        if self.master >= 0:
            asyncio.get_running_loop().remove_reader(self.master)
            os.close(self.master)
            os.close(self._slave)
            self.master = -1


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    """A line with nobody on it yet."""
    far = Far()
    far.start()
    yield far
    far.hang_up()


async def test_everything_is_kept_when_echo_noise_and_others_surround_the_answer(far: Far) -> None:
    """Our echo, a stray byte, another master's request and the answer all stand in the exchange, told apart."""
    other = frame(struct.pack(">BBHH", 9, 3, 0, 1))
    far.reply = lambda request: [request + b"\x00", other, ANSWER]
    async with SerialWire(far.port, SPEED) as wire:
        exchange = await wire.ask(1, BLOCK, 5.0, 0.0)
    assert [piece.kind for piece in tell_apart(exchange.heard, 1, BLOCK)] == ["echo", "noise", "request", "answer"]
    counts = diagnose(Observed(SPEED, 5.0, (exchange,))).counts
    assert (counts.answered, counts.echoes, counts.foreign_frames, counts.noise_bytes) == (1, 1, 1, 1)
    assert exchange.sent_s <= exchange.time_of(0) <= exchange.end_s


async def test_bytes_between_two_requests_belong_to_the_next_exchange_when_they_come_late(far: Far) -> None:
    """What comes while nobody is asked is not lost and not taken for the next answer."""
    async with SerialWire(far.port, SPEED) as wire:
        silent = await wire.ask(1, BLOCK, 0.05, 0.0)
        os.write(far.master, ANSWER)
        async with asyncio.timeout(10):
            while not wire.unclaimed:
                await asyncio.sleep(0.005)
        again = await wire.ask(1, BLOCK, 0.05, 0.0)
        last = await wire.ask(1, BLOCK, 0.05, 0.0)
    assert (silent.heard, again.heard, last.heard) == (b"", ANSWER, b"")
    counts = diagnose(Observed(SPEED, 0.05, (silent, again))).counts
    assert (counts.answered, counts.timeouts, counts.late_answers) == (0, 2, 1)


async def test_listening_hears_another_master_when_nothing_is_asked(far: Far) -> None:
    """Before the first request everything heard is somebody else's."""
    async with SerialWire(far.port, SPEED) as wire:
        os.write(far.master, frame(struct.pack(">BBHH", 9, 6, 0, 1)))
        idle = await wire.listen(0.1)
    found = diagnose(Observed(SPEED, 0.5, (), 0.1, idle))
    assert (found.counts.foreign_frames, found.foreign_units) == (1, [9])


async def test_unplugging_ends_with_a_text_when_it_happens_while_listening(far: Far) -> None:
    """A hang-up is an error that says so, at once."""
    async with SerialWire(far.port, SPEED) as wire:
        asyncio.get_running_loop().call_soon(far.hang_up)
        with pytest.raises(StartError, match="Was the adapter unplugged"):
            await wire.listen(30)


async def test_a_second_user_is_refused_when_the_port_is_open(far: Far) -> None:
    """The port is for one process and one user."""
    async with SerialWire(far.port, SPEED):
        with pytest.raises(StartError, match="got a port in use"):
            async with SerialWire(far.port, SPEED):
                pass


async def test_a_file_is_refused_when_named_as_a_port(tmp_path: Path) -> None:
    """A name that is no device is no serial port."""
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(StartError, match="got a file, want a serial port"):
        async with SerialWire(str(path), SPEED):
            pass
