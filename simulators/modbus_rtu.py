"""Modbus RTU slaves on one pseudo-terminal: several units share the line, answers come at the pace of the baud rate.

0 unit  1 function  2.. data  last two: CRC-16 (0xA001, start 0xFFFF), low byte first
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from simulators.device import Device, note_violation
from simulators.identity import FUNCTION, MEI_TYPE
from simulators.recorder import Recorder
from simulators.serial_faults import LineFaults
from simulators.serial_line import SerialPort, character_s

_SILENCE_CHARS = 3.5
_PROCESSING_S = 0.003
"""What a small node needs between question and answer."""
_IDLE_S = 0.05
"""An unfinished request is dropped after this silence. Longer than the standard's 3.5 characters: the
other side is a process that may be held up in the middle of a write."""
_CHUNK = 8
_WAITING = 8
"""Requests kept while an answer is on the line; more are dropped, as on a real line."""


class ModbusRtuLine:
    """`async with ModbusRtuLine(units, link, recorder)`: the agent opens `link`."""

    def __init__(
        self,
        units: Mapping[int, Device],
        link: Path,
        recorder: Recorder,
        *,
        baud: int = 9600,
        parity: bool = False,
        stop_bits: int = 1,
    ) -> None:
        self.units = units
        self.link = link
        self.crc_errors = 0
        self.dropped = 0
        self._recorder = recorder
        self._char_s = character_s(baud, parity=parity, stop_bits=stop_bits)
        self.faults = LineFaults()
        """What the line does to answers."""
        self._port = SerialPort(link)
        self._buffer = bytearray()
        self._requests: asyncio.Queue[bytes] = asyncio.Queue(_WAITING)
        self._idle: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._port.open()
        asyncio.get_running_loop().add_reader(self._port.master, self._take)
        self._task = asyncio.create_task(self._answer_all(), name=f"rtu {self.link.name}")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._port.master >= 0:
            asyncio.get_running_loop().remove_reader(self._port.master)
        if self._idle is not None:
            self._idle.cancel()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._port.close()

    def _take(self) -> None:
        self._buffer += self._port.read()
        if self._idle is not None:
            self._idle.cancel()
        while (length := _request_length(self._buffer)) and len(self._buffer) >= length:
            frame = bytes(self._buffer[:length])
            if crc16(frame) != 0:  # over data and CRC together: 0 when whole
                self._drop_noise()
                return
            del self._buffer[:length]
            if self._requests.full():
                self.dropped += 1
            else:
                self._requests.put_nowait(frame)
        if self._buffer:
            self._idle = asyncio.get_running_loop().call_later(_IDLE_S, self._end_of_silence)

    def _end_of_silence(self) -> None:
        """What is left is a whole request of a function we do not know the length of, or noise."""
        frame = bytes(self._buffer)
        if len(frame) >= 4 and crc16(frame) == 0 and not self._requests.full():
            self._buffer.clear()
            self._requests.put_nowait(frame)
        elif frame:
            self._drop_noise()

    def _drop_noise(self) -> None:
        self.crc_errors += 1
        self._buffer.clear()

    async def _answer_all(self) -> None:
        while True:
            frame = await self._requests.get()
            unit, pdu = frame[0], frame[1:-2]
            device = self.units.get(unit)
            if self.faults.is_unplugged:
                continue
            if device is None or device.silent:
                # Unit 0 is a broadcast: obeyed by all, answered by none.
                note_violation(self._recorder, device.name if device else f"{self.link.name} unit {unit}", pdu)
                continue
            await asyncio.sleep((len(frame) + _SILENCE_CHARS) * self._char_s + _PROCESSING_S)
            body = bytes((unit,)) + device.answer(pdu)
            if device.late_s:
                await asyncio.sleep(device.late_s)
            late_s, said = self.faults.shape(frame, body + crc16(body).to_bytes(2, "little"))
            await asyncio.sleep(late_s)
            await self._send(said)

    async def _send(self, frame: bytes) -> None:
        """Put the frame on the line so that its last byte arrives when it would at this baud rate."""
        for start in range(0, len(frame), _CHUNK):
            chunk = frame[start : start + _CHUNK]
            await asyncio.sleep(len(chunk) * self._char_s)
            self._port.write(chunk)


def crc16(data: bytes) -> int:
    """CRC-16/Modbus; 0 over a frame that carries its own CRC."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def _request_length(buffer: bytearray) -> int:
    """Bytes of the request at the head of the buffer; 0 when not known (yet)."""
    if len(buffer) < 2:
        return 0
    if buffer[1] in (1, 2, 3, 4, 5, 6, 8):
        return 8
    if buffer[1] == FUNCTION and len(buffer) > 2 and buffer[2] == MEI_TYPE:
        return 7
    if buffer[1] in (15, 16):
        return 9 + buffer[6] if len(buffer) > 6 else 0
    return 0
