"""Messages on the wire: JSON, decoded into typed structs, at most 64 KiB each.

Rules that hold on both sides (docs/wire.md shows an example of each):

* A batch is sealed once: (agent, epoch, lane, seq) names its readings for ever. Resending keeps the name.
* `epoch` names one life of an agent's outbox. A new outbox file starts a new epoch at seq 1.
* The gateway takes batches of a lane strictly in order and answers with the highest seq it has
  committed. The agent deletes nothing before that answer; what the broker acknowledged proves nothing.
* When the agent had to give readings up, a batch says so: `covers_from..seq` names the sealed batches it
  stands for and `gaps` says what was in them.
* `oldest` is the lowest seq the agent still holds, so a gateway restored from a backup knows what can
  never arrive any more.
"""

from __future__ import annotations

import hashlib
import math
from typing import Annotated, Literal, TypeVar

import msgspec

from contract import quality as q
from contract.errors import MessageError
from contract.topics import is_ident

MAX_BYTES = 64 * 1024
"""Largest payload either side sends or takes."""

Lane = Literal["alarm", "telemetry"]
LANES: tuple[Lane, Lane] = ("alarm", "telemetry")
Value = float | bool | str | None
"""A number (JSON integers arrive as float), a truth, a state word or text, or None for no value."""

_Seq = Annotated[int, msgspec.Meta(ge=1, le=2**62)]
_Ms = Annotated[int, msgspec.Meta(ge=0, le=9_000_000_000_000)]  # to the year 2255: InfluxDB counts ns
_Step = Annotated[int, msgspec.Meta(ge=-9_000_000_000_000, le=9_000_000_000_000)]
_Boot = Annotated[str, msgspec.Meta(max_length=64)]
_Text = Annotated[str, msgspec.Meta(max_length=2000)]
_Point = Annotated[str, msgspec.Meta(min_length=3, max_length=100)]


