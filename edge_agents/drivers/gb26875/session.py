"""The dialogue with one transmitter over one connection (GB/T 26875.3-2011): answers owed, questions asked. Pure.

    frame in ──> what it says (`Heard`) and its answer: confirm, deny, or the answer of a heartbeat
    ask      ──> a question or order of ours with a serial number of its own; sent again until answered, then given up

An answer to data is handed out with the message; the caller sends it once what the message says is on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from contract.errors import MessageError
from contract.gb26875 import frame as f
from contract.gb26875.codec import Message, decode_frame, encode_unit
from contract.gb26875.frame import Frame, answer_to, is_stale_confirm, write_frame
from contract.gb26875.stream import Found, FrameStream
from contract.gb26875.tables import Tables
from contract.gb26875.time_tag import TimeTag, tag_from_ms
from contract.gb26875.units import LAYOUTS_2011, READ, Unit

TIMEOUT_S = 10.0
"""An exchange that is not answered so long is begun again; the standard wants at most 10 s."""
RETRIES = 3
"""How often, as the standard recommends."""
MOST_ASKED = 32
"""Questions that may wait for their answers; more are not asked."""
MAY_SEND = frozenset({61, 62, 63, 81, 88, 90, 91})
"""Types of our own questions (61..88), the clock (90) and the duty check (91). Initialising (89) is never sent."""
CENTRE = bytes(6)


class Heard(NamedTuple):
    """A message of the transmitter.

    message: None for bytes that are no frame. source: six bytes that name the sender. answer: bytes owed, None when
    nothing is. kind: `data` (2), `response` (5, to a question of ours), `heartbeat`, `answer` (3 or 6 to one of ours),
    `refused` (denied) or `other`. asked: type of the question it answers. raw: its bytes.
    """

    kind: Literal["data", "response", "heartbeat", "answer", "refused", "other"]
    source: bytes
    message: Message | None
    answer: bytes | None
    raw: bytes
    why: str = ""
    asked: int | None = None


class Unanswered(NamedTuple):
    """A question that was given up after every retry."""

    source: bytes
    asked: int


class _Pending(NamedTuple):
    source: bytes
    asked: int
    raw: bytes
    sent_s: float
    tries: int


class Session:
    """One connection.

    Args:
        tables: codes, with the dialects of this line.
        now_ms: wall clock, for the send time of our frames.
    """

    def __init__(self, tables: Tables, now_ms: Callable[[], int]) -> None:
        self._tables = tables
        self._now_ms = now_ms
        self._stream = FrameStream()
        self._serial = 0
        self._versions: dict[bytes, tuple[int, int]] = {}
        self._pending: dict[int, _Pending] = {}

    def feed(self, data: bytes, now_s: float) -> list[Heard]:
        """What these bytes complete, in order."""
        return [self._hear(found) for found in self._stream.feed(data, now_s)]

    def expire(self, now_s: float) -> list[Heard]:
        """What an unfinished frame held back."""
        return [self._hear(found) for found in self._stream.expire(now_s)] if self._stream.pending else []

    def finish(self) -> list[Heard]:
        """What is left at the end of the connection, or of a datagram."""
        return [self._hear(found) for found in self._stream.finish()]

    def ask(self, source: bytes, command: int, unit: Unit, now_s: float) -> bytes | None:
        """A frame to send; None when too much is waiting for its answer already.

        Raises:
            MessageError: a type that we never send, or one that cannot be written.
        """
        if unit.type not in MAY_SEND or command not in LAYOUTS_2011[unit.type].commands:
            raise MessageError("forbidden", f"got type {unit.type} with command {command}, want one of our list")
        if len(self._pending) >= MOST_ASKED:
            return None
        serial, self._serial = self._serial, (self._serial + 1) & 0xFFFF
        main, user = self._versions.get(source, (1, 1))
        raw = write_frame(
            Frame(serial, main, user, tag_from_ms(self._now_ms()), CENTRE, source, command, encode_unit(unit))
        )
        self._pending[serial] = _Pending(source, unit.type, raw, now_s, 0)
        return raw

    def due(self, now_s: float) -> tuple[list[bytes], list[Unanswered]]:
        """Frames to send again, and questions that are given up now."""
        again, over = [], []
        for serial, waiting in list(self._pending.items()):
            if now_s - waiting.sent_s < TIMEOUT_S:
                continue
            if waiting.tries >= RETRIES:
                del self._pending[serial]
                over.append(Unanswered(waiting.source, waiting.asked))
            else:
                self._pending[serial] = waiting._replace(sent_s=now_s, tries=waiting.tries + 1)
                again.append(waiting.raw)
        return again, over

    def _hear(self, found: Found) -> Heard:
        frame = found.frame
        source = _source(frame) if frame is not None else CENTRE
        if frame is None or not found.is_good:
            why = "; ".join(problem.text for problem in found.problems)
            if frame is None or frame.command in (f.CONFIRM, f.DENY) or is_stale_confirm(found.raw):
                return Heard("refused", source, None, None, found.raw, why)
            return Heard("refused", source, None, self._answer(frame, f.DENY), found.raw, why)
        message = decode_frame(frame, self._tables)
        self._versions[source] = (frame.main_version, frame.user_version)
        return self._place(message, source, found.raw)

    def _place(self, message: Message, source: bytes, raw: bytes) -> Heard:
        frame = message.frame
        beat = self._tables.heartbeat(frame)
        if beat is not None:
            answer = self._answer(frame, beat.answer_command, bytes.fromhex(beat.answer_unit))
            return Heard("heartbeat", source, message, answer, raw)
        if message.deny is not None:
            return Heard("refused", source, message, self._answer(frame, f.DENY), raw, message.deny)
        if frame.command in (f.CONFIRM, f.DENY, f.RESPONSE):
            waiting = self._pending.pop(frame.serial, None)
            asked = waiting.asked if waiting is not None else None
            if frame.command == f.RESPONSE:
                return Heard("response", source, message, None, raw, asked=asked)
            denied = "denied" if frame.command == f.DENY else ""
            return Heard("answer", source, message, None, raw, denied, asked)
        if frame.command == f.SEND_DATA:
            return Heard("data", source, message, self._answer(frame, f.CONFIRM), raw)
        if frame.command >= 128:  # private commands: told, and confirmed so that the sender goes on
            return Heard("other", source, message, self._answer(frame, f.CONFIRM), raw)
        # Control and requests come from a centre, never from a transmitter.
        return Heard(
            "refused", source, message, self._answer(frame, f.DENY), raw, f"command {frame.command} to a centre"
        )

    def _answer(self, frame: Frame, command: int, unit: bytes = b"") -> bytes:
        return write_frame(answer_to(frame, command, self._sent(), unit))

    def _sent(self) -> TimeTag:
        return tag_from_ms(self._now_ms())


def _source(frame: Frame) -> bytes:
    """Who sent it: its source address; some leave that zero and put their own into the other field."""
    return frame.src if any(frame.src) else frame.dst


def is_question(unit_type: int) -> bool:
    """Whether our frame of this type is a read (answered by 5) and no order (answered by 3)."""
    return LAYOUTS_2011[unit_type].commands == READ
