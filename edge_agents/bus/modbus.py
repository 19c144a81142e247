"""The one module that knows pymodbus. A `ModbusPort` is one connection: opened once, never reopened.

Read only: functions 1 to 4 and Read Device Identification, looked at again on the last step before the wire
(`bus/allowed.py`). Every answer is checked for unit, function and count before anyone sees it; Modbus TCP also
for its transaction id. On RTU lines, over a serial port or through a serial server, two guards stand between the line
and pymodbus: only the bytes of the one frame that was asked for reach it (`bus/rtu.py`), and a unit that owes an answer
is believed again only when its answers can be told apart (`bus/owed.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.mei_message import ReadDeviceInformationRequest

from contract.errors import DeviceError, RetryLater
from contract.site import ModbusRtuLine, ModbusTcpLine
from edge_agents.bus.allowed import check_request
from edge_agents.bus.owed import OwedAnswers
from edge_agents.bus.port import FrameCounters, PolledLine
from edge_agents.bus.rtu import FRAME_BYTES, REQUEST_BYTES, Asked, sift
from edge_agents.drivers.identity import BASIC, IdentityPart, decode_identity
from edge_agents.drivers.modbus import Block

HORIZON_S = 1.5
"""After an unanswered request its length is not asked for again for so long (or three timeouts, where that is more)."""
QUIET_S = 0.03
"""Silence that ends a drain or a damaged frame; longer than the pauses USB converters make within a frame."""
NETWORK_QUIET_S = 0.2
"""The same behind a serial server, which may part a frame over several packets."""
PROBE_SLACK_S = 0.02
"""What a silent unit is given on top of its worst answer time and the time of the frames."""
IDENTITY_BYTES = 80
"""A usual identification with its request; who tells more is heard out where the line has the time."""
IDENTITY_SLACK_S = 0.03
REFUSAL_S = 0.6
"""Longest that a unit is known to take until it refuses a function (half a second), and its frames."""
_TCP_HEAD = 7
_BUSY = {5: "busy", 6: "busy", 10: "no_answer", 11: "no_answer"}
"""Exception codes that say "not now" rather than "never"; 10 and 11 are a gateway's unit not answering."""


class _DamagedError(ModbusException):
    """The answer came and its CRC is wrong."""


