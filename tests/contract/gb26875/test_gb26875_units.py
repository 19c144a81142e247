"""Application units: every type there and back, and each way of leaving the standard told and refused."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import MessageError
from contract.gb26875 import objects as o
from contract.gb26875.codec import TOLERANCES, decode, decode_unit, encode, encode_unit
from contract.gb26875.frame import Frame
from contract.gb26875.tables import Tables
from contract.gb26875.text import Text, free_text, text_field
from contract.gb26875.time_tag import TimeTag
from contract.gb26875.units import LAYOUTS_2011, Unit, read_tag_report, read_unit, standard_unit, write_unit

MakeFrame = Callable[..., bytes]
NOON = bytes((2, 58, 9, 26, 9, 12))
U8, U16, U32 = st.integers(0, 255), st.integers(0, 65535), st.integers(0, 2**32 - 1)
TABLES = Tables()
WORDS = st.text(st.sampled_from("三层东走廊感烟探测器故障 ABC-12"), max_size=15).map(str.rstrip)


@st.composite
def times(draw: st.DrawFn) -> TimeTag:
    """Time tags of real instants."""
    parts = [draw(st.integers(0, most)) for most in (59, 59, 23)]
    return TimeTag(bytes((*parts, draw(st.integers(1, 28)), draw(st.integers(1, 12)), draw(st.integers(0, 69)))))


def _field(kind: type[o.InfoObject], name: str) -> st.SearchStrategy[Any]:
    if name == "time":
        return times()
    if name == "desc":
        return WORDS.map(text_field)
    if name == "text":
        return WORDS.map(free_text)
    named: dict[str, st.SearchStrategy[Any]] = {
        "comp_addr": U32,
        "raw": st.integers(-32768, 32767),
        "reserved_byte": st.just(0),
        "records": st.integers(0, o.MOST_RECORDS),
    }
    if name in ("status", "op"):
        free = sum(bit.mask for bit in kind.BITS if not bit.is_reserved)
        return U16.map(lambda value: value & free)
    return named.get(name, U8)


@st.composite
def units(draw: st.DrawFn) -> Unit:
    """Units of every type with any number of objects the standard allows."""
    unit_type = draw(st.sampled_from(sorted(LAYOUTS_2011)))
    layout = LAYOUTS_2011[unit_type]
    one = st.builds(layout.kind, **{name: _field(layout.kind, name) for name in layout.kind.__struct_fields__})
    return standard_unit(unit_type, *draw(st.lists(one, min_size=1, max_size=min(layout.most, 3))))


@given(unit=units(), serial=U16, src=st.binary(min_size=6, max_size=6), sent=times())
def test_message_comes_back_when_encoded_and_decoded(unit: Unit, serial: int, src: bytes, sent: TimeTag) -> None:
    """Every type survives the strict way there and back, equal in objects and in bytes, with no tolerance used."""
    assert unit.type is not None
    command = LAYOUTS_2011[unit.type].commands[0]
    frame = Frame(serial, 1, 7, sent, src, bytes(6), command, encode_unit(unit))
    raw = encode(frame, TABLES)
    message = decode(raw, TABLES)
    assert (message.unit, message.frame, message.tolerances, message.deny) == (unit, frame, (), None)
    assert encode_unit(message.unit) == frame.unit


@pytest.mark.parametrize("unit_type", sorted(LAYOUTS_2011))
def test_largest_unit_fits_when_it_has_as_many_objects_as_allowed(unit_type: int) -> None:
    """The limits of the standard on n agree with the sizes of objects and 1024 bytes."""
    layout = LAYOUTS_2011[unit_type]
    size = layout.object_bytes
    raw = bytes((unit_type, layout.most)) + (NOON * 180)[: (size or 3) * layout.most]
    assert len(raw) <= 1024
    if size is not None:
        assert read_unit(raw).form == "standard"
        assert write_unit(read_unit(raw)) == raw


@given(raw=st.binary(max_size=1024))
def test_reading_never_fails_when_bytes_are_any(raw: bytes) -> None:
    """Whatever a unit holds, it comes back as an object that keeps its bytes."""
    unit, _ = decode_unit(raw, TABLES)
    assert write_unit(unit) == raw


ODD: dict[str, dict[str, Any]] = {
    "main_version": {"unit": "19010101", "main": 16},
    "command_user": {"unit": "19010101", "command": 200},
    "command_reserved": {"unit": "19010101", "command": 7},
    "command_type": {"unit": "590100", "command": 4},
    "heartbeat": {"unit": ""},
    "unit_missing": {"unit": "", "command": 4},
    "unit_unexpected": {"unit": "19010101", "command": 3},
    "unit_one_byte": {"unit": "16"},
    "unit_malformed": {"unit": "0201FFFF"},
    "type_user": {"unit": "960100"},
    "type_reserved": {"unit": "090100"},
    "tag_report": {"unit": "02010201B2000000000600B2239660400101" + "0406FB0000000014" + "023A091A090C"},
    "count_wrong": {"unit": "1501" + "08023A091A090C" * 2},
    "count_over_limit": {"unit": "1902" + "0101" * 2},
    "bytes_left": {"unit": "06010101024142" + "00"},
    "time_missing": {"unit": "150101"},
    "time_zero": {"unit": "150108000000000000"},
    "time_1970": {"unit": "1501080132020101E2"},
    "time_impossible": {"unit": "150108023A091F020C"},
    "text_binary": {"unit": "0701010128010203 04" + "FF" * 31},
    "text_leftover": {"unit": "0701010128010203 04" + "4100" + "42" * 29},
    "text_cut": {"unit": "0701010128010203 04" + "D5E2" * 15 + "D5"},
    "bits_reserved": {"unit": "150188023A091A090C"},
    "byte_reserved": {"unit": "510101", "command": 4},
    "records_over_limit": {"unit": "540167023A091A090C", "command": 4},
}
"""Tolerance -> a frame that uses it."""


@pytest.mark.parametrize("code", sorted(TOLERANCES))
def test_strict_encoder_refuses_when_decoding_needed_a_tolerance(
    code: str, tables: Tables, frame_of: MakeFrame
) -> None:
    """Each tolerance is told when a frame is read and named when the same frame is to be written."""
    if code == "type_private":
        tables, raw = Tables("short-objects"), frame_of("0201" + "00" * 16)
    else:
        raw = frame_of(**ODD[code])
    message = decode(raw, tables)
    assert code in message.codes
    with pytest.raises(MessageError, match=f"{code}.*want what the standard has") as caught:
        encode(message.frame, tables)
    assert caught.value.reason == "nonstandard"
    assert encode(message.frame, tables, message.codes) == raw


@pytest.mark.parametrize("unit_type", sorted(set(range(256)) - set(LAYOUTS_2011)))
def test_unit_stays_opaque_when_its_type_has_no_layout(unit_type: int) -> None:
    """Reserved and user types keep their bytes and are never guessed at."""
    unit = read_unit(bytes((unit_type, 1, 2, 3)))
    assert (unit.form, unit.objects, unit.body) == ("opaque", (), b"\x02\x03")


def test_objects_are_none_when_the_count_is_zero(tables: Tables, frame_of: MakeFrame) -> None:
    """n = 0 is refused: no object is made up, and the frame is to be denied."""
    message = decode(frame_of("0200"), tables)
    assert (message.unit.form, message.unit.objects) == ("malformed", ())
    assert message.deny == "object count 0, expected at least 1"


def test_message_is_denied_when_its_command_is_reserved(tables: Tables, frame_of: MakeFrame) -> None:
    """A good frame with a command the standard reserves is to be answered with deny."""
    assert decode(frame_of("19010101", command=99), tables).deny == "command 99 is reserved"
    assert decode(frame_of("19010101", command=200), tables).deny is None


@pytest.mark.parametrize(("unit_type", "most"), [(1, 3), (2, 2), (4, 3), (24, 2)])
def test_objects_are_read_without_time_when_the_sender_left_it_out(unit_type: int, most: int) -> None:
    """A unit whose objects lack exactly their six time bytes is read, time None; never as fewer whole objects."""
    size = LAYOUTS_2011[unit_type].object_bytes
    assert size is not None
    unit = read_unit(bytes((unit_type, most)) + bytes(size - 6) * most)
    times_read = [getattr(item, "time", "absent") for item in unit.objects]
    assert (unit.form, times_read) == ("malformed", [None] * most)


def test_nothing_is_read_when_bytes_fit_no_reading() -> None:
    """A rest that is neither whole objects nor objects without time gives no objects: they would be invented."""
    unit = read_unit(bytes((2, 2)) + bytes(46 + 17))
    assert (unit.objects, unit.error) == ((), "2 objects of type 2 need 94 bytes, unit has 65")


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        (standard_unit(1), "count: got 0 with 0 objects"),
        (standard_unit(9, o.DutyCheck(1)), "type: got 9, want a type of the standard"),
        (standard_unit(91, o.Reserved()), "object 1: got Reserved, want DutyCheck in type 91"),
        (standard_unit(91, o.DutyCheck(256)), "object 1: got .256., want numbers in range"),
        (standard_unit(28, o.Clock(TimeTag(b"\0"))), "object 1: time: got 1 bytes, want 6"),
        (standard_unit(7, o.ComponentConfiguration(1, 1, 40, 1, Text(b"A"))), "desc: got 1 bytes, want 31"),
        (standard_unit(26, o.TransmitterConfiguration(Text(bytes(256)))), "text: got 256 bytes, want at most 255"),
        (standard_unit(21, o.TransmitterStatus(1, None)), "time: got nothing, want a time tag"),
        (standard_unit(1, *[o.SystemStatus(1, 1, 1, TimeTag(NOON))] * 103), "got 1032 bytes, want at most 1024"),
    ],
)
def test_writing_is_refused_when_a_unit_cannot_be_standard(unit: Unit, text: str) -> None:
    """What does not fit is refused with object, field, got and wanted, never cut or padded."""
    with pytest.raises(MessageError, match=text) as caught:
        encode_unit(unit)
    assert caught.value.reason == "unit"


def test_analog_value_is_scaled_when_its_type_is_known(tables: Tables) -> None:
    """0.14 MPa travels as 1400 tenths of kPa; the code for MPa is too coarse; below zero is out of range."""
    kpa, mpa = tables.analog(5), tables.analog(4)
    assert kpa is not None
    assert mpa is not None
    assert (kpa.value(1400), kpa.unit, mpa.value(1), mpa.unit) == (140.0, "kPa", 0.1, "MPa")
    assert (kpa.is_in_range(32000), kpa.is_in_range(32001), kpa.is_in_range(-1)) == (True, False, False)
    assert (tables.analog(0), tables.analog(13)) == (None, None)


@pytest.mark.parametrize("code", range(1, 13))
def test_extremes_do_not_lose_digits_when_scaled(code: int, tables: Tables) -> None:
    """Every 16-bit value of every quantity is the nearest float to its decimal value."""
    kind = tables.analog(code)
    assert kind is not None
    digits = round(math.log10(kind.divisor))
    for raw in (-32768, -1, 0, 1, 333, 32767):
        assert kind.value(raw) == float(f"{raw}e-{digits}")


def test_tag_report_is_none_when_one_byte_is_missing() -> None:
    """The private report of tags is taken only when it fits to the last byte."""
    body = bytes.fromhex("0201B2000000000600B22396604001" + "01" + "0406FB0000000014" + "000000000000")
    report = read_tag_report(body)
    assert report is not None
    assert [entry.tag.hex() for entry in report.entries] == ["fb0000000014"]
    assert all(read_tag_report(body[:size]) is None for size in range(len(body)))


def test_layouts_have_the_sizes_of_the_standard_when_counted() -> None:
    """Object sizes, time tag included, type by type."""
    sizes = {code: layout.object_bytes for code, layout in LAYOUTS_2011.items()}
    assert sizes == {
        1: 10, 2: 46, 3: 16, 4: 10, 5: 4, 6: None, 7: 38, 8: 8, 21: 7, 24: 8, 25: 2, 26: None, 28: 6, 61: 2, 62: 6, 63:
        6, 64: 9, 65: 2, 66: 2, 67: 6, 68: 2, 81: 1, 84: 7, 85: 1, 86: 1, 88: 1, 89: 1, 90: 6, 91: 1,
    }  # fmt: skip
    wires = {layout.kind: layout.kind.WIRE for layout in LAYOUTS_2011.values() if layout.kind.WIRE}
    assert all(struct.calcsize(wire) and wire.startswith("<") for wire in wires.values())
    assert msgspec.structs.fields(o.ComponentStatus)[5].name == "desc"
