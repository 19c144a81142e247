"""The door: a topic and a payload become an accepted batch, an agent's state, or a refusal that says why.

Reasons of refusal: `topic`, `oversized`, `undecodable`, `identity` (the payload speaks for somebody else than its
topic), `value`. A refused message is counted and kept for inspection; it never stops the flow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import NamedTuple

import msgspec

from contract.errors import MessageError
from contract.messages import LANES, AgentState, Batch, decode_batch, decode_state, digest
from contract.topics import Address, is_ident, parse
from rules.memory import LastValue

SAMPLE_BYTES = 4096
"""How much of a refused message is kept."""
_TOPICS = 10_000
_EPOCH = 64


class Arrival(NamedTuple):
    """A message as the broker handed it over."""

    topic: str
    payload: bytes
    received_ms: int
    retained: bool = False
    clock_ms: int = 0
    """How far the clock had been set by then, in all (gateway/ingest/lane.py)."""


class Accepted(NamedTuple):
    """A batch that speaks for its own agent. `readings` is their JSON as it came, `found` their points, where known."""

    batch: Batch
    readings: bytes
    received_ms: int
    found: list[LastValue | None]


class Told(NamedTuple):
    """What an agent says of itself. retained: kept by the broker, so it may be old."""

    state: AgentState
    received_ms: int
    retained: bool


class Refusal(NamedTuple):
    """A message that cannot be taken.

    site, agent: by the topic, empty when that is no topic of ours. epoch: as far as it can be read. digest: its
    name in a receipt, empty where no receipt is due.
    """

    source: str
    site: str
    agent: str
    epoch: str
    reason: str
    detail: str
    size: int
    sample: bytes
    digest: str
    received_ms: int


class _Envelope(msgspec.Struct):
    readings: msgspec.Raw


class _Epoch(msgspec.Struct):
    epoch: str = ""


_envelope = msgspec.json.Decoder(_Envelope)
_point_of = attrgetter("point")
_epoch = msgspec.json.Decoder(_Epoch)


class Door:
    """Checks messages against their topic and against who owns which device.

    Args:
        root: first part of every topic.
        owner: agent a (site, device) belongs to; None for a device nobody knows.
        points: known points of a (site, agent); what stands there needs no further check.
    """

    def __init__(
        self,
        root: str,
        owner: Callable[[str, str], str | None],
        points: Callable[[str, str], Mapping[str, LastValue]],
    ) -> None:
        self._root = root
        self._owner = owner
        self._points = points
        self._addresses: dict[str, Address] = {}

    def admit(self, arrival: Arrival) -> Accepted | Told | Refusal:
        """Judge one message."""
        site = agent = ""
        lane = False
        try:
            address = self._addresses.get(arrival.topic)
            if address is None:
                address = parse(self._root, arrival.topic)
                if len(self._addresses) < _TOPICS:
                    self._addresses[arrival.topic] = address
            site, agent = address.site, address.agent
            if address.channel == "state":
                state = decode_state(arrival.payload)
                _same(site, agent, state.site, state.agent)
                _check_epoch(state.epoch)
                return Told(state, arrival.received_ms, arrival.retained)
            lane = address.channel in LANES
            if not lane:
                raise MessageError("topic", f"got channel {address.channel!r}, want one that goes up")
            batch = decode_batch(arrival.payload)
            _same(site, agent, batch.site, batch.agent)
            _check_epoch(batch.epoch)
            if batch.lane != address.channel:
                raise MessageError("identity", f"got lane {batch.lane!r} on topic {address.channel!r}, want the same")
            found = self._find_points(batch)
            return Accepted(batch, bytes(_envelope.decode(arrival.payload).readings), arrival.received_ms, found)
        except MessageError as exc:
            return _refusal(arrival, site, agent, exc, lane)

    def _find_points(self, batch: Batch) -> list[LastValue | None]:
        find = self._points(batch.site, batch.agent).get
        found = list(map(find, map(_point_of, batch.readings)))
        if None in found:
            for reading, known in zip(batch.readings, found, strict=True):
                if known is None:
                    self._check_point(batch, reading.point)
        return found

    def _check_point(self, batch: Batch, point: str) -> None:
        device, _, name = point.partition("/")
        if not (is_ident(device) and is_ident(name)):
            raise MessageError("value", f"got point {point[:80]!r}, want device/point of [a-z0-9_-]")
        owner = self._owner(batch.site, device)
        if owner is not None and owner != batch.agent:
            raise MessageError("identity", f"got device {device!r} from agent {batch.agent!r}, want it from {owner!r}")


def _same(site: str, agent: str, claimed_site: str, claimed_agent: str) -> None:
    if (site, agent) != (claimed_site, claimed_agent):
        claimed = f"{claimed_site[:48]}/{claimed_agent[:48]}"
        raise MessageError("identity", f"got a payload of {claimed!r} on the topic of '{site}/{agent}', want its own")


def _check_epoch(epoch: str) -> None:
    if not 1 <= len(epoch) <= _EPOCH or not epoch.isascii():
        raise MessageError("value", f"got epoch {epoch[:_EPOCH]!r}, want 1..{_EPOCH} ASCII characters")


def _refusal(arrival: Arrival, site: str, agent: str, error: MessageError, receipt: bool) -> Refusal:
    payload = arrival.payload
    epoch = ""
    if receipt and error.reason != "oversized":
        try:
            epoch = _epoch.decode(payload).epoch[:_EPOCH]
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError):
            epoch = ""
    return Refusal(
        f"{site}/{agent}" if site else "(no topic of ours)",
        site,
        agent,
        epoch,
        error.reason,
        error.detail,
        len(payload),
        payload[:SAMPLE_BYTES],
        digest(payload) if receipt else "",
        arrival.received_ms,
    )


def faulty(root: str, arrival: Arrival) -> Refusal:
    """The refusal of a message that passed the door but made the judging itself fail (a fault of ours)."""
    address = parse(root, arrival.topic)
    error = MessageError("fault", "the gateway could not judge this message. Report it with its sample")
    return _refusal(arrival, address.site, address.agent, error, address.channel in LANES)
