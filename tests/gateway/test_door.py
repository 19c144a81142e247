"""The door: what is taken, what is refused, and in which words."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.messages import MAX_BYTES, Reading, digest, encode
from contract.topics import DEFAULT_ROOT
from gateway.ingest.door import SAMPLE_BYTES, Accepted, Arrival, Door, Refusal, Told
from tests.gateway.harness import PRESSURE, START_MS, arrival, batch, state

OWNERS = {("shuiye", "hydrant-01"): "edge1", ("shuiye", "tank-01"): "edge2"}


def make_door() -> Door:
    return Door(DEFAULT_ROOT, lambda site, device: OWNERS.get((site, device)), lambda _site, _agent: {})


def refuse(topic: str, payload: bytes) -> Refusal:
    judged = make_door().admit(Arrival(f"{DEFAULT_ROOT}/{topic}", payload, START_MS))
    assert isinstance(judged, Refusal)
    return judged


def test_batch_is_accepted_with_its_readings_as_they_came_when_all_is_right() -> None:
    """The JSON of the readings is kept to the byte."""
    message = batch(1, Reading(PRESSURE, START_MS, 150.5), Reading("hydrant-01/cap_open", START_MS, True))
    judged = make_door().admit(arrival(message))
    assert isinstance(judged, Accepted)
    assert (judged.batch, judged.readings) == (message, msgspec.json.encode(message.readings))


def test_state_is_taken_when_it_is_the_agents_own() -> None:
    """A state message gives the agent's state and whether the broker kept it."""
    judged = make_door().admit(arrival(state(), retained=True))
    assert isinstance(judged, Told)
    assert (judged.state, judged.retained) == (state(), True)


GOOD = encode(batch(1, Reading(PRESSURE, START_MS, 1.0)))


@pytest.mark.parametrize(
    ("topic", "payload", "reason", "detail"),
    [
        ("shuiye/edge1/telemetry", b"x" * (MAX_BYTES + 1), "oversized", "got 65537 bytes, want at most 65536"),
        (
            "shuiye/edge1/telemetry",
            b"{rubbish",
            "undecodable",
            "JSON is malformed: object keys must be strings (byte 1)",
        ),
        (
            "shuiye/edge2/telemetry",
            GOOD,
            "identity",
            "got a payload of 'shuiye/edge1' on the topic of 'shuiye/edge2', want its own",
        ),
        ("shuiye/edge1/alarm", GOOD, "identity", "got lane 'telemetry' on topic 'alarm', want the same"),
        (
            "shuiye/edge1/telemetry",
            encode(batch(1, Reading("tank-01/level_m", START_MS, 1.0))),
            "identity",
            "got device 'tank-01' from agent 'edge1', want it from 'edge2'",
        ),
        (
            "shuiye/edge1/telemetry",
            encode(batch(1, Reading("Hydrant 01/x", START_MS, 1.0))),
            "value",
            "got point 'Hydrant 01/x', want device/point of [a-z0-9_-]",
        ),
        (
            "shuiye/edge1/telemetry",
            encode(batch(1, Reading(PRESSURE, START_MS, 1.0, "splendid"))),
            "value",
            "hydrant-01/pressure_kpa: got quality 'splendid'",
        ),
        ("shuiye/edge1/telemetry", encode(batch(1, epoch="")), "value", "got epoch '', want 1..64 ASCII characters"),
        (
            "Shuiye!/edge1/telemetry",
            GOOD,
            "topic",
            "got 'weizhan/v1/Shuiye!/edge1/telemetry', want weizhan/v1/<site>/<agent>/<alarm|telemetry|state>",
        ),
        ("shuiye/edge1/receipt", GOOD, "topic", "got channel 'receipt', want one that goes up"),
    ],
)
def test_message_is_refused_in_words_when_something_is_wrong(
    topic: str, payload: bytes, reason: str, detail: str
) -> None:
    """Each refusal says its reason, what it got and what it wants."""
    refusal = refuse(topic, payload)
    assert (refusal.reason, refusal.detail) == (reason, detail)


def test_refusal_keeps_a_sample_and_a_digest_when_the_message_was_a_batch() -> None:
    """The first 4 KiB are kept, and the digest names the payload for its agent."""
    payload = b'{"epoch": "e7", "readings": ["' + b"x" * 10_000 + b'"]}'
    refusal = refuse("shuiye/edge1/telemetry", payload)
    assert refusal.source == "shuiye/edge1"
    assert (refusal.epoch, refusal.size, refusal.sample) == ("e7", len(payload), payload[:SAMPLE_BYTES])
    assert refusal.digest == digest(payload)


def test_refused_state_has_no_digest_when_it_cannot_be_read() -> None:
    """Only batches are answered by receipts."""
    assert refuse("shuiye/edge1/state", b"[]").digest == ""


def test_stranger_passes_the_door_when_nobody_owns_the_device() -> None:
    """Whether a device is known is for the engine and the people, not for the door."""
    assert isinstance(make_door().admit(arrival(batch(1, Reading("new-01/x", START_MS, 1.0)))), Accepted)


def test_owner_is_checked_anew_when_a_device_was_approved() -> None:
    """An approval changes who owns what."""
    owners: dict[tuple[str, str], str] = {}
    door = Door(DEFAULT_ROOT, lambda site, device: owners.get((site, device)), lambda _site, _agent: {})
    message = arrival(batch(1, Reading("new-01/x", START_MS, 1.0)))
    assert isinstance(door.admit(message), Accepted)
    owners["shuiye", "new-01"] = "edge2"
    assert isinstance(door.admit(message), Refusal)


@settings(max_examples=150, deadline=None)
@given(
    payload=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        ).map(msgspec.json.encode),
        st.tuples(st.integers(0, len(GOOD) - 1), st.binary(max_size=3)).map(
            lambda cut: GOOD[: cut[0]] + cut[1] + GOOD[cut[0] + 1 :]
        ),
    ),
    channel=st.sampled_from(["alarm", "telemetry", "state"]),
)
def test_door_never_fails_when_the_payload_is_anything(payload: bytes, channel: str) -> None:
    """Any bytes are accepted or refused; nothing is raised."""
    make_door().admit(Arrival(f"{DEFAULT_ROOT}/shuiye/edge1/{channel}", payload, START_MS))
