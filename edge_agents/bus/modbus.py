"""The one module that knows pymodbus. A `ModbusPort` is one connection: opened once, never reopened.

Read only: functions 1 to 4. Every answer is checked for unit, function and count before anyone sees it.

Modbus RTU has no transaction id, so an answer that comes after its timeout looks exactly like the answer to the
next request (pymodbus alone then delivers wrong values). Three guards, in this order:

1. after a timeout the line stays quiet until the unit's worst answer time has passed and nothing has been heard for
   a moment; what arrives meanwhile is thrown away;
2. a unit that left a request unanswered is suspect: its next answer is not used, and the line then listens as long
   as an answer to the older request would have been ahead of it. Anything heard keeps the unit suspect;
3. an answer of another unit than the one asked is never taken.

Modbus TCP carries a transaction id, which is checked strictly.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from contract.errors import DeviceError, RetryLater
from contract.site import ModbusRtuLine, ModbusTcpLine
from edge_agents.drivers.modbus import Block

LISTEN_MAX_S = 1.5
"""Longest time the line listens before it trusts a unit again (or three timeouts, where that is more)."""
QUIET_S = 0.03
"""Silence that ends a drain; longer than the pauses USB converters make within a frame."""
_BUSY = {5: "busy", 6: "busy", 10: "no_answer", 11: "no_answer"}
"""Exception codes that say "not now" rather than "never"; 10 and 11 are a gateway's unit not answering."""


