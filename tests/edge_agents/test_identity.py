"""Who a device is: the answer taken apart, whom the line asks when, what may be sent at all."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.lines.bus import crc
from contract.errors import DeviceError
from contract.messages import Reading
from edge_agents.bus.allowed import ForbiddenRequestError, check_request, is_allowed
from edge_agents.bus.identity import AGAIN_S, BUSY_AFTER_S, HUNG_UP_S, ONCE_MORE_S, RECONNECTED_S, IdentityWatch
from edge_agents.bus.rtu import Asked, sift
from edge_agents.drivers.identity import IdentityPart, decode_identity, shown_text

NOW_MS = 1_800_000_000_000
HEAD = bytes((0x2B, 0x0E, 1, 1))
WHOLE = {0: b"Acme", 1: b"HX-1", 2: b"V1.2"}


def answer(objects: dict[int, bytes], more: int = 0, following: int = 0) -> bytes:
    """An identification without address and check sum."""
    body = b"".join(bytes((number, len(data))) + data for number, data in objects.items())
    return HEAD + bytes((more, following, len(objects))) + body


def framed(unit: int, pdu: bytes) -> bytes:
    """The same on an RTU line."""
    body = bytes((unit,)) + pdu
    return body + crc(body)


# --- the answer ---------------------------------------------------------------------------------------------------


def test_the_basic_objects_are_read_when_a_device_tells_them() -> None:
    """As in the standard's own example; further objects a device adds are passed over."""
    assert decode_identity(answer(WHOLE), 0) == IdentityPart(WHOLE, None)
    assert decode_identity(answer({**WHOLE, 3: b"http://x", 0x80: b"1"}), 0) == IdentityPart(WHOLE, None)
    assert decode_identity(answer({}), 0) == IdentityPart({}, None)


@pytest.mark.parametrize(
    ("more", "following", "asked", "goes_on"),
    [(0xFF, 1, 0, 1), (0xFF, 0, 0, None), (0xFF, 2, 1, 2), (0xFF, 1, 1, None), (0xFF, 3, 0, None), (0, 1, 0, None)],
)
def test_a_device_is_followed_only_onward_when_it_says_that_more_follows(
    more: int, following: int, asked: int, goes_on: int | None
) -> None:
    """One that sends us back to where we have been is not asked for ever."""
    assert decode_identity(answer({asked: b"x"}, more, following), asked).next_object == goes_on


@pytest.mark.parametrize(
    "pdu",
    [
        b"",
        b"\x2b",
        b"\x03\x02\x00\x01",
        HEAD + b"\0\0",
        bytes((0x2B, 0x0D, 1, 1, 0, 0, 0)),
        answer(WHOLE)[:-1],
        answer(WHOLE) + b"\0",
        HEAD + bytes((0, 0, 2, 0, 1)) + b"a" + bytes((0, 1)) + b"b",
        HEAD + bytes((0, 0, 1, 0, 200)) + b"a",
    ],
)
def test_an_answer_that_contradicts_itself_is_none(pdu: bytes) -> None:
    """Cut, too long, an object twice, another type, another function."""
    with pytest.raises(DeviceError) as caught:
        decode_identity(pdu, 0)
    assert caught.value.cause == "bad_answer"


@pytest.mark.parametrize(
    ("code", "cause"), [(1, "refused"), (2, "refused"), (3, "refused"), (6, "busy"), (11, "no_answer")]
)
def test_an_exception_is_a_refusal_unless_it_says_not_now(code: int, cause: str) -> None:
    """Busy, or a gateway whose unit does not answer, is asked again."""
    with pytest.raises(DeviceError) as caught:
        decode_identity(bytes((0xAB, code)), 0)
    assert caught.value.cause == cause


@given(st.binary(max_size=255), st.integers(0, 2))
def test_any_bytes_are_an_answer_or_a_device_error(pdu: bytes, asked: int) -> None:
    """No crash on anything."""
    try:
        part = decode_identity(pdu, asked)
    except DeviceError:
        return
    assert part.objects.keys() <= {0, 1, 2}
    assert part.next_object is None or part.next_object > asked


def bytes_of(text: str) -> bytes:
    """Back from the text that is shown."""
    parts = re.split(r"\\x([0-9a-f]{2})", text)
    return b"".join(bytes.fromhex(part) if n % 2 else part.encode() for n, part in enumerate(parts))


@given(st.one_of(st.binary(max_size=244), st.text(max_size=80).map(str.encode)))
def test_no_byte_is_lost_when_a_text_is_shown(data: bytes) -> None:
    """What is shown is printable, fits a reading, and gives the bytes back, but for padding at the end."""
    text = shown_text(data)
    assert text.isprintable()
    assert len(text) <= 2000
    assert bytes_of(text) == data.rstrip(b"\0 ")


