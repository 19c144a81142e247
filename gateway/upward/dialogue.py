"""The dialogue with a centre over one connection: what is under way, what is answered. Pure.

Frames of ours are under way until the centre confirms them; a few at a time, so that a lost one holds nothing up, and
a fire always goes out at once. An exchange is begun again when its time is over, and after the last repeat the
connection counts as bad.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from contract.gb26875 import frame as f
from contract.gb26875.codec import Message, decode_frame
from contract.gb26875.frame import Frame, answer_to, is_stale_confirm, write_frame
from contract.gb26875.stream import FrameStream
from contract.gb26875.tables import Tables
from contract.gb26875.time_tag import tag_from_ms
from contract.gb26875.units import MAX_UNIT_BYTES
from gateway.ledger.records import UpwardRow
from gateway.upward.settings import Centre
from gateway.upward.translate import Urgency, unit_of_items

WINDOW = 8
"""Frames under way at once."""
FIRE_WINDOW = 32
"""The same, of fires: they do not wait for others."""
MOST_OBJECTS = {1: 102, 2: 22, 3: 63, 4: 102, 21: 1, 24: 127}
"""Objects in one unit, as the standard has them."""


class Done(NamedTuple):
    """An exchange the centre has ended."""

    ids: list[int]
    verdict: Literal["confirmed", "denied"]
    took_s: float


class Asked(NamedTuple):
    """Something the centre wants of us."""

    message: Message
    raw: bytes


class _Flight(NamedTuple):
    ids: list[int]
    raw: bytes
    urgency: int
    first_s: float
    sent_s: float
    tries: int


class Dialogue:
    """One connection.

    Args:
        centre: its settings. tables: codes. now_ms: wall clock, for send times.
    """

    def __init__(self, centre: Centre, tables: Tables, now_ms: Callable[[], int]) -> None:
        self._centre = centre
        self._tables = tables
        self._now_ms = now_ms
        self._stream = FrameStream()
        self._serial = 0
        self._flights: dict[int, _Flight] = {}
        self.is_broken = False
        """The last repeat was not answered: to be made anew."""

    @property
    def under_way(self) -> set[int]:
        """Ids of objects that are under way."""
        return {number for flight in self._flights.values() for number in flight.ids}

    def room(self) -> tuple[int, int]:
        """How many frames with a fire, and how many others, may be sent now."""
        fires = sum(flight.urgency == Urgency.FIRE for flight in self._flights.values())
        return FIRE_WINDOW - fires, WINDOW - len(self._flights) + fires

    def send(self, waiting: list[UpwardRow], now_s: float) -> list[bytes]:
        """Frames for as many of these as may go now, in their order; equal types share a frame."""
        frames = []
        at = 0
        while at < len(waiting):
            first = waiting[at]
            fire_room, room = self.room()
            if (fire_room if first.urgency == Urgency.FIRE else room) <= 0:
                break
            together = [first]
            most = 1 if first.urgency == Urgency.FIRE else MOST_OBJECTS.get(first.unit_type, 1)
            size = 2 + len(first.body)
            for other in waiting[at + 1 :]:
                size += len(other.body)
                is_alike = (other.unit_type, other.urgency) == (first.unit_type, first.urgency)
                if len(together) >= most or not is_alike or size > MAX_UNIT_BYTES:
                    break
                together.append(other)
            at += len(together)
            frames.append(self._launch(first, together, now_s))
        return frames

    def heartbeat(self) -> bytes:
        """An empty data frame, as practice has it; its confirm is not waited for."""
        return write_frame(self._frame(f.SEND_DATA, b"", self._next()))

    def due(self, now_s: float) -> list[bytes]:
        """Frames to send again."""
        again = []
        for serial, flight in list(self._flights.items()):
            is_fire = flight.urgency == Urgency.FIRE
            wait_s = self._centre.fire_timeout_s if is_fire else self._centre.timeout_s
            if now_s - flight.sent_s < wait_s:
                continue
            if flight.tries >= self._centre.retries and now_s - flight.first_s >= self._centre.timeout_s:
                self.is_broken = True
            self._flights[serial] = flight._replace(sent_s=now_s, tries=flight.tries + 1)
            again.append(flight.raw)
        return again

    def next_due_s(self) -> float | None:
        """When `due` has something to do; None: nothing is under way."""
        waits = [
            flight.sent_s + (self._centre.fire_timeout_s if flight.urgency == Urgency.FIRE else self._centre.timeout_s)
            for flight in self._flights.values()
        ]
        return min(waits, default=None)

    def take(self, data: bytes, now_s: float) -> tuple[list[Done], list[Asked], list[bytes]]:
        """Bytes of the centre: exchanges it ended, what it wants, answers owed at once (denies of damaged frames)."""
        done: list[Done] = []
        asked: list[Asked] = []
        answers: list[bytes] = []
        for found in self._stream.feed(data, now_s) + self._stream.expire(now_s):
            frame = found.frame
            if frame is None or (not found.is_good and not is_stale_confirm(found.raw)):
                if frame is not None and frame.command in (f.CONTROL, f.REQUEST):
                    answers.append(self.answer(frame, f.DENY))
                continue
            if frame.command in (f.CONFIRM, f.DENY):
                flight = self._flights.pop(frame.serial, None)
                if flight is not None and flight.ids:
                    verdict: Literal["confirmed", "denied"] = "confirmed" if frame.command == f.CONFIRM else "denied"
                    done.append(Done(flight.ids, verdict, now_s - flight.first_s))
            elif frame.command in (f.CONTROL, f.REQUEST):
                asked.append(Asked(decode_frame(frame, self._tables), found.raw))
            else:
                answers.append(self.answer(frame, f.DENY))
        return done, asked, answers

    def answer(self, frame: Frame, command: int, unit: bytes = b"") -> bytes:
        """The answer to a frame of the centre."""
        return write_frame(answer_to(frame, command, tag_from_ms(self._now_ms()), unit))

    def _launch(self, first: UpwardRow, together: list[UpwardRow], now_s: float) -> bytes:
        serial = self._next()
        raw = write_frame(
            self._frame(f.SEND_DATA, unit_of_items(first.unit_type, [one.body for one in together]), serial)
        )
        self._flights[serial] = _Flight([one.id for one in together], raw, first.urgency, now_s, now_s, 0)
        return raw

    def _frame(self, command: int, unit: bytes, serial: int) -> Frame:
        centre = self._centre
        return Frame(
            serial, 1, centre.user_version, tag_from_ms(self._now_ms()), bytes.fromhex(centre.address),
            bytes.fromhex(centre.centre_address), command, unit,
        )  # fmt: skip

    def _next(self) -> int:
        serial = self._serial
        # A number that is still under way is not given twice.
        while True:
            self._serial = (self._serial + 1) & 0xFFFF
            if self._serial not in self._flights:
                return serial