class ModbusPort:
    """One connection to a Modbus TCP endpoint, an RS-485 line or a serial server.

    Args:
        line: where and how.
        monotonic: seconds, for durations.
        counters: of the line, shared by all its connections.
    """

    def __init__(
        self,
        line: PolledLine,
        monotonic: Callable[[], float] = time.monotonic,
        counters: FrameCounters | None = None,
    ) -> None:
        self._line = line
        self._monotonic = monotonic
        self.counters = counters if counters is not None else FrameCounters()
        self._client: AsyncModbusTcpClient | AsyncModbusSerialClient | None = None
        self._is_rtu = not isinstance(line, ModbusTcpLine)
        self._quiet_s = QUIET_S if isinstance(line, ModbusRtuLine) else NETWORK_QUIET_S
        # 3.5 characters of 11 bits; from 19200 baud on the standard fixes 1.75 ms (Modbus over serial line 2.5.1.1).
        self._gap_s = 0.0 if isinstance(line, ModbusTcpLine) else max(0.00175, 38.5 / line.baud)
        self._char_s = 0.0 if isinstance(line, ModbusTcpLine) else 11 / line.baud
        self._heard_s = -1e9
        self._heard = b""
        self._asked: Asked | None = None
        self._identity: tuple[int, asyncio.Future[bytes]] | None = None
        self._patient_until_s = 0.0
        self._giving_up: asyncio.TimerHandle | None = None
        self._owed = OwedAnswers(max(HORIZON_S, 3 * line.timeout_s))

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent."""
        return self._client is not None and self._client.connected

    @property
    def late_answers(self) -> int:
        """Answers thrown away because they came after their timeout."""
        return self.counters.late

    def ready_s(self, unit_id: int) -> float:
        """Monotonic time before which the unit is not asked: an older answer could not be told from the new one."""
        return self._owed.ready_s(unit_id)

    async def open(self) -> None:
        """Connect. Raises RetryLater when the line cannot be opened; this object is then of no further use."""
        line = self._line
        try:
            self._client = self._new_client()
            self._client.set_max_no_responses(2**31)  # whether to close on silence is the line's business
            is_open = await self._client.connect()
            await asyncio.sleep(0)  # pymodbus sets a serial port up one turn of the loop later
        except (OSError, ValueError, ModbusException) as exc:  # pyserial raises ValueError for a baud it cannot set
            self.close()
            raise RetryLater(f"line {line.id}: {exc}. Trying again.") from exc
        if not is_open:
            self.close()
            raise RetryLater(f"line {line.id}: got no connection to {_where(line)}. Check cable, address and power.")

    def _new_client(self) -> AsyncModbusTcpClient | AsyncModbusSerialClient:
        line = self._line
        if isinstance(line, ModbusRtuLine):
            return AsyncModbusSerialClient(
                line.port,
                baudrate=line.baud,
                parity=line.parity,
                stopbits=line.stop_bits,
                timeout=line.timeout_s,
                retries=0,
                reconnect_delay=0,  # 0 turns pymodbus' own reconnect off
                trace_packet=self._trace,
                name=line.id,
            )
        return AsyncModbusTcpClient(
            line.host,
            framer=FramerType.RTU if self._is_rtu else FramerType.SOCKET,
            port=line.port,
            timeout=line.timeout_s,
            retries=0,
            reconnect_delay=0,
            trace_packet=self._trace,
            name=line.id,
        )

    def close(self) -> None:
        """Close; may be called again."""
        self._stop_giving_up()
        if self._client is not None:
            self._client.close()
            self._client = None

    async def read(self, unit_id: int, block: Block, answer_s: float, *, is_probe: bool = False) -> list[int]:
        """The words (or bits as 0/1) of a block.

        Args:
            unit_id: address 1..247.
            block: function, first register, count.
            answer_s: the unit's worst time from request to answer.
            is_probe: the unit has been silent; wait no longer than its worst answer time.

        Raises:
            DeviceError: `no_answer`, `bad_answer` (noise, wrong count), `busy`, `exception_N`, `late_answer` (it
                answers, but later than the timeout; nothing of it is used) or `line` (connection lost).
        """
        timeout_s = self._line.timeout_s
        if not self._is_rtu:
            return await self._ask(unit_id, block, timeout_s)
        if is_probe:
            frames_s = (REQUEST_BYTES + FRAME_BYTES + 2 * block.size) * self._char_s
            timeout_s = min(timeout_s, answer_s + frames_s + PROBE_SLACK_S)
        if self._owed.any(unit_id, self._monotonic()):
            await self._regain_trust(unit_id, block, answer_s, timeout_s)
        return await self._ask_rtu(unit_id, block, answer_s, timeout_s)

    async def _regain_trust(self, unit_id: int, block: Block, answer_s: float, timeout_s: float) -> None:
        """Come back only when no older answer can be taken for a new one. Raises DeviceError when that fails."""
        await self._sleep_until(self._owed.ready_s(unit_id))
        size = self._owed.telling_size(unit_id, block.function, block.size)
        oldest_s, asked_s = self._owed.oldest_s(unit_id), self._monotonic()
        try:
            await self._ask_rtu(unit_id, block._replace(size=size or block.size), answer_s, timeout_s)
        except DeviceError as exc:
            if exc.cause in ("no_answer", "bad_answer", "line"):
                raise
            size = None  # an exception has no length of its own: it may belong to the older request
        if size is None:
            # If what was just heard answered the older request, a unit that works one request after the other is
            # still to answer this one: at most as long after as it took for the older one.
            await self._listen(unit_id, min(asked_s - oldest_s, self._horizon_s) + timeout_s + answer_s)
        self._owed.settle(unit_id)

    @property
    def _horizon_s(self) -> float:
        return max(HORIZON_S, 3 * self._line.timeout_s)

    async def _listen(self, unit_id: int, listen_s: float) -> None:
        """Hear nothing for so long. Raises DeviceError `late_answer` otherwise."""
        answered_s = self._heard_s
        until_s = self._monotonic() + min(listen_s, self._horizon_s)
        while self._monotonic() < until_s:
            await asyncio.sleep(min(0.02, listen_s))
            if self._heard_s > answered_s:
                await self._drain(self._monotonic())
                raise DeviceError("late_answer", f"unit {unit_id}: got an answer after its timeout")

    async def _ask_rtu(self, unit_id: int, block: Block, answer_s: float, timeout_s: float) -> list[int]:
        await self._sleep_until(self._heard_s + self._gap_s)
        asked_s = self._monotonic()
        self._asked, self._patient_until_s = Asked.of(unit_id, block.function, block.size), asked_s + answer_s
        try:
            return await self._ask(unit_id, block, timeout_s)
        except DeviceError as exc:
            if exc.cause not in ("no_answer", "bad_answer"):
                raise
            found = sift(self._heard, self._asked)
            self._asked = None
            # A damaged answer was an answer; after anything else the true one may still be on its way.
            if not isinstance(exc.__cause__, _DamagedError):
                self._owed.add(unit_id, block.function, block.size, asked_s)
            await self._drain(asked_s + answer_s)
            if exc.cause == "bad_answer" and found.late:
                raise DeviceError("late_answer", f"unit {unit_id}: got an answer after its timeout") from exc
            raise
        finally:
            self._asked = None
            self._stop_giving_up()

    async def _drain(self, until_s: float) -> None:
        """Keep the line quiet until `until_s` and until nothing has come for a moment; bounded on a babbling line."""
        give_up_s = max(until_s, self._monotonic()) + 1.0
        while (now_s := self._monotonic()) < give_up_s:
            if now_s >= until_s and now_s - self._heard_s >= self._quiet_s:
                break
            await asyncio.sleep(0.01)

    async def _sleep_until(self, at_s: float) -> None:
        wait_s = at_s - self._monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    async def _ask(self, unit_id: int, block: Block, timeout_s: float) -> list[int]:
        client, counters = self._client, self.counters
        if client is None or not client.connected:
            raise DeviceError("line", f"line {self._line.id}: got no connection")
        read = {
            1: client.read_coils,
            2: client.read_discrete_inputs,
            3: client.read_holding_registers,
            4: client.read_input_registers,
        }[block.function]
        self._heard = b""
        client.ctx.comm_params.timeout_connect = timeout_s  # pymodbus has one timeout for everything; this is its place
        counters.requests += 1
        asked_s, is_answered = self._monotonic(), False
        try:
            answer = await read(block.address, count=block.size, device_id=unit_id)
            is_answered = True
            return self._checked(answer, unit_id, block)
        except (ModbusException, OSError) as exc:
            if not client.connected:
                raise DeviceError("line", f"line {self._line.id}: {exc}") from exc
            if self._heard and not self._only_others_spoke():
                counters.damaged += 1
                raise DeviceError("bad_answer", f"unit {unit_id}: got {self._heard[:16].hex(' ')}") from exc
            counters.timeouts += 1
            raise DeviceError("no_answer", f"unit {unit_id}: got nothing in {timeout_s:.3g} s") from exc
        finally:
            took_s = self._monotonic() - asked_s
            counters.waited_s += took_s
            counters.lost_s += 0.0 if is_answered else took_s
            self._count_others()

    def _count_others(self) -> None:
        """Count what was heard beside the answer."""
        if self._asked is None or len(self._heard) == FRAME_BYTES + self._asked.third_byte:
            return  # the usual case: exactly the answer
        found = sift(self._heard, self._asked)
        self.counters.late += found.late
        self.counters.foreign += found.foreign
        self.counters.echoed += found.echoed

    def _only_others_spoke(self) -> bool:
        """Whether what was heard is sound frames of others and no noise."""
        if self._asked is None:
            return False
        found = sift(self._heard, self._asked)
        return found.foreign + found.echoed > 0 and found.late == 0 and not found.rest

    def _checked(self, answer: ModbusPDU, unit_id: int, block: Block) -> list[int]:
        if answer.dev_id != unit_id:
            raise DeviceError("bad_answer", f"got unit {answer.dev_id}, want {unit_id}")
        if not self._is_rtu and answer.transaction_id != self._transaction():
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

    # --- who it is ---------------------------------------------------------------------------------------------------

    def identity_s(self, usual_s: float) -> tuple[float, float]:
        """For a unit whose answers usually take so long: how long an identification takes, and how long a unit that is
        slow to refuse may take the line, seconds.

        Twice its usual time, because it is a function it seldom works at; the frame; a moment to see that it is over.
        A slave on libmodbus hears nothing for half a second before it refuses; a gateway behind a Modbus TCP endpoint
        serves nobody while it waits for a silent unit.
        """
        least_s = 2 * usual_s + IDENTITY_BYTES * self._char_s + self._gap_s + IDENTITY_SLACK_S + QUIET_S
        return least_s, max(least_s, REFUSAL_S, 0.0 if self._is_rtu else self._line.timeout_s)

    async def identify(self, unit_id: int, first_object: int, wait_s: float) -> IdentityPart:
        """What the unit tells of itself, from this object on (Read Device Identification, basic).

        Not a word of it goes through pymodbus, which gives a connection up over an answer it cannot decode. Nothing of
        it counts as an error of the line or the unit, and a late answer can be taken for nothing else.

        Args:
            wait_s: give up after so long.

        Raises:
            DeviceError: `refused`, `busy`, `no_answer`, `bad_answer` or `line` (the connection was lost).
        """
        client = self._client
        if client is None or not client.connected:
            raise DeviceError("line", f"line {self._line.id}: got no connection")
        await self._sleep_until(self._heard_s + self._gap_s)
        asked_s, self._heard = self._monotonic(), b""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._identity = unit_id, answer
        self.counters.requests += 1
        try:
            await client.execute(True, ReadDeviceInformationRequest(BASIC, first_object, dev_id=unit_id))
            async with asyncio.timeout(wait_s - QUIET_S):
                return decode_identity(await answer, first_object)
        except (TimeoutError, ModbusException, OSError) as exc:
            if not client.connected:
                raise DeviceError("line", f"unit {unit_id}: asked who it is, got the connection closed") from exc
            if not self._heard:
                raise DeviceError("no_answer", f"unit {unit_id}: asked who it is, got nothing") from exc
            await self._drain(self._monotonic())
            raise DeviceError("bad_answer", f"unit {unit_id}: got {self._heard[:16].hex(' ')}") from exc
        finally:
            self._identity = None
            if not self._is_rtu:
                client.ctx.request_transaction_id = -1  # pymodbus passes over what belongs to no request it waits for
            self.counters.waited_s += self._monotonic() - asked_s

    def _hear_identity(self, unit_id: int, answer: asyncio.Future[bytes]) -> None:
        """Look for the identification in what has been heard since it was asked for."""
        if answer.done():
            return
        if self._is_rtu:
            frame = sift(self._heard, Asked.identity(unit_id)).answer
            pdu = None if frame is None else frame[1:-2]
        else:
            pdu = _tcp_answer(self._heard, self._transaction(), unit_id)
        if pdu is not None:
            answer.set_result(pdu)

    # --- what pymodbus is let hear ----------------------------------------------------------------------------------

    def _trace(self, sending: bool, data: bytes) -> bytes:
        """Called by pymodbus with everything it sends and has heard since; what comes back is what it works on."""
        if sending:
            check_request(data[1:-2] if self._is_rtu else data[_TCP_HEAD:])
            return data
        since_s, self._heard_s = self._heard_s, self._monotonic()
        if self._identity is not None:
            self._heard = data
            self._hear_identity(*self._identity)
            return b""
        if not self._is_rtu:
            self._heard = data
            return data
        if self._asked is None:
            # Nobody asked: one late answer, however many pieces it comes in.
            self.counters.late += self._heard_s - since_s > self._quiet_s or len(data) <= len(self._heard)
            self._heard = data
            return b""
        self._heard = data
        found = sift(data, self._asked)
        self._stop_giving_up()
        if found.damaged:
            # Not before the unit's worst answer time: what looked like its answer may have been noise.
            wait_s = max(self._quiet_s, self._patient_until_s - self._heard_s)
            self._giving_up = asyncio.get_running_loop().call_later(wait_s, self._give_up)
            return b""
        return found.answer or b""

    def _give_up(self) -> None:
        """A damaged answer and silence: there is nothing to wait for."""
        self._giving_up = None
        waiting = None if self._client is None else self._client.ctx.response_future
        if waiting is not None and not waiting.done():
            waiting.set_exception(_DamagedError("wrong CRC"))

    def _stop_giving_up(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None


def _where(line: PolledLine) -> str:
    return line.port if isinstance(line, ModbusRtuLine) else f"{line.host}:{line.port}"


def _tcp_answer(heard: bytes, transaction: int, unit_id: int) -> bytes | None:
    """The answer of this transaction and unit without its header; None while there is none.

    0-1 transaction  2-3 protocol (0)  4-5 length of the rest  6 unit  7.. function and data
    """
    at = 0
    while at + _TCP_HEAD < len(heard):
        length = int.from_bytes(heard[at + 4 : at + 6], "big")
        if heard[at + 2 : at + 4] != b"\0\0" or length < 2:
            return None
        end = at + 6 + length
        if end <= len(heard) and int.from_bytes(heard[at : at + 2], "big") == transaction and heard[at + 6] == unit_id:
            return heard[at + _TCP_HEAD : end]
        at = end
    return None
