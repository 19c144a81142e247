"""Finding an answer among bytes, and what a unit owes: the guards between an RTU line and its values."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bench.lines.bus import crc, frame
from edge_agents.bus.owed import KEPT_S, OwedAnswers
from edge_agents.bus.rtu import Asked, sift

ASKED = Asked.of(7, 3, 2)
RIGHT = frame(7, 3, b"\x01\x02\x03\x04")
REQUEST = b"\x07\x03\x00\x10\x00\x02" + crc(b"\x07\x03\x00\x10\x00\x02")


def test_the_answer_is_found_when_bytes_come_before_and_after_it() -> None:
    """Noise of a driver switching on, an echo and a frame of another unit are passed over and named."""
    assert sift(RIGHT, ASKED).answer == RIGHT
    assert sift(b"\x00\xff" + RIGHT + b"\x00", ASKED).answer == RIGHT
    echoed = sift(REQUEST + RIGHT, ASKED)
    assert (echoed.answer, echoed.echoed) == (RIGHT, True)
    other = sift(frame(8, 3, b"\x09\x09") + RIGHT, ASKED)
    assert (other.answer, other.foreign) == (RIGHT, 1)
    late = sift(frame(7, 3, b"\x09\x09") + RIGHT, ASKED)
    assert (late.answer, late.late) == (RIGHT, 1)


def test_nothing_is_an_answer_when_unit_function_length_or_crc_differ() -> None:
    """Each field counts."""
    for wrong in (
        frame(8, 3, b"\x01\x02\x03\x04"),
        frame(7, 4, b"\x01\x02\x03\x04"),
        frame(7, 3, b"\x01\x02"),
        RIGHT[:-1] + bytes((RIGHT[-1] ^ 1,)),
        RIGHT[:-1],
        REQUEST,
    ):
        assert sift(wrong, ASKED).answer is None


def test_a_damaged_answer_is_named_only_when_nothing_follows() -> None:
    """Whole with a wrong CRC: damaged. Incomplete, or with the true one behind it: not."""
    damaged = RIGHT[:-1] + bytes((RIGHT[-1] ^ 1,))
    assert sift(damaged, ASKED).damaged
    assert not sift(damaged[:-2], ASKED).damaged
    assert sift(damaged + RIGHT, ASKED).answer == RIGHT


def test_an_exception_is_an_answer() -> None:
    """Of the unit and function asked, with a right CRC."""
    refusal = b"\x07\x83\x02" + crc(b"\x07\x83\x02")
    assert sift(refusal, ASKED).answer == refusal
    assert sift(b"\x08\x83\x02" + crc(b"\x08\x83\x02"), ASKED).answer is None


@settings(deadline=None)
@given(st.binary(max_size=264))
def test_any_bytes_are_sifted(heard: bytes) -> None:
    """No crash on anything; what is called an answer fits what was asked."""
    found = sift(heard, ASKED)
    if found.answer is not None:
        assert found.answer[0] == 7
        assert crc(found.answer[:-2]) == found.answer[-2:]


def test_a_unit_is_asked_for_a_length_it_owes_nothing_of() -> None:
    """The length tells new answers from old ones; with none left the line has to listen."""
    owed = OwedAnswers(1.5)
    assert not owed.any(7, 0.0)
    owed.add(7, 3, 3, 10.0)
    assert owed.any(7, 11.0)
    assert owed.ready_s(7) == 11.5
    assert owed.telling_size(7, 3, 4) == 4
    assert owed.telling_size(7, 3, 3) == 1
    owed.add(7, 3, 1, 20.0)
    owed.add(7, 3, 2, 30.0)
    assert owed.telling_size(7, 3, 3) is None
    assert owed.telling_size(8, 3, 3) == 3
    assert not owed.any(7, 31.0 + KEPT_S)


def test_bits_are_told_apart_by_whole_bytes_only() -> None:
    """Nine and sixteen bits give answers of one length."""
    owed = OwedAnswers(1.5)
    owed.add(7, 1, 9, 10.0)
    assert owed.telling_size(7, 1, 16) == 1
    assert owed.telling_size(7, 1, 17) == 17
