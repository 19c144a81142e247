"""Published frames decode as stated; the same frames damaged, glued, split and behind noise."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.panels import fuzz
from edge_agents.panels.receiver import Frame, Noise
from tests.edge_agents.panels.samples import BY_DRIVER, FRAMES, NOW_MS, events_of, frames_of, fresh, read_all

CHECKED = [entry for entry in FRAMES if entry["checksum_ok"]]
RESYNCS = [driver for driver in BY_DRIVER if driver not in ("ld128e", "notifier", "esc_printer", "sia_dc09")]


@pytest.mark.parametrize("entry", FRAMES, ids=[entry["id"] for entry in FRAMES])
def test_published_frame_decodes_as_stated_when_fed_whole(entry: dict[str, Any]) -> None:
    """Each field that is stated of a published frame is found in it."""
    (frame,) = read_all(entry["driver"], bytes.fromhex(entry["hex"]))
    assert isinstance(frame, Frame)
    assert {name: frame.fields.get(name, "absent") for name in entry["decoded"]} == entry["decoded"]


@pytest.mark.parametrize("entry", CHECKED, ids=[entry["id"] for entry in CHECKED])
def test_frame_is_refused_when_any_one_bit_is_wrong(entry: dict[str, Any]) -> None:
    """No single wrong bit under the checksum gives an event with other content."""
    good = bytes.fromhex(entry["hex"])
    (whole,) = frames_of(read_all(entry["driver"], good))
    wrong = []
    for at, bit in itertools.product(range(len(good)), range(8)):
        data = bytearray(good)
        data[at] ^= 1 << bit
        for frame in frames_of(read_all(entry["driver"], bytes(data))):
            if _content(frame) != _content(whole) and frame.events:
                wrong.append((at, bit, frame.fields))
    assert wrong == []


def _content(frame: Frame) -> dict[str, Any]:
    # The header byte of the CRT port says first send or repeat, and hex digits may be written small: same content.
    return {
        name: value for name, value in frame.fields.items() if name not in ("repeat", "crc", "text", "length_field")
    }


@pytest.mark.parametrize("driver", BY_DRIVER)
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_frames_are_the_same_when_split_anywhere(driver: str, data: st.DataObject) -> None:
    """Glued and cut at any byte, the same frames come out."""
    stream = b"".join(BY_DRIVER[driver])
    whole = [frame.fields for frame in frames_of(read_all(driver, stream))]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    receiver, items = fresh(driver), list[Frame | Noise]()
    for start, end in itertools.pairwise([0, *cuts, len(stream)]):
        items += receiver.feed(stream[start:end], NOW_MS)
    items += receiver.flush(NOW_MS)
    assert [frame.fields for frame in frames_of(items)] == whole
    assert len(whole) >= len(set(BY_DRIVER[driver]))


@pytest.mark.parametrize("driver", RESYNCS)
@settings(deadline=None, max_examples=40)
@given(noise=st.binary(max_size=40))
def test_last_frame_is_found_when_noise_stands_before_it(driver: str, noise: bytes) -> None:
    """Whatever stands before it, a good frame is found once the line is quiet."""
    good = BY_DRIVER[driver][0]
    (want,) = frames_of(read_all(driver, good))
    receiver = fresh(driver)
    items = receiver.feed(noise, NOW_MS) + receiver.flush(NOW_MS)
    items += receiver.feed(good, NOW_MS + 10_000) + receiver.flush(NOW_MS + 10_000)
    found = frames_of(items)[-1].fields
    assert {**found, "idle_prefix_bytes": 0} == {**want.fields, "idle_prefix_bytes": 0}


@pytest.mark.parametrize("driver", RESYNCS)
def test_frame_is_found_when_its_own_beginning_stands_before_it(driver: str) -> None:
    """A frame cut off in the middle does not take the next one with it, without any pause between them."""
    for good in BY_DRIVER[driver]:
        if len(good) < 5:
            continue
        for cut in range(1, len(good)):
            found = frames_of(read_all(driver, good[:cut] + good))
            assert found, (good.hex(), cut)
            assert [event.event for event in found[-1].events] == [
                event.event for event in events_of(read_all(driver, good))
            ] or len(found) > 1


def test_three_sendings_are_one_event_when_the_network_repeats() -> None:
    """The panel network sends each frame three times; a fourth is a new event."""
    good = bytes.fromhex("AA1536508903D100010035002334055448003100361867B6")
    assert len(events_of(read_all("gst_net", good * 3))) == 1
    assert len(events_of(read_all("gst_net", good * 4))) == 2
    damaged = good[:8] + b"\x55" + good[9:]
    assert len(events_of(read_all("gst_net", damaged + good + good))) == 1


def test_frame_must_come_twice_when_it_looks_like_noise_inside() -> None:
    """One byte of checksum is not enough for a frame whose place is no text; its second copy is."""
    body = bytes.fromhex("AA1536508903D10001") + b"\xee" * 14
    odd = body + bytes((sum(body) & 0xFF,))
    assert [len(events_of(read_all("gst_net", odd * copies))) for copies in (1, 2, 3)] == [0, 1, 1]


def test_reset_is_not_believed_when_noise_stands_right_before_it() -> None:
    """Three bytes without a checksum must not end a fire from the midst of noise; after a pause they do."""
    receiver, reset = fresh("gst_crt"), bytes.fromhex("0AAABB")
    assert events_of(receiver.feed(b"\x55" + reset, NOW_MS)) == []
    receiver.flush(NOW_MS)
    assert [event.event for event in events_of(receiver.feed(reset, NOW_MS))] == ["reset"]


def test_repeat_is_dropped_only_when_the_first_was_taken() -> None:
    """A repeat on the CRT port is an event when its first sending was lost, none when it was not."""
    first, repeat = bytes.fromhex("0DDD001004030118BB"), bytes.fromhex("FDDD001004030118BB")
    assert len(events_of(read_all("gst_crt", first + repeat))) == 1
    assert len(events_of(read_all("gst_crt", repeat + repeat))) == 1
    assert len(events_of(read_all("gst_crt", first + first))) == 2


def test_sum_that_equals_the_end_mark_is_written_b5_when_it_comes_up() -> None:
    """A sum of BB is sent as B5, and a plain BB there is refused."""
    body = bytes((0x00, 0x00, 0x95, 0x03, 0x23))
    assert sum(body) & 0xFF == 0xBB
    assert len(frames_of(read_all("gst_crt", b"\x0d\xdd" + body + b"\xb5\xbb"))) == 1
    assert frames_of(read_all("gst_crt", b"\x0d\xdd" + body + b"\xbb\xbb")) == []


def test_both_byte_orders_of_the_crc_are_taken_and_said_when_songjiang_sends() -> None:
    """The maker's paper and the captures disagree: both are good, and the frame says which it was."""
    good = bytes.fromhex(next(entry["hex"] for entry in FRAMES if entry["id"] == "SJ-1"))
    turned = good[:-3] + good[-3:-1][::-1] + good[-1:]
    assert [frame.fields["crc_order"] for frame in frames_of(read_all("songjiang", good + turned))] == [
        "low byte first",
        "high byte first",
    ]


