"""A Modbus TCP endpoint with several units behind it, as a field gateway has.

0-1 transaction  2-3 protocol (0)  4-5 length of the rest  6 unit  7.. function and data
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from typing import Self

from contract.errors import StartError
from simulators.device import Device, note_violation
from simulators.recorder import Recorder
from simulators.serial_faults import LineFaults

GATEWAY_TARGET_SILENT = 0x0B
_HEADER = struct.Struct(">HHHB")
_LONGEST = 260


class ModbusTcpServer:
    """`async with ModbusTcpServer(units, recorder) as server`; `server.port` is what the system picked.

    A unit that is silent gets no answer at all; a unit that does not exist gets exception 11.
    """

    def __init__(
        self, units: Mapping[int, Device], recorder: Recorder, *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.recorder = recorder
        self.units = units
        self.host = host
        self.port = port
        self.faults = LineFaults()
        """What the way to it does to answers: they are late, or nobody hears anybody."""
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: _Connection(self), self.host, self.port)
        except OSError as exc:
            raise StartError(f"{self.host}:{self.port}: {exc.strerror}. Free the port or name another.") from exc
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            for connection in list(self.connections):
                connection.abort()
            await self._server.wait_closed()
            self._server = None


class _Connection(asyncio.Protocol):
    def __init__(self, server: ModbusTcpServer) -> None:
        self._server = server
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the protocol's signature
        self._server.connections.discard(self)
        self._transport = None

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            transaction, protocol, length, unit = _HEADER.unpack_from(self._buffer)
            if protocol != 0 or not 2 <= length <= _LONGEST - 6:
                self.abort()  # no Modbus: a real gateway hangs up
                return
            if len(self._buffer) < 6 + length:
                return
            pdu = bytes(self._buffer[7 : 6 + length])
            del self._buffer[: 6 + length]
            self._serve(transaction, unit, pdu)

    def _serve(self, transaction: int, unit: int, pdu: bytes) -> None:
        device = self._server.units.get(unit)
        if device is None or device.silent:
            note_violation(self._server.recorder, device.name if device else f"unit {unit}", pdu)
        if device is None:
            self._send(transaction, unit, bytes((pdu[0] | 0x80, GATEWAY_TARGET_SILENT)))
        elif not device.silent and not self._server.faults.is_unplugged:
            answer = device.answer(pdu)
            late_s, said = self._server.faults.shape(b"", answer)
            if said != answer:
                return  # what is damaged behind a field gateway has a wrong CRC there, and goes no further
            if late_s + device.late_s:
                asyncio.get_running_loop().call_later(late_s + device.late_s, self._send, transaction, unit, answer)
            else:
                self._send(transaction, unit, answer)

    def _send(self, transaction: int, unit: int, pdu: bytes) -> None:
        if self._transport is not None:
            self._transport.write(_HEADER.pack(transaction, 0, len(pdu) + 1, unit) + pdu)
