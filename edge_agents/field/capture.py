"""Reading all registers of a unit, through the same guarded connection the agent uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from contract.errors import DeviceError
from contract.site import DeviceEntry, ModbusRtuLine
from edge_agents.bus.port import Port
from edge_agents.drivers.modbus import Block
from edge_agents.field.capacity import Speed

ANSWER_S = 1.0
"""Worst answer time believed of a unit nothing is known of."""
TRIES = 3
_BLOCK = 16


def line_for(port: str, speed: Speed, timeout_s: float) -> ModbusRtuLine:
    """The line record a connection is made from; it names no devices of a site."""
    device = DeviceEntry(id="unit", profile="transmitter-pressure", unit_id=1)
    return ModbusRtuLine.model_validate(
        {
            "id": "field",
            "kind": "modbus_rtu",
            "port": port,
            "baud": speed.baud,
            "parity": speed.parity,
            "stop_bits": speed.stop_bits,
            "timeout_s": timeout_s,
            "devices": [device],
        }
    )


async def read_registers(
    port: Port,
    unit_id: int,
    registers: range,
    functions: Iterable[int] = (3, 4),
    progress: Callable[[float], None] = lambda _share: None,
) -> dict[tuple[int, int], int]:
    """(function, register) -> word, of every register the unit gives.

    Raises:
        DeviceError: `no_answer`, `line`, ...: nothing could be read at all.
    """
    words: dict[tuple[int, int], int] = {}
    failure: DeviceError | None = None
    functions = tuple(functions)
    for n, function in enumerate(functions):
        for first in range(registers.start, registers.stop, _BLOCK):
            block = Block(function, first, min(_BLOCK, registers.stop - first))
            try:
                await _read_into(words, port, unit_id, block)
            except DeviceError as exc:
                failure = exc
                if exc.cause == "line":
                    raise
                # It does not know this function, or says nothing about what it does not have.
                if exc.cause == "exception_1" or not words:
                    break
            progress((n + (first - registers.start) / len(registers)) / len(functions))
    if not words and failure is not None:
        raise failure
    return words


async def read_block(port: Port, unit_id: int, block: Block) -> list[int] | None:
    """The words of a block, None when the unit refuses it. Raises DeviceError when it does not answer."""
    for attempt in range(TRIES):
        try:
            return await port.read(unit_id, block, ANSWER_S)
        except DeviceError as exc:
            if exc.cause == "exception_1":
                raise
            if exc.cause.startswith("exception_"):
                return None
            if exc.cause == "line" or attempt == TRIES - 1:
                raise
    return None


async def _read_into(words: dict[tuple[int, int], int], port: Port, unit_id: int, block: Block) -> None:
    """Read a block; one that is refused is read in halves, down to single registers."""
    read = await read_block(port, unit_id, block)
    if read is not None:
        words.update({(block.function, block.address + n): word for n, word in enumerate(read)})
    elif block.size > 1:
        half = block.size // 2
        await _read_into(words, port, unit_id, Block(block.function, block.address, half))
        await _read_into(words, port, unit_id, Block(block.function, block.address + half, block.size - half))
