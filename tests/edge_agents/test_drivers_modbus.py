"""Planning of reads and decoding of registers."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.profile import ModbusVector, Point, Profile, ProfileLibrary
from edge_agents.drivers.modbus import decode_group, decode_point, plan_reads, spans_of

MODBUS = [profile.id for profile in ProfileLibrary() if profile.modbus is not None]


def make_profile(points: list[dict[str, Any]], **modbus: Any) -> Profile:
    """A profile with these points; titles are filled in."""
    return Profile.model_validate(
        {
            "id": "t",
            "title": {"zh": "试", "en": "T"},
            "category": "water",
            "source": "made for a test",
            "modbus": modbus,
            "points": [{"title": {"zh": "点", "en": "P"}, **point} for point in points],
            "test_vector": {"registers": {}, "values": {}},
        }
    )


def decode_one(point: dict[str, Any], registers: dict[int, int], **modbus: Any) -> tuple[Any, str]:
    """Value and quality of a single point."""
    plan = plan_reads(make_profile([point], **modbus))
    value, quality = decode_point(plan.points[0], registers, modbus.get("word_order", "big"))
    return value, quality


@pytest.mark.parametrize("profile_id", MODBUS)
def test_every_profile_decodes_its_frozen_vector(profile_id: str) -> None:
    """Each shipped profile's registers give exactly the values and qualities of its test vector."""
    profile = ProfileLibrary()[profile_id]
    vector = profile.test_vector
    assert isinstance(vector, ModbusVector)
    registers = dict.fromkeys(range(300), 0)
    for first, words in vector.registers.items():
        registers.update({first + n: word & 0xFFFF for n, word in enumerate(words)})
    plan = plan_reads(profile)
    seen = {read.point.name: got for group in plan.groups for read, got in decode_group(group, registers)}
    assert {name: seen[name].value for name in vector.values} == vector.values
    qualities = dict.fromkeys(vector.values, "good") | vector.qualities
    assert {name: seen[name].quality for name in vector.values} == qualities


@pytest.mark.parametrize("profile_id", MODBUS)
def test_a_plan_reads_every_point_once_when_made_from_a_shipped_profile(profile_id: str) -> None:
    """Each point is in exactly one group, and no block passes what the device answers."""
    profile = ProfileLibrary()[profile_id]
    assert profile.modbus is not None
    plan = plan_reads(profile)
    names = [read.point.name for group in plan.groups for read in group.points]
    assert sorted(names) == sorted(point.name for point in profile.points_for(None) if not point.text)
    assert max(block.size for group in plan.groups for block in group.blocks) <= profile.modbus.max_block


def test_alarm_blocks_come_first_when_a_device_has_both() -> None:
    """A block with an alarm point is read before one without."""
    plan = plan_reads(
        make_profile([{"name": "a", "register": 0}, {"name": "b", "register": 90, "lane": "alarm"}], max_gap=0)
    )
    assert [group.is_alarm for group in plan.groups] == [True, False]


def test_a_transmitter_is_read_as_one_group_when_its_unit_code_is_far_away() -> None:
    """The value and the registers that give it meaning belong to one group, in two blocks."""
    unit = {"unit_register": 500, "decimals_register": 501, "unit_codes": {3: "bar"}}
    plan = plan_reads(make_profile([{"name": "pressure_kpa", "register": 4, "device_unit": unit}]))
    assert [[(block.address, block.size) for block in group.blocks] for group in plan.groups] == [[(4, 1), (500, 2)]]


points = st.lists(
    st.tuples(st.integers(0, 400), st.sampled_from(["uint16", "int16", "uint32", "float32"])),
    min_size=1,
    max_size=60,
)