class Reading(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One value of one point.

    point: `device/point` within the batch's site. observed_ms: when it was measured, ms UTC on the agent's
    clock (which does not step while the agent runs), unique for a point within an epoch. value: number, truth, state
    word or text; None when there is none.
    """

    point: _Point
    observed_ms: _Ms
    value: float | bool | _Text | None
    quality: str = q.GOOD


class Gap(msgspec.Struct, frozen=True):
    """Readings of sealed batches that will never arrive. Counts are exact."""

    seq: _Seq
    readings: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
    first_ms: _Ms
    last_ms: _Ms
    reason: Annotated[str, msgspec.Meta(max_length=48)]


class Batch(msgspec.Struct, kw_only=True):
    """What an agent sends on its alarm or telemetry topic.

    sent_ms: the agent's wall clock. boot, steady_ms: which boot of its machine, and ms since it, at the same instant;
    empty from an agent that does not say. stepped_ms: how far the wall clock was stepped from the clock the readings
    were timed by to now: observed + stepped - (offset of the wall clock now) is their time on the gateway's clock.
    clock_lost: they were timed in an earlier boot, so that nobody knows.
    """

    site: str
    agent: str
    epoch: str
    lane: Lane
    seq: _Seq
    oldest: _Seq
    sent_ms: _Ms
    readings: list[Reading]
    covers_from: _Seq | None = None
    gaps: list[Gap] = []
    boot: _Boot = ""
    steady_ms: _Ms = 0
    stepped_ms: _Step = 0
    clock_lost: bool = False

    @property
    def first_seq(self) -> int:
        """The first sealed batch this one stands for; `seq` itself unless batches were given up."""
        return self.seq if self.covers_from is None else self.covers_from


class SealedBatch(msgspec.Struct, kw_only=True):
    """`Batch` as the agent writes it: the readings were encoded when they were sealed."""

    site: str
    agent: str
    epoch: str
    lane: Lane
    seq: _Seq
    oldest: _Seq
    sent_ms: _Ms
    readings: msgspec.Raw
    covers_from: _Seq | None = None
    gaps: list[Gap] = []
    boot: _Boot = ""
    steady_ms: _Ms = 0
    stepped_ms: _Step = 0
    clock_lost: bool = False


class Receipt(msgspec.Struct, kw_only=True):
    """What the gateway has committed, cumulative for each lane.

    rewind: the gateway saw a hole; send again from the seq after the watermark at once.
    refused: digests (see `digest`) of payloads the gateway put into quarantine; the agent keeps such a batch
    aside and sends a gap in its place, so that one unreadable batch never stops a lane.
    """

    epoch: str
    alarm: int = 0
    telemetry: int = 0
    rewind: bool = False
    refused: list[str] = []


class OutboxState(msgspec.Struct, frozen=True):
    """How much an agent still holds."""

    alarm: int = 0
    telemetry: int = 0
    bytes: int = 0
    unacknowledged_s: float = 0.0


class AgentState(msgspec.Struct, kw_only=True):
    """Retained on the state topic, sent again as a heartbeat; the last will is the same with online false.

    boot, steady_ms: as in a batch. stepped_ms: the latest step of the wall clock within the last hour; 0 without one.
    """

    site: str
    agent: str
    epoch: str
    online: bool
    sent_ms: _Ms
    started_ms: _Ms = 0
    heartbeat_s: float = 10.0
    version: str = ""
    config_hash: str = ""
    outbox: OutboxState = OutboxState()
    boot: _Boot = ""
    steady_ms: _Ms = 0
    stepped_ms: _Step = 0


class Request(msgspec.Struct, kw_only=True):
    """Gateway to agent. `poll` asks for a read of a device now, before everything that is only due.

    `prove` trips the agent's virtual detector: it answers with the reading `agent-<id>/proof` = token, quality test,
    by its alarm lane, as a device's alarm would go. `duty` asks the person at a transmitter to answer within so many
    `minutes` (GB/T 26875.3, type 91); the answer is the reading `device/duty_answer`.
    """

    kind: Literal["poll", "prove", "duty"]
    device: str = ""
    token: Annotated[str, msgspec.Meta(max_length=64)] = ""
    minutes: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0


M = TypeVar("M")
_encode = msgspec.json.Encoder().encode
_batch = msgspec.json.Decoder(Batch)
_receipt = msgspec.json.Decoder(Receipt)
_state = msgspec.json.Decoder(AgentState)
_request = msgspec.json.Decoder(Request)


def encode(message: SealedBatch | Batch | Receipt | AgentState | Request) -> bytes:
    """The message as JSON bytes.

    Raises:
        MessageError: reason `oversized`, when it would pass MAX_BYTES.
    """
    payload = _encode(message)
    if len(payload) > MAX_BYTES:
        raise MessageError("oversized", f"got {len(payload)} bytes, want at most {MAX_BYTES}")
    return payload


def encode_readings(readings: list[Reading]) -> bytes:
    """The readings as they stand inside a sealed batch. NaN and infinity never cross the wire.

    Raises:
        MessageError: reason `value`, for a value that is not finite.
    """
    for reading in readings:
        if isinstance(reading.value, float) and not math.isfinite(reading.value):
            raise MessageError("value", f"{reading.point}: got {reading.value}, want a finite number or None")
    return _encode(readings)


def digest(payload: bytes) -> str:
    """Short name of a payload, for `Receipt.refused`."""
    return hashlib.sha256(payload).hexdigest()[:16]


def decode_batch(payload: bytes) -> Batch:
    """A batch, checked in form (identity against the topic is the gateway's part).

    Raises:
        MessageError: `oversized`, `undecodable` or `value`.
    """
    batch = _decode(_batch, payload)
    if not (is_ident(batch.site) and is_ident(batch.agent)):
        raise MessageError("undecodable", f"got site {batch.site!r}, agent {batch.agent!r}, want [a-z0-9_-]")
    if not 1 <= batch.first_seq <= batch.seq or not 1 <= batch.oldest <= batch.seq:
        raise MessageError(
            "undecodable",
            f"got covers_from {batch.covers_from}, oldest {batch.oldest}, seq {batch.seq}; want 1 <= each <= seq",
        )
    for reading in batch.readings:
        if reading.quality != q.GOOD and not q.is_valid(reading.quality):
            raise MessageError("value", f"{reading.point[:80]}: got quality {reading.quality[:60]!r}")
    return batch


def decode_receipt(payload: bytes) -> Receipt:
    """A receipt. Raises MessageError `oversized` or `undecodable`."""
    return _decode(_receipt, payload)


def decode_state(payload: bytes) -> AgentState:
    """An agent's state. Raises MessageError `oversized` or `undecodable`."""
    return _decode(_state, payload)


def decode_request(payload: bytes) -> Request:
    """A request. Raises MessageError `oversized` or `undecodable`."""
    return _decode(_request, payload)


def _decode(decoder: msgspec.json.Decoder[M], payload: bytes) -> M:
    if len(payload) > MAX_BYTES:
        raise MessageError("oversized", f"got {len(payload)} bytes, want at most {MAX_BYTES}")
    try:
        return decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as exc:
        raise MessageError("undecodable", str(exc)[:300]) from exc
