"""Messages on the wire: round trips, and what is refused with which words."""

from __future__ import annotations

import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import messages, topics
from contract.errors import MessageError
from contract.messages import Batch, Gap, Reading, Receipt, SealedBatch

IDENT = st.from_regex(topics.IDENT, fullmatch=True)
VALUES = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.text(max_size=200), st.none())
READINGS = st.builds(
    Reading,
    point=st.builds("{}/{}".format, IDENT, IDENT),
    observed_ms=st.integers(0, 9_000_000_000_000),
    value=VALUES,
    quality=st.sampled_from(["good", "test", "bad:missing", "unknown:no_answer", "uncertain:clock"]),
)


def batch(**changes: object) -> Batch:
    fields = {
        "site": "shuiye", "agent": "edge-1", "epoch": "e1", "lane": "alarm", "seq": 7, "oldest": 5,
        "sent_ms": 1_700_000_000_000, "readings": [Reading("hydrant-01/cap_open", 1_700_000_000_000, True)],
    }  # fmt: skip
    return Batch(**{**fields, **changes})  # type: ignore[arg-type]  # a test's shorthand


@given(st.lists(READINGS, max_size=20))
def test_batch_comes_back_as_it_was_sent(readings: list[Reading]) -> None:
    """What the agent seals is what the gateway decodes."""
    sealed = SealedBatch(
        site="s", agent="a", epoch="e", lane="telemetry", seq=3, oldest=1, sent_ms=5,
        readings=msgspec.Raw(messages.encode_readings(readings)),
        covers_from=2, gaps=[Gap(seq=2, readings=4, first_ms=1, last_ms=2, reason="budget")],
    )  # fmt: skip

    decoded = messages.decode_batch(messages.encode(sealed))

    assert decoded.readings == readings
    assert (decoded.first_seq, decoded.seq, decoded.gaps[0].readings) == (2, 3, 4)


@given(st.binary(max_size=300))
def test_decoding_noise_gives_a_message_error_or_a_batch(payload: bytes) -> None:
    """No bytes make the decoder raise anything else."""
    reason = "none"
    with contextlib.suppress(MessageError):
        try:
            messages.decode_batch(payload)
        except MessageError as error:
            reason = error.reason
            raise

    assert reason in {"none", "undecodable", "value"}


@pytest.mark.parametrize(
    ("payload", "reason", "text"),
    [
        (b"{", "undecodable", "Input data was truncated"),
        (b"\xff\xfe", "undecodable", "malformed"),
        (b'{"site": 5}', "undecodable", "Expected `str`, got `int` - at `$.site`"),
        (b"[" * 50_000, "undecodable", "Expected `object`, got `array`"),
        (b" " * (64 * 1024 + 1), "oversized", "got 65537 bytes, want at most 65536"),
    ],
    ids=["cut off", "no utf-8", "wrong type", "deep", "oversized"],
)
def test_unusable_payload_is_refused_with_its_reason(payload: bytes, reason: str, text: str) -> None:
    """The reason is a stable word to count by, the text says what was wrong."""
    with pytest.raises(MessageError) as caught:
        messages.decode_batch(payload)

    assert caught.value.reason == reason
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"seq": 0}, ">= 1"),
        ({"oldest": 8}, "oldest 8, seq 7; want 1 <= each <= seq"),
        ({"covers_from": 9}, "covers_from 9"),
        ({"site": "Shuiye"}, "want [a-z0-9_-]"),
        ({"lane": "fast"}, "Invalid enum value 'fast'"),
        ({"readings": [["a/b", -1, 1.0, "good"]]}, ">= 0"),
        ({"readings": [["a/b", 1, 1.0, "fine"]]}, "a/b: got quality 'fine'"),
        ({"readings": [["a/b", 1, [1], "good"]]}, "got `array`"),
    ],
)
def test_batch_with_a_wrong_field_is_refused(changes: dict[str, object], text: str) -> None:
    """Sequence, identity, lane, time, quality and value are checked at the door."""
    payload = json.dumps({**json.loads(messages.encode(batch())), **changes}).encode()

    with pytest.raises(MessageError) as caught:
        messages.decode_batch(payload)

    assert text in str(caught.value)


@pytest.mark.parametrize("value", [b"1e999", b"NaN", b"Infinity", b'"' + b"x" * 2001 + b'"'])
def test_value_that_no_store_can_hold_is_refused(value: bytes) -> None:
    """Infinity, NaN and endless text never get in."""
    payload = messages.encode(batch()).replace(b"true", value)

    with pytest.raises(MessageError):
        messages.decode_batch(payload)


def test_huge_integer_arrives_as_float() -> None:
    """An integer beyond 64 bits cannot break a store: numbers are floats."""
    decoded = messages.decode_batch(messages.encode(batch()).replace(b"true", b"9" * 40))

    assert decoded.readings[0].value == 1e40


def test_nan_never_leaves_the_agent() -> None:
    """The encoder refuses what JSON would silently turn into null."""
    with pytest.raises(MessageError, match="hydrant-01/pressure_kpa: got nan, want a finite number or None"):
        messages.encode_readings([Reading("hydrant-01/pressure_kpa", 1, float("nan"))])


def test_unknown_field_of_a_newer_agent_is_passed_over() -> None:
    """An agent one version ahead can still talk to this gateway."""
    payload = json.loads(messages.encode(batch()))

    assert messages.decode_batch(json.dumps({**payload, "new": 1}).encode()).seq == 7


def test_receipt_comes_back_as_it_was_sent() -> None:
    """Receipts carry watermarks, rewind and refused digests."""
    receipt = Receipt(epoch="e", alarm=3, telemetry=9, rewind=True, refused=[messages.digest(b"x")])

    assert messages.decode_receipt(messages.encode(receipt)) == receipt


@pytest.mark.parametrize(
    "text",
    ["weizhan/v1/a/b", "weizhan/v1/a/b/c/alarm", "weizhan/v1/A/b/alarm", "other/a/b/alarm", "weizhan/v1/a/b/fire",
     "weizhan/v1//b/alarm", "weizhan/v1/a/+/alarm", "weizhan/v1/a/b/alarm/"],
)  # fmt: skip
def test_foreign_topic_is_refused(text: str) -> None:
    """Only {root}/{site}/{agent}/{channel} with plain names is ours."""
    with pytest.raises(MessageError, match="topic: got"):
        topics.parse(topics.DEFAULT_ROOT, text)


def test_topic_taken_apart_is_what_it_was_made_of() -> None:
    """Building and parsing agree."""
    text = topics.topic("weizhan/v1", "shuiye", "edge-1", "alarm")

    assert topics.parse("weizhan/v1", text) == ("shuiye", "edge-1", "alarm")
