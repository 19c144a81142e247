"""Modbus RTU bytes as the field tools see them: what was heard around one request, told apart. Pure.

    request   0 unit  1 function 1-4  2-3 first register  4-5 count           6-7 CRC-16
    answer    0 unit  1 function      2 byte count        3.. data            last two CRC-16
    exception 0 unit  1 function+128  2 code                                  3-4 CRC-16

Source: MODBUS over serial line V1.02, 2.5.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_agents.bus.rtu import READS, REQUEST_BYTES, crc_of
from edge_agents.drivers.modbus import Block
from edge_agents.field.capacity import answer_chars

Kind = Literal["echo", "answer", "exception", "request", "other", "damaged", "noise"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of bytes of one kind.

    kind: `echo` of our own request; `answer` or `exception` of the unit asked, as asked; `request` of another master;
    `other`: a sound frame nobody here asked for; `damaged`: begins like the answer, but the CRC is wrong; `noise`.
    start, end: byte positions. unit, function: of a sound frame, else 0.
    """

    kind: Kind
    start: int
    end: int
    unit: int = 0
    function: int = 0


def read_request(unit_id: int, block: Block) -> bytes:
    """The request for a block. Raises ValueError for anything that is not a read of one unit."""
    if block.function not in READS or not 1 <= unit_id <= 247:
        raise ValueError(f"got function {block.function} to unit {unit_id}, want 1..4 to 1..247.")
    body = bytes((unit_id, block.function)) + block.address.to_bytes(2, "big") + block.size.to_bytes(2, "big")
    return body + crc_of(body).to_bytes(2, "little")


def tell_apart(data: bytes, unit_id: int = 0, block: Block | None = None) -> list[Piece]:
    """What was heard, in order.

    Args:
        data: all bytes.
        unit_id, block: what was asked; nothing when the line was only listened to.
    """
    request = read_request(unit_id, block) if block is not None else b""
    pieces: list[Piece] = []
    rest, at = 0, 0
    while at < len(data):
        piece = _piece_at(data, at, request, unit_id, block)
        if piece is None:
            at += 1
            continue
        if piece.kind == "echo":
            request = b""  # a second one is another master's
        if at > rest:
            pieces.append(_unsound(data, rest, at, unit_id, block))
        pieces.append(piece)
        rest = at = piece.end
    if rest < len(data):
        pieces.append(_unsound(data, rest, len(data), unit_id, block))
    return pieces


def is_answered(data: bytes, unit_id: int, block: Block) -> bool:
    """Whether a sound answer or exception of the unit asked is among the bytes."""
    return any(piece.kind in ("answer", "exception") for piece in tell_apart(data, unit_id, block))


def _piece_at(data: bytes, at: int, request: bytes, unit_id: int, block: Block | None) -> Piece | None:
    """The sound frame that begins here; None when none does."""
    if request and data.startswith(request, at):
        return Piece("echo", at, at + len(request), unit_id, request[1])
    if len(data) - at < 5 or not 1 <= data[at] <= 247:
        return None
    unit, function = data[at], data[at + 1]
    for length, is_request in _lengths(data, at, function):
        frame = data[at : at + length]
        if len(frame) < length or crc_of(frame) != 0:
            continue
        return Piece(_kind(frame, is_request, unit_id, block), at, at + length, unit, function)
    return None


def _lengths(data: bytes, at: int, function: int) -> list[tuple[int, bool]]:
    """(length, whether it is then a request) a frame that begins here may have, longest belief first."""
    if function & 0x80:
        return [(5, False)]
    if function in READS:
        return [(5 + data[at + 2], False), (REQUEST_BYTES, True)]
    if function in (5, 6):
        return [(REQUEST_BYTES, True)]
    if function in (15, 16):
        return [(9 + data[at + 6], True) if len(data) > at + 6 else (8, False), (8, False)]
    return []


def _kind(frame: bytes, is_request: bool, unit_id: int, block: Block | None) -> Kind:
    if is_request:
        return "request"
    if block is None or frame[0] != unit_id:
        return "other"
    if frame[1] == block.function | 0x80:
        return "exception"
    if frame[1] == block.function and len(frame) == answer_chars(block):
        return "answer"
    return "other"


def _unsound(data: bytes, start: int, end: int, unit_id: int, block: Block | None) -> Piece:
    """Bytes that make no frame: the answer, damaged, when the greater part of it is there; else noise."""
    if block is not None:
        head = (bytes((unit_id, block.function)), bytes((unit_id, block.function | 0x80)))
        enough = min(5, answer_chars(block))
        if any(mark in data[start:end] for mark in head) and end - start >= enough:
            return Piece("damaged", start, end)
        if abs(end - start - answer_chars(block)) <= 2:
            return Piece("damaged", start, end)  # its first bytes are what was hit
    return Piece("noise", start, end)