def test_texts_are_shown_as_a_person_reads_them() -> None:
    """UTF-8 as it is; GBK, controls, bidi marks and backslashes as bytes; padding left out."""
    assert shown_text("海湾 GST-5000".encode()) == "海湾 GST-5000"
    assert shown_text(b"V1.2  \0\0\0") == "V1.2"
    assert shown_text("海湾".encode("gbk")) == r"\xba\xa3\xcd\xe5"
    assert shown_text("a\x1b[31mb\u202ec\\d".encode()) == r"a\x1b[31mb\xe2\x80\xaec\x5cd"


# --- the frame on a line --------------------------------------------------------------------------------------------


def test_the_frame_is_found_when_stray_bytes_stand_around_it() -> None:
    """Noise, our own echo, a late value of the unit and another unit's frames before it; each beginning of it waits."""
    asked, right = Asked.identity(7), framed(7, answer(WHOLE))
    echo = framed(7, bytes((0x2B, 0x0E, 1, 0)))
    late, other = framed(7, b"\x03\x02\x01\x02"), framed(8, answer({0: b"other"}))
    for before in (b"", b"\x00\xff", echo, late, other, echo + late + b"\x2b" + other):
        found = sift(before + right + b"\x00", asked)
        assert found.answer == right
        for cut in range(len(right)):
            assert sift(before + right[:cut], asked).answer is None
    assert sift(echo + right, asked).echoed
    refusal = framed(7, b"\xab\x01")
    assert sift(b"\xff" + refusal, asked).answer == refusal


@given(st.binary(max_size=40), st.integers(0, 20), st.integers(1, 255))
def test_a_damaged_frame_is_no_answer(before: bytes, at: int, flip: int) -> None:
    """One byte of it is another: its check sum does not agree."""
    right = bytearray(framed(7, answer(WHOLE)))
    right[at] ^= flip
    assert sift(before + bytes(right), Asked.identity(7)).answer is None


def test_an_identification_is_no_value_when_it_comes_late() -> None:
    """While a value is asked for, it and a refusal of it are passed over whole."""
    value = framed(7, b"\x03\x04\x01\x02\x03\x04")
    for late in (framed(7, answer(WHOLE)), framed(7, b"\xab\x01")):
        found = sift(late + value, Asked.of(7, 3, 2))
        assert (found.answer, found.foreign, found.damaged, found.rest) == (value, 1, False, 0)


# --- what may be sent -------------------------------------------------------------------------------------------------


def test_only_reads_and_the_question_who_it_is_may_be_sent() -> None:
    """Every function code, every MEI type, every read code: the allow-list is these and no other."""
    for function in range(256):
        assert is_allowed(bytes((function, 0, 0, 0, 1))) == (function in (1, 2, 3, 4))
    allowed = [
        (mei, code, first)
        for mei in range(256)
        for code in range(6)
        for first in range(256)
        if is_allowed(bytes((43, mei, code, first)))
    ]
    assert allowed == [(14, 1, 0), (14, 1, 1), (14, 1, 2)]
    for pdu in (
        b"",
        b"\x03",
        b"\x06\x00\x01\x00\x01",
        b"\x10\x00\x01\x00\x01\x02\x00\x01",
        b"\x2b\x0d\x00\x00\x00\x00",
    ):
        with pytest.raises(ForbiddenRequestError, match="Nothing was sent"):
            check_request(pdu)


# --- whom to ask when -------------------------------------------------------------------------------------------------


def watching(*devices: str) -> IdentityWatch:
    """All devices just answered their first read, at 0."""
    watch = IdentityWatch(devices)
    watch.opened()
    for number in range(len(devices)):
        watch.answered(number, 0.0, was_silent=False)
    return watch


def numbers(watch: IdentityWatch, now_s: float) -> list[int]:
    """Whom it would ask."""
    return [asking.number for asking in watch.due(now_s)]


def said(readings: list[Reading]) -> list[tuple[str, object, str]]:
    """Without the time."""
    return [(reading.point, reading.value, reading.quality) for reading in readings]


def unknown(cause: str, device: str = "d1") -> list[tuple[str, object, str]]:
    """All three without a value."""
    return [(f"{device}/{name}", None, f"unknown:{cause}") for name in ("vendor", "product", "revision")]


def test_a_device_is_asked_once_and_then_hourly_when_it_tells() -> None:
    """Reported once; again only what changed."""
    watch = watching("d1")
    assert numbers(watch, 0.0) == [0]
    told = watch.told(0, IdentityPart(WHOLE, None), 1.0, NOW_MS)
    assert said(told) == [
        ("d1/vendor", "Acme", "good"),
        ("d1/product", "HX-1", "good"),
        ("d1/revision", "V1.2", "good"),
    ]
    assert len({reading.observed_ms for reading in told}) == 1
    assert numbers(watch, AGAIN_S) == []
    assert numbers(watch, AGAIN_S + 1.0) == [0]
    assert watch.told(0, IdentityPart(WHOLE, None), AGAIN_S + 2.0, NOW_MS + 1000) == []
    newer = watch.told(0, IdentityPart({**WHOLE, 2: b"V1.3"}, None), 2 * AGAIN_S + 2.0, NOW_MS + 2000)
    assert said(newer) == [("d1/revision", "V1.3", "good")]