class Port(Protocol):
    """What a line needs of its connection."""

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent."""

    async def open(self) -> None:
        """Connect. Raises RetryLater when the line cannot be opened."""

    async def read(self, unit_id: int, block: Block, answer_s: float) -> list[int]:
        """The words (or bits as 0/1) of a block. Raises DeviceError."""

    def close(self) -> None:
        """Close; may be called again."""


class ModbusPort:
    """One connection to a Modbus TCP endpoint or RS-485 line.

    Args:
        line: where and how.
        monotonic: seconds, for durations.
    """

    def __init__(self, line: ModbusTcpLine | ModbusRtuLine, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._line = line
        self._monotonic = monotonic
        self._client: AsyncModbusTcpClient | AsyncModbusSerialClient | None = None
        self._is_serial = isinstance(line, ModbusRtuLine)
        # 3.5 characters of 11 bits; from 19200 baud on the standard fixes 1.75 ms (Modbus over serial line 2.5.1.1).
        self._gap_s = max(0.00175, 38.5 / line.baud) if isinstance(line, ModbusRtuLine) else 0.0
        self._heard_s = -1e9
        self._heard: bytes = b""
        self._unanswered: dict[int, float] = {}
        self.late_answers = 0
        """Answers thrown away because they came after their timeout."""

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent."""
        return self._client is not None and self._client.connected

    async def open(self) -> None:
        """Connect. Raises RetryLater when the line cannot be opened; this object is then of no further use."""
        line = self._line
        if isinstance(line, ModbusTcpLine):
            self._client = AsyncModbusTcpClient(
                line.host,
                port=line.port,
                timeout=line.timeout_s,
                retries=0,
                reconnect_delay=0,  # 0 turns pymodbus' own reconnect off
                trace_packet=self._trace,
                name=line.id,
            )
        else:
            self._client = AsyncModbusSerialClient(
                line.port,
                baudrate=line.baud,
                parity=line.parity,
                stopbits=line.stop_bits,
                timeout=line.timeout_s,
                retries=0,
                reconnect_delay=0,
                trace_packet=self._trace,
                name=line.id,
            )
        try:
            is_open = await self._client.connect()
        except (OSError, ValueError, ModbusException) as exc:  # pyserial raises ValueError for a baud it cannot set
            self.close()
            raise RetryLater(f"line {line.id}: {exc}. Trying again.") from exc
        if not is_open:
            self.close()
            raise RetryLater(f"line {line.id}: got no connection to {_where(line)}. Check cable, address and power.")

    def close(self) -> None:
        """Close; may be called again."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def read(self, unit_id: int, block: Block, answer_s: float) -> list[int]:
        """The words (or bits as 0/1) of a block.

        Args:
            unit_id: address 1..247.
            block: function, first register, count.
            answer_s: the unit's worst time from request to answer.

        Raises:
            DeviceError: `no_answer`, `bad_answer` (noise, wrong count), `busy`, `exception_N`, `late_answer` (it
                answers, but later than the timeout; nothing of it is used) or `line` (connection lost).
        """
        if not self._is_serial:
            return await self._ask(unit_id, block)
        await self._await_gap()
        asked_s = self._monotonic()
        older_s = self._unanswered.get(unit_id)
        try:
            words = await self._ask(unit_id, block)
        except DeviceError as exc:
            if exc.cause == "no_answer":
                # The oldest one counts: several answers may be on their way.
                self._unanswered.setdefault(unit_id, asked_s)
                await self._drain(asked_s + answer_s)
            elif exc.cause == "bad_answer":
                await self._drain(self._monotonic())
            raise
        if older_s is not None:
            # If what was just heard answered the older request, a slave that works one request after the other is
            # still to answer this one: at most as long after as it took for the older one.
            timeout_s = self._line.timeout_s
            listen_s = min(asked_s - older_s + timeout_s + answer_s, max(LISTEN_MAX_S, 3 * timeout_s))
            await self._settle(unit_id, listen_s)
            return await self.read(unit_id, block, answer_s)
        return words

    async def _settle(self, unit_id: int, listen_s: float) -> None:
        """Listen after the first answer of a suspect unit; trust it again only when nothing more comes."""
        answered_s, until_s = self._heard_s, self._monotonic() + listen_s
        while self._monotonic() < until_s:
            await asyncio.sleep(min(0.02, listen_s))
            if self._heard_s > answered_s:
                self.late_answers += 1
                await self._drain(self._monotonic())
                raise DeviceError("late_answer", f"unit {unit_id}: got an answer after its timeout")
        del self._unanswered[unit_id]

    async def _drain(self, until_s: float) -> None:
        """Keep the line quiet until `until_s` and until nothing has come for a moment; bounded on a babbling line."""
        start_s = self._monotonic()
        give_up_s = max(until_s, start_s) + 1.0
        while (now_s := self._monotonic()) < give_up_s:
            if now_s >= until_s and now_s - max(self._heard_s, start_s) >= QUIET_S:
                break
            await asyncio.sleep(0.01)
        if self._heard_s > start_s:
            self.late_answers += 1

    async def _await_gap(self) -> None:
        wait_s = self._heard_s + self._gap_s - self._monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    async def _ask(self, unit_id: int, block: Block) -> list[int]:
        client = self._client
        if client is None or not client.connected:
            raise DeviceError("line", f"line {self._line.id}: got no connection")
        read = {
            1: client.read_coils,
            2: client.read_discrete_inputs,
            3: client.read_holding_registers,
            4: client.read_input_registers,
        }[block.function]
        self._heard = b""
        try:
            answer = await read(block.address, count=block.size, device_id=unit_id)
        except (ModbusException, OSError) as exc:
            if not client.connected:
                raise DeviceError("line", f"line {self._line.id}: {exc}") from exc
            if self._heard:
                raise DeviceError("bad_answer", f"unit {unit_id}: got {self._heard[:16].hex(' ')}") from exc
            raise DeviceError("no_answer", f"unit {unit_id}: got nothing in {self._line.timeout_s} s") from exc
        return self._checked(answer, unit_id, block)

    def _checked(self, answer: ModbusPDU, unit_id: int, block: Block) -> list[int]:
        if answer.dev_id != unit_id:
            raise DeviceError("bad_answer", f"got unit {answer.dev_id}, want {unit_id}")
        if not self._is_serial and answer.transaction_id != self._transaction():
            raise DeviceError("bad_answer", f"unit {unit_id}: got transaction {answer.transaction_id}")
        if answer.isError():
            code = int(getattr(answer, "exception_code", 0))
            raise DeviceError(_BUSY.get(code, f"exception_{code}"), f"unit {unit_id}: got exception {code} to {block}")
        if answer.function_code != block.function:
            raise DeviceError(
                "bad_answer", f"unit {unit_id}: got function {answer.function_code}, want {block.function}"
            )
        if block.function in (1, 2):
            bits = list(answer.bits)
            if len(bits) != (block.size + 7) // 8 * 8:
                raise DeviceError("bad_answer", f"unit {unit_id}: got {len(bits)} bits, want {block.size}")
            return [int(bit) for bit in bits[: block.size]]
        words = list(answer.registers)
        if len(words) != block.size:
            raise DeviceError("bad_answer", f"unit {unit_id}: got {len(words)} registers, want {block.size}")
        return words

    def _transaction(self) -> int:
        assert self._client is not None
        return self._client.ctx.request_transaction_id

    def _trace(self, sending: bool, data: bytes) -> bytes:
        if not sending:
            self._heard_s = self._monotonic()
            self._heard = data
        return data


def _where(line: ModbusTcpLine | ModbusRtuLine) -> str:
    return f"{line.host}:{line.port}" if isinstance(line, ModbusTcpLine) else line.port
