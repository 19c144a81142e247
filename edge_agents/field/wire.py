"""The raw side of a serial line: bytes with the time each came, nothing interpreted and nothing thrown away.

For looking at a line, not for values: those are read through the guarded connection of `edge_agents.bus`.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import serial

from contract.errors import StartError
from edge_agents.drivers.modbus import Block
from edge_agents.field.capacity import Speed
from edge_agents.field.frames import is_answered, read_request

_STABLE = ("/dev/serial/by-path/*", "/dev/ttyUSB*", "/dev/ttyACM*", "/dev/ttyAMA*", "/dev/ttyS[0-3]")
_MOST_BYTES = 64 * 1024
"""Bytes kept of one exchange; a line that babbles more has been understood by then."""


class Chunk(NamedTuple):
    """Bytes that came together, and when (monotonic seconds)."""

    at_s: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and all that was heard since the end of the one before: also what came before it was sent."""

    unit_id: int
    block: Block
    sent_s: float
    end_s: float
    chunks: tuple[Chunk, ...]

    @property
    def heard(self) -> bytes:
        """All bytes heard."""
        return b"".join(chunk.data for chunk in self.chunks)

    def time_of(self, position: int) -> float:
        """When the byte at this position came, monotonic seconds."""
        for chunk in self.chunks:
            position -= len(chunk.data)
            if position < 0:
                return chunk.at_s
        return self.end_s


class Wire(Protocol):
    """What the tools need of a line."""

    async def ask(self, unit_id: int, block: Block, listen_s: float, gap_s: float) -> Exchange:
        """Send a read `gap_s` after the last byte; listen until it is answered and quiet, at most `listen_s`."""

    async def listen(self, for_s: float) -> tuple[Chunk, ...]:
        """Send nothing; everything heard in this time."""


class SerialWire:
    """`async with SerialWire(port, speed) as wire`.

    Raises (on entry):
        StartError: the port is absent, no serial port, held by another process, or cannot be set so.
    """

    def __init__(self, port: str, speed: Speed, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = port
        self._speed = speed
        self._monotonic = monotonic
        self._serial: Any = None  # serial.Serial, which has no types
        self._chunks: list[Chunk] = []
        self._heard_s = -1e9
        self._came = asyncio.Event()
        self._lost: OSError | None = None

    async def __aenter__(self) -> Self:
        self._serial = await asyncio.to_thread(open_serial, self._path, self._speed)
        asyncio.get_running_loop().add_reader(self._serial.fileno(), self._take)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._serial is not None:
            asyncio.get_running_loop().remove_reader(self._serial.fileno())
            self._serial.close()
            self._serial = None

    @property
    def unclaimed(self) -> int:
        """Bytes heard since the last exchange."""
        return sum(len(chunk.data) for chunk in self._chunks)

    async def ask(self, unit_id: int, block: Block, listen_s: float, gap_s: float) -> Exchange:
        """Send a read `gap_s` after the last byte; listen until it is answered and quiet, at most `listen_s`."""
        wait_s = self._heard_s + gap_s - self._monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        self._check()
        request = read_request(unit_id, block)
        before = len(self._chunks)
        sent_s = self._monotonic()
        os.write(self._serial.fileno(), request)
        until_s = sent_s + listen_s
        while await self._wait(until_s):
            if is_answered(b"".join(chunk.data for chunk in self._chunks[before:]), unit_id, block):
                # Trailing bytes of the same frame time belong to this exchange.
                until_s = min(until_s, self._heard_s + self._speed.silence_s)
        chunks, self._chunks = tuple(self._chunks), []
        return Exchange(unit_id, block, sent_s, self._monotonic(), chunks)

    async def listen(self, for_s: float) -> tuple[Chunk, ...]:
        """Send nothing; everything heard in this time."""
        self._check()
        until_s = self._monotonic() + for_s
        while await self._wait(until_s):
            pass
        chunks, self._chunks = tuple(self._chunks), []
        return chunks

    async def _wait(self, until_s: float) -> bool:
        """Wait for the next bytes; False when the time is over."""
        self._came.clear()
        left_s = until_s - self._monotonic()
        if left_s <= 0:
            return False
        try:
            async with asyncio.timeout(left_s):
                await self._came.wait()
        except TimeoutError:
            return False
        self._check()
        return True

    def _take(self) -> None:
        try:
            data = os.read(self._serial.fileno(), 4096)
        except BlockingIOError:
            return
        except OSError as exc:
            data, self._lost = b"", exc
        if not data:
            # Readable without bytes is a hang-up; the loop would call again for ever.
            self._lost = self._lost or OSError(errno.EIO, "hung up")
            asyncio.get_running_loop().remove_reader(self._serial.fileno())
        elif self.unclaimed < _MOST_BYTES:
            self._chunks.append(Chunk(self._monotonic(), data))
            self._heard_s = self._monotonic()
        self._came.set()

    def _check(self) -> None:
        if self._lost is not None:
            raise StartError(f"{self._path}: got a hang-up ({self._lost.strerror}). Was the adapter unplugged?")


def open_serial(path: str, speed: Speed) -> Any:
    """The open port, for this process alone. Raises StartError; its text says what holds the port, or what there is."""
    try:
        if not stat.S_ISCHR(Path(path).stat().st_mode):
            raise StartError(f"{path}: got a file, want a serial port. {_what_there_is()}")
        port = serial.Serial(
            path, speed.baud, parity=speed.parity, stopbits=speed.stop_bits, timeout=0, write_timeout=0, exclusive=True
        )
        os.set_blocking(port.fileno(), False)
        return port
    except FileNotFoundError as exc:
        raise StartError(f"{path}: got no such port. {_what_there_is()}") from exc
    except ValueError as exc:
        raise StartError(f"{path}: got {speed}, which the port cannot do ({exc}). Choose another speed.") from exc
    except OSError as exc:  # serial.SerialException is one
        number = exc.errno
        if number is None and exc.__context__ is not None and exc.__context__.args:
            number = exc.__context__.args[0]  # termios.error keeps it there
        raise StartError(_refused(path, number, exc)) from exc


def holders(path: str) -> list[str]:
    """Other processes that have this device open, as `name (pid)`; those of other users only when we are root."""
    device = os.path.realpath(path)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        try:
            if any(str(fd.readlink()) == device for fd in (process / "fd").iterdir()):
                found.append(f"{(process / 'comm').read_text().strip()} ({process.name})")
        except OSError:  # it ended, or is not ours to look at
            continue
    return sorted(found)


def _refused(path: str, number: int | None, exc: OSError) -> str:
    if number in (errno.EWOULDBLOCK, errno.EBUSY):
        who = holders(path)
        held = f"held by {', '.join(who)}" if who else "held by a process of another user; try sudo to see which"
        return f"{path}: got a port in use, {held}. Stop it (an agent: systemctl stop weizhan-edge) and try again."
    if number in (errno.EACCES, errno.EPERM):
        return (
            f"{path}: got no permission. Add yourself to the group dialout (usermod -aG dialout NAME), sign in again."
        )
    if number in (errno.ENOTTY, errno.EINVAL):
        return f"{path}: got a device that is no serial port. {_what_there_is()}"
    return f"{path}: {exc.strerror or exc}. Check adapter and cable."


def _what_there_is() -> str:
    ports = [str(path) for pattern in _STABLE for path in sorted(Path("/").glob(pattern[1:]))]
    return f"There are: {', '.join(ports)}." if ports else "There is none: plug the adapter in and look at `dmesg`."