def test_burst_is_no_event_when_one_byte_of_it_fits_nowhere() -> None:
    """LD128E answers have no checksum: a burst is believed whole or not at all."""
    fire = bytes((0x01, 4, 5))
    assert len(events_of(read_all("ld128e", b"\x7f" + fire))) == 1
    assert events_of(read_all("ld128e", fire + b"\xee")) == []
    assert events_of(read_all("ld128e", fire * 100)) == []


@pytest.mark.parametrize("driver", BY_DRIVER)
@settings(deadline=None, max_examples=80)
@given(chunks=st.lists(st.binary(max_size=300), max_size=6))
def test_any_bytes_are_taken_when_the_line_is_foreign(driver: str, chunks: list[bytes]) -> None:
    """No bytes raise; what is held stays bounded; noise is counted to the byte where frames are binary."""
    receiver = fresh(driver)
    items = [item for chunk in chunks for item in receiver.feed(chunk, NOW_MS)] + receiver.flush(NOW_MS)
    for item in items:
        if isinstance(item, Noise):
            assert len(item.data) <= 256
            assert item.size >= len(item.data) > 0
            assert item.reason


@pytest.mark.parametrize("driver", [name for name in RESYNCS if name not in ("gst_printer",)])
def test_no_fire_comes_of_noise_when_frames_are_checked(driver: str) -> None:
    """A hundred thousand random bytes in bursts give no alarm of a checked protocol."""
    random_bytes = random.Random(7).randbytes
    receiver, fires = fresh(driver), 0
    for _ in range(1000):
        items = receiver.feed(random_bytes(100), NOW_MS) + receiver.flush(NOW_MS)
        fires += sum(event.event in ("fire", "pre_alarm", "fire_subsequent") for event in events_of(items))
    assert fires == 0


@pytest.mark.parametrize("driver", BY_DRIVER)
def test_no_case_crashes_or_holds_a_receiver_when_fuzzed(driver: str) -> None:
    """A short run of the campaign of `python -m bench panels`: no crash, nothing over 50 ms, nothing forbidden."""
    found = fuzz(driver, 2000, seed=11)
    assert (found.crashes, found.over_limit, found.forbidden) == ([], 0, 0)
    assert found.frames > 100
