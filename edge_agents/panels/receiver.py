"""What every panel receiver is: bytes in, frames and noise out, and a list of what it may ever send.

    feed(bytes) -> [Frame | Noise, ...]      frames whole, checked, in order; noise is kept apart, not lost
    flush()     -> [Frame | Noise, ...]      the line has been quiet: what was begun will not be finished
    due()       -> [Transmission, ...]       polls and acknowledgements, only where the protocol wants them

A receiver looks for a frame at every byte: after noise, in glued and in split input it finds the next good one.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from contract.panel import PanelEvent

MAX_NOISE = 256
"""Bytes kept of one run of noise."""
REPEATS_KEPT = 64


class Noise(NamedTuple):
    """Bytes that are no frame. data: the first MAX_NOISE of them; size: how many; reason: a stable word."""

    data: bytes
    size: int
    reason: str


class Frame(NamedTuple):
    """One good frame. fields: what stands in it, by name, for people and tests. events: none when idle or repeated."""

    raw: bytes
    fields: dict[str, Any]
    events: list[PanelEvent]


class Transmission(NamedTuple):
    """Bytes to send. mark: parity of the ninth bit on lines that switch it (True mark, False space)."""

    data: bytes
    mark: bool | None = None
    must_be_durable: bool = False
    """Acknowledges an event: sent only after that event is on disk."""


class Taken(NamedTuple):
    """What stands at a place in the buffer: `size` bytes that are a frame, or (frame None) that are none."""

    size: int
    frame: Frame | None = None
    reason: str = "no_frame"


class Receiver:
    """Base of all. A receiver that sends nothing needs no more than `feed` and `flush`."""

    ALLOWED: ClassVar[frozenset[bytes]] = frozenset()
    """Everything this protocol may ever send."""
    quiet_ms: ClassVar[int] = 300
    """Silence after which a frame begun counts as cut off."""
    tick_ms: ClassVar[int] = 1000
    """How often `due` wants to be asked."""

    def sibling(self) -> Receiver:
        """A receiver for a further connection of the same panel; itself where there can be only one."""
        return self

    def permits(self, data: bytes) -> bool:
        """Whether these bytes may be sent; asked at the one place that writes."""
        return data in self.ALLOWED

    def feed(self, data: bytes, now_ms: int) -> list[Frame | Noise]:
        """What these bytes complete."""
        raise NotImplementedError

    def flush(self, now_ms: int) -> list[Frame | Noise]:
        """What stands unfinished, as far as it is anything."""
        raise NotImplementedError

    def due(self, now_ms: int) -> list[Transmission]:  # noqa: ARG002  # the same call for every receiver
        """What to send now."""
        return []


class FrameReceiver(Receiver):
    """A receiver of binary frames: a subclass says what stands at a place, this class walks.

    `_take(buffer, at, now_ms)` returns what stands at `at`, or None when more bytes are needed to tell.
    """

    longest: ClassVar[int] = 64
    """No frame is longer; a beginning that is cannot be one."""
    idle: ClassVar[frozenset[int]] = frozenset()
    """Filler between frames, no noise."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._is_after_noise = False
        """Noise came since the last good frame or pause: what has no checksum is not believed here."""

    def feed(self, data: bytes, now_ms: int) -> list[Frame | Noise]:
        """The frames that these bytes complete, and the noise before them."""
        self._buffer += data
        return self._walk(now_ms, is_closing=False)

    def flush(self, now_ms: int) -> list[Frame | Noise]:
        """Look behind a beginning that was not finished."""
        items = self._walk(now_ms, is_closing=True)
        self._is_after_noise = False
        return items

    def _take(self, buffer: bytes, at: int, now_ms: int) -> Taken | None:
        raise NotImplementedError

    def _walk(self, now_ms: int, *, is_closing: bool) -> list[Frame | Noise]:
        buffer, items, at = bytes(self._buffer), list[Frame | Noise](), 0
        noise_at, reason = 0, ""
        while at < len(buffer):
            taken = self._take(buffer, at, now_ms)
            if taken is None:
                if not is_closing and len(buffer) - at < self.longest:
                    break
                taken = Taken(1, None, "cut_off")
            if taken.frame is not None:
                self._add_noise(items, buffer[noise_at:at], reason)
                items.append(taken.frame)
                noise_at, reason = at + taken.size, ""
                self._is_after_noise = False
            elif not reason and buffer[at] not in self.idle:
                reason = taken.reason
                self._is_after_noise = True
            at += taken.size
        self._add_noise(items, buffer[noise_at:at], reason)
        del self._buffer[:at]
        return items

    def _add_noise(self, items: list[Frame | Noise], data: bytes, reason: str) -> None:
        if reason:
            items.append(Noise(data[:MAX_NOISE], len(data), reason))


class Repeats:
    """Tells the copies of a frame from a new one: at most `copies` equal frames within `within_ms` are one event."""

    def __init__(self, copies: int, within_ms: int) -> None:
        self._copies = copies
        self._within_ms = within_ms
        self._seen: dict[bytes, tuple[int, int]] = {}

    def is_repeat(self, key: bytes, now_ms: int) -> bool:
        """Whether this is a further copy of a frame seen just now."""
        first_ms, count = self._seen.get(key, (0, 0))
        if 0 < count < self._copies and 0 <= now_ms - first_ms <= self._within_ms:
            self._seen[key] = (first_ms, count + 1)
            return True
        self._seen.pop(key, None)
        self._seen[key] = (now_ms, 1)
        if len(self._seen) > REPEATS_KEPT:
            del self._seen[next(iter(self._seen))]
        return False


def crc16(data: bytes, start: int = 0xFFFF) -> int:
    """CRC-16 with polynomial 0xA001 reflected: start 0xFFFF is CRC-16/MODBUS, start 0 is CRC-16/ARC."""
    crc = start
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


def _entry(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (0xA001 if value & 1 else 0)
    return value


_TABLE = tuple(_entry(value) for value in range(256))


def quwei_text(data: bytes, *, is_bcd: bool) -> str:
    """Text of pairs of row and column (区位码): `00 xx` is ASCII xx; FF FF and 00 00 are nothing.

    is_bcd: row and column are written in BCD (54 48 = row 54, column 48), else in binary.
    """
    made = []
    for row, column in zip(data[::2], data[1::2], strict=False):
        if row in (0x00, 0xFF):
            made.append(chr(column) if row == 0 and 0x20 <= column < 0x7F else "")
            continue
        if is_bcd:
            row, column = bcd(row), bcd(column)
        if 1 <= row <= 94 and 1 <= column <= 94:
            made.append(bytes((row + 0xA0, column + 0xA0)).decode("gb2312", "replace"))
        elif not is_bcd and row > 0xA0 and column > 0xA0:
            made.append(bytes((row, column)).decode("gb2312", "replace"))
        else:
            made.append("\ufffd")
    return "".join(made).strip()


def bcd(byte: int) -> int:
    """The number of two decimal digits; a digit above 9 gives -1."""
    high, low = byte >> 4, byte & 0x0F
    return high * 10 + low if high < 10 and low < 10 else -1
