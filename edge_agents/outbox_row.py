"""A row of the outbox: the sealed batches it stands for, its checksum, and gaps. Pure."""

from __future__ import annotations

import zlib
from typing import NamedTuple

import msgspec

from contract.messages import Gap, Lane

MAX_GAPS = 200
"""Gaps in one row: about 24 KiB of a message."""
MAX_GAP_READINGS = 1_000_000
"""Most readings one gap may count (contract.messages.Gap)."""
_CRC = 9
"""Place of the checksum in a row of the file; what later versions added follows it."""
_gaps = msgspec.json.Decoder(list[Gap])


class Row(NamedTuple):
    """One held row: the sealed batches first_seq..seq of a lane. `readings`, first_ms and last_ms describe `body`.

    boot, shift_ms: the clock its readings were timed by (clock.Stamp).
    """

    lane: Lane
    seq: int
    first_seq: int
    sealed_ms: int
    readings: int
    first_ms: int
    last_ms: int
    body: bytes
    gaps: bytes
    boot: str = ""
    shift_ms: int = 0

    @property
    def crc(self) -> int:
        """Checksum over everything else."""
        head = (
            f"{self.lane} {self.seq} {self.first_seq} {self.sealed_ms} {self.readings} {self.first_ms} {self.last_ms} "
        )
        if self.boot:
            head += f"{self.boot} {self.shift_ms} "
        return zlib.crc32(self.gaps, zlib.crc32(self.body, zlib.crc32(head.encode())))

    def gap_list(self) -> list[Gap]:
        """The gaps, decoded."""
        return _gaps.decode(self.gaps)


class Loss(NamedTuple):
    """Readings that were given up before they could be sealed."""

    readings: int
    first_ms: int
    last_ms: int
    reason: str


class Held(NamedTuple):
    """What a lane holds: rows, lowest seq still held (0: none), highest seq ever sealed, time of the oldest seal."""

    rows: int
    oldest: int
    newest: int
    oldest_sealed_ms: int


class Fill(NamedTuple):
    """What the whole outbox holds, and the bytes in use of its file."""

    lanes: dict[Lane, Held]
    used_bytes: int


def row_of(entry: tuple[object, ...]) -> Row:
    """A row as the file has it; of a file of version 0.1 its clock is not known."""
    return Row(*entry[:_CRC], *entry[_CRC + 1 :])  # type: ignore[arg-type]  # SQLite hands back any type; the CRC tells


def is_sound(entry: tuple[object, ...]) -> bool:
    """Whether a row as read agrees with its checksum."""
    try:
        return row_of(entry).crc == entry[_CRC]
    except (TypeError, ValueError, AttributeError):
        return False


def merge_gaps(gaps: list[Gap]) -> list[Gap]:
    """Neighbouring gaps of one reason as one; counts add up, `seq` is the last."""
    merged: list[Gap] = []
    for gap in gaps:
        last = merged[-1] if merged else None
        if (
            last is not None
            and (last.reason == gap.reason or len(merged) >= MAX_GAPS)
            and last.readings + gap.readings <= MAX_GAP_READINGS
        ):
            merged[-1] = Gap(
                seq=gap.seq,
                readings=last.readings + gap.readings,
                first_ms=min(last.first_ms, gap.first_ms),
                last_ms=max(last.last_ms, gap.last_ms),
                reason=last.reason,
            )
        else:
            merged.append(gap)
    return merged