@settings(deadline=None)
@given(points, st.integers(2, 125), st.integers(0, 60))
def test_blocks_hold_every_span_whole_for_any_map(drawn: list[tuple[int, str]], max_block: int, max_gap: int) -> None:
    """Whatever the map: no point is parted, no block is too long, no hole is wider than allowed."""
    named = [{"name": f"p{n}", "register": register, "type": kind} for n, (register, kind) in enumerate(drawn)]
    profile = make_profile(named, max_block=max_block, max_gap=max_gap)
    plan = plan_reads(profile)
    assert sorted(read.at for group in plan.groups for read in group.points) == list(range(len(named)))
    used: set[int] = set()
    for read in plan.points:
        used |= {first + n for first, words in spans_of(read.point) for n in range(words)}
    for group in plan.groups:
        for read in group.points:
            for first, words in spans_of(read.point):
                assert any(b.address <= first and first + words <= b.address + b.size for b in group.blocks)
        for block in group.blocks:
            assert block.size <= max_block
            hole = 0
            for register in range(block.address, block.address + block.size):
                hole = 0 if register in used else hole + 1
                assert hole <= max_gap


@settings(deadline=None)
@given(st.integers(-32768, 32767), st.integers(-(2**31), 2**31 - 1), st.floats(width=32, allow_nan=False))
def test_numbers_come_back_when_encoded_by_struct(small: int, big: int, real: float) -> None:
    """int16, int32 and float32 in both word orders agree with struct's own encoding."""
    assert decode_one({"name": "v", "register": 0, "type": "int16"}, {0: small & 0xFFFF}) == (small, "good")
    for order in ("big", "little"):
        for kind, code, value in (("int32", ">i", big), ("float32", ">f", real)):
            words = list(struct.unpack(">HH", struct.pack(code, value)))
            registers = dict(enumerate(words if order == "big" else words[::-1]))
            got = decode_one({"name": "v", "register": 0, "type": kind}, registers, word_order=order)
            assert got == ((value, "good") if abs(value) != float("inf") else (None, "bad:not_a_number"))


@pytest.mark.parametrize(
    ("point", "registers", "expected"),
    [
        ({"type": "float32"}, {0: 0x7FC0, 1: 0}, (None, "bad:not_a_number")),
        ({"type": "float32"}, {0: 0x7F80, 1: 0}, (None, "bad:not_a_number")),
        ({"missing": [0xFFFF]}, {0: 0xFFFF}, (None, "bad:missing")),
        ({"type": "int16", "missing": [0x8000]}, {0: 0x8000}, (None, "bad:missing")),
        ({"type": "uint32", "missing": [0xFFFFFFFF]}, {0: 0xFFFF, 1: 0xFFFF}, (None, "bad:missing")),
        ({"range": [0, 100]}, {0: 101}, (None, "bad:out_of_range")),
        ({"range": [0, 100]}, {0: 100}, (100.0, "good")),
        ({"type": "state", "states": {0: "normal"}}, {0: 7}, (None, "bad:unknown_state")),
        ({"type": "bit", "bit": 15}, {0: 0x8000}, (True, "good")),
        ({"scale": 0.1}, {0: 12}, (1.2, "good")),
        ({}, {0: 0}, (0.0, "good")),
    ],
)
def test_a_value_is_none_exactly_when_its_quality_is_bad(
    point: dict[str, Any], registers: dict[int, int], expected: tuple[Any, str]
) -> None:
    """What is no measurement gives no value; zero is a value."""
    assert decode_one({"name": "v", "register": 0, **point}, registers) == expected


@pytest.mark.parametrize(("code", "decimals", "cause"), [(99, 2, "bad:unknown_unit"), (3, 12, "bad:decimals")])
def test_a_transmitter_gives_no_value_when_its_unit_makes_no_sense(code: int, decimals: int, cause: str) -> None:
    """An unlisted unit code or absurd decimals are never guessed."""
    plan = plan_reads(ProfileLibrary()["transmitter-pressure"])
    registers = dict.fromkeys(range(13), 0) | {2: code, 3: decimals, 4: 605}
    assert decode_point(plan.points[0], registers) == (None, cause)


def test_alarm_points_are_those_of_the_profile() -> None:
    """The plan knows which points travel on the alarm lane."""
    profile = ProfileLibrary()["pump-controller"]
    expected = {point.name: point.lane == "alarm" for point in profile.points}
    assert {read.point.name: read.is_alarm for read in plan_reads(profile).points} == expected
    assert isinstance(profile.points[0], Point)