def test_an_answer_in_parts_is_reported_when_it_is_whole() -> None:
    """Each part in a moment of its own; nothing is said before the last."""
    watch = watching("d1")
    assert watch.told(0, IdentityPart({0: b"Acme"}, 1), 1.0, NOW_MS) == []
    assert [asking.first_object for asking in watch.due(1.0)] == [1]
    assert watch.told(0, IdentityPart({1: b"HX-1"}, 2), 1.0, NOW_MS) == []
    assert len(watch.told(0, IdentityPart({2: b""}, None), 1.0, NOW_MS)) == 3


def test_an_object_without_text_is_unknown_and_not_empty() -> None:
    """Left out or blank: not told."""
    watch = watching("d1")
    told = watch.told(0, IdentityPart({0: b"Acme", 1: b"  \0"}, None), 1.0, NOW_MS)
    assert said(told)[1:] == [("d1/product", None, "unknown:not_told"), ("d1/revision", None, "unknown:not_told")]


def test_a_device_that_refused_is_asked_again_only_when_it_reconnects() -> None:
    """Never else; and not at every turn of a loose plug."""
    watch = watching("d1")
    assert said(watch.failed(0, "refused", 1.0, NOW_MS)) == unknown("refused")
    assert numbers(watch, 1e9) == []
    watch.missed(0)
    watch.answered(0, 20.0, was_silent=False)  # one read missed is no reconnection
    assert numbers(watch, 1e9) == []
    watch.answered(0, 30.0, was_silent=True)
    assert numbers(watch, 30.0) == []
    assert numbers(watch, 1.0 + RECONNECTED_S) == [0]
    assert said(watch.told(0, IdentityPart(WHOLE, None), 62.0, NOW_MS))[0] == ("d1/vendor", "Acme", "good")


def test_a_silent_device_is_asked_once_more_and_then_not_before_it_reconnects() -> None:
    """What it told a moment ago stays."""
    watch = watching("d1")
    assert watch.failed(0, "no_answer", 1.0, NOW_MS) == []
    assert numbers(watch, ONCE_MORE_S) == []
    assert numbers(watch, 1.0 + ONCE_MORE_S) == [0]
    assert said(watch.failed(0, "no_answer", 700.0, NOW_MS)) == unknown("no_answer")
    assert numbers(watch, 1e9) == []
    watch.opened()
    watch.answered(0, 800.0, was_silent=False)
    assert numbers(watch, 800.0) == []
    assert numbers(watch, 700.0 + AGAIN_S) == [0]
    watch.told(0, IdentityPart(WHOLE, None), 5000.0, NOW_MS)
    assert watch.failed(0, "bad_answer", 9000.0, NOW_MS) == []
    assert watch.failed(0, "bad_answer", 9700.0, NOW_MS) == []
    assert numbers(watch, 9700.0 + AGAIN_S) == [0]


def test_a_device_that_hangs_up_is_left_alone_for_a_day() -> None:
    """Else it would take its line away over and over: each new connection makes it due."""
    watch, now_s = watching("d1"), 1.0
    assert watch.failed(0, "line", now_s, NOW_MS) == []
    watch.opened()
    watch.answered(0, 2.0, was_silent=False)
    assert numbers(watch, ONCE_MORE_S) == []
    assert numbers(watch, 1.0 + ONCE_MORE_S) == [0]
    assert said(watch.failed(0, "line", 700.0, NOW_MS)) == unknown("hung_up")
    watch.opened()
    watch.answered(0, 701.0, was_silent=False)
    assert numbers(watch, HUNG_UP_S) == []
    assert numbers(watch, 700.0 + HUNG_UP_S) == [0]


def test_a_busy_line_is_named_when_there_was_no_moment_to_ask() -> None:
    """Said once, and only while nothing else is known."""
    watch = watching("d1")
    assert watch.too_busy(0, BUSY_AFTER_S - 1.0, NOW_MS) == []
    assert said(watch.too_busy(0, BUSY_AFTER_S, NOW_MS)) == unknown("line_busy")
    assert watch.too_busy(0, BUSY_AFTER_S + 1.0, NOW_MS) == []


def test_devices_that_stay_keep_what_is_known_when_the_configuration_changes() -> None:
    """A new one is asked once it answers; one that moved in the list is not asked again."""
    watch = watching("d1", "d2")
    watch.told(1, IdentityPart(WHOLE, None), 1.0, NOW_MS)
    watch.follow(["d2", "d3"], [1, None])
    assert numbers(watch, 2.0) == []
    watch.answered(1, 3.0, was_silent=False)
    assert numbers(watch, 3.0) == [1]
    assert watch.told(0, IdentityPart(WHOLE, None), 4.0, NOW_MS) == []
