"""Frames out of a stream: glued, split anywhere, damaged, with rubbish between, and never held back for long."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.gb26875.frame import MAX_FRAME_BYTES, Frame, write_frame
from contract.gb26875.stream import Found, FrameStream
from contract.gb26875.time_tag import TimeTag

FIRE = bytes.fromhex(
    "404001000101203A091A090C790300000000385B0100000030000202010101280A000200020020202020202020202020202020202020202020"
    "202020202020202020202000023A091A090C462323"
)
CONFIRM = bytes.fromhex("404001000101233A091A090C385B01000000790300000000000003AB2323")


def good(found: list[Found]) -> list[bytes]:
    return [item.raw for item in found if item.is_good]


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """Good frames with any bytes in them."""
    unit, src = draw(st.binary(max_size=60)), draw(st.binary(min_size=6, max_size=6))
    return write_frame(
        Frame(draw(st.integers(0, 65535)), 1, 1, TimeTag(src), src, src, draw(st.integers(0, 255)), unit)
    )


RUBBISH = st.binary(max_size=40).filter(lambda raw: b"@" not in raw)


@settings(max_examples=150)
@given(parts=st.lists(st.tuples(RUBBISH, frames()), max_size=6), cuts=st.lists(st.integers(1, 50), max_size=30))
def test_every_frame_is_found_when_rubbish_stands_between(parts: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    """All good frames come out, once, in order, whatever rubbish stands between and however it is cut."""
    stream, found, data = FrameStream(), [], b"".join(rubbish + raw for rubbish, raw in parts)
    for cut in cuts:
        found += stream.feed(data[:cut])
        data = data[cut:]
    found += stream.feed(data) + stream.finish()
    assert good(found) == [raw for _, raw in parts]
    assert (stream.frames, stream.refused) == (len(parts), 0)
    assert stream.skipped_bytes == sum(len(rubbish) for rubbish, _ in parts)


PIECES = st.one_of(st.sampled_from([b"@@", b"##", b"@", FIRE, CONFIRM, FIRE[:40], CONFIRM[5:]]), st.binary(max_size=30))


@settings(max_examples=200)
@given(data=st.lists(PIECES, max_size=12).map(b"".join), step=st.integers(1, 70))
def test_result_is_the_same_when_the_stream_is_cut_elsewhere(data: bytes, step: int) -> None:
    """What is found depends on the bytes, not on the packets they came in."""
    whole, pieces = FrameStream(), FrameStream()
    found = whole.feed(data) + whole.finish()
    again = [item for at in range(0, len(data), step) for item in pieces.feed(data[at : at + step])] + pieces.finish()
    assert found == again
    assert whole.skipped_bytes + sum(len(raw) for raw in good(found)) == len(data)


@pytest.mark.parametrize("cut", range(1, len(FIRE) + len(CONFIRM)))
def test_frames_are_whole_when_split_at_any_byte(cut: int) -> None:
    """Two glued frames cut in two at each place."""
    stream, data = FrameStream(), FIRE + CONFIRM
    found = stream.feed(data[:cut]) + stream.feed(data[cut:])
    assert good(found) == [FIRE, CONFIRM]
    assert (stream.pending, stream.refused, stream.skipped_bytes) == (0, 0, 0)


def test_frames_are_whole_when_they_come_byte_by_byte() -> None:
    """One byte a packet."""
    stream = FrameStream()
    found = [item for byte in (FIRE + CONFIRM) * 3 for item in stream.feed(bytes((byte,)))]
    assert good(found) == [FIRE, CONFIRM] * 3


@pytest.mark.parametrize("size", range(1, len(FIRE)))
def test_next_frame_is_found_when_one_breaks_off(size: int) -> None:
    """A frame that breaks off after any byte costs itself only."""
    stream = FrameStream()
    found = stream.feed(FIRE[:size] + FIRE + CONFIRM + FIRE) + stream.finish()
    assert good(found) == [FIRE, CONFIRM, FIRE]


@pytest.mark.parametrize("place", range(2, len(FIRE)))
def test_damage_is_told_once_when_a_byte_is_wrong(place: int) -> None:
    """Any one wrong byte behind the start marker refuses that frame, once, and spares the next one."""
    damaged = FIRE[:place] + bytes((FIRE[place] ^ 0x10,)) + FIRE[place + 1 :]
    stream = FrameStream()
    found = stream.feed(damaged + CONFIRM + FIRE + CONFIRM * 40) + stream.finish()
    assert good(found) == [CONFIRM, FIRE, *[CONFIRM] * 40]
    assert [item.offset for item in found if not item.is_good] == [0]


def test_damage_behind_a_good_frame_is_told_when_a_false_start_covers_both() -> None:
    """A false start hides no later damage: the damaged frame behind a good one is still refused, to be denied."""
    false_start = b"@@" + bytes(22) + (150).to_bytes(2, "little") + b"\x02"
    damaged = FIRE[:-3] + b"\0" + FIRE[-2:]
    found = FrameStream().feed(false_start + CONFIRM + damaged + CONFIRM * 3)
    assert [(item.is_good, item.offset) for item in found] == [
        (False, 0), (True, 27), (False, 57), (True, 135), (True, 165), (True, 195),
    ]  # fmt: skip


def test_refused_frame_has_a_serial_to_deny_when_its_head_is_whole() -> None:
    """The head of a frame with a wrong checksum can be answered."""
    (refused,) = FrameStream().feed(FIRE[:-3] + b"\0" + FIRE[-2:])
    assert refused.frame is not None
    assert (refused.frame.serial, [problem.reason for problem in refused.problems]) == (1, ["checksum"])


def test_unit_over_the_limit_is_refused_at_once_when_the_head_is_there() -> None:
    """A length over 1024 is not waited for."""
    stream = FrameStream()
    (refused,) = stream.feed(FIRE[:24] + b"\x01\x04" + FIRE[26:])
    assert [problem.reason for problem in refused.problems] == ["limit"]
    assert good(stream.feed(CONFIRM)) == [CONFIRM]


def test_fire_is_not_held_back_when_a_false_start_promises_more() -> None:
    """A false start that claims 1000 bytes holds a frame behind it back for hold_s and no longer."""
    stream = FrameStream(hold_s=2.0)
    false_start = b"@@" + bytes(22) + (1000).to_bytes(2, "little") + b"\x02"
    assert stream.feed(false_start + FIRE, now_s=100.0) == []
    assert stream.expire(101.9) == []
    found = stream.expire(102.0)
    assert good(found) == [FIRE]
    assert [problem.reason for problem in found[0].problems] == ["length"]
    assert stream.pending == 0


def test_slow_frame_is_kept_when_nothing_stands_behind_its_start() -> None:
    """A slow line may take longer than hold_s over a frame."""
    stream = FrameStream(hold_s=2.0)
    assert stream.feed(FIRE[:50], now_s=0.0) == []
    assert stream.expire(60.0) == []
    assert good(stream.feed(FIRE[50:], now_s=61.0)) == [FIRE]


@pytest.mark.parametrize("pattern", [b"@", b"@@", b"@@\0", b"@@x\xfc\x03##", b"@@\x03\x03\x03\x03\x03", b"\xff", b"#"])
def test_memory_is_bounded_when_the_stream_is_a_flood(pattern: bytes) -> None:
    """No flood makes it keep more than one frame, and a frame behind the flood is still found."""
    stream = FrameStream()
    for _ in range(4):
        stream.feed((pattern * 5000)[:5000])
        assert stream.pending < MAX_FRAME_BYTES
    found = stream.feed(FIRE + bytes(MAX_FRAME_BYTES) + FIRE) + stream.finish()
    assert good(found)[-1] == FIRE


def test_unfinished_frame_is_told_when_the_stream_ends() -> None:
    """What was still awaited at the end is refused with its reason."""
    stream = FrameStream()
    assert stream.feed(FIRE[:40]) == []
    (refused,) = stream.finish()
    assert [problem.text for problem in refused.problems] == ["length 40, expected 78 = 30 + 48"]
