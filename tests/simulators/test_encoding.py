"""Registers and values of every profile agree with its frozen example, both ways."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.profile import Modbus, Point
from simulators import encoding
from simulators.encoding import TransmitterSetting
from tests.simulators.conftest import LIBRARY, MODBUS_PROFILES, image_of, vector_of


def _point(**fields: Any) -> Point:
    return Point.model_validate({"name": "x_kpa", "title": {"zh": "值", "en": "value"}, "register": 0} | fields)


def _image(words: list[encoding.Word]) -> dict[int, int]:
    image: dict[int, int] = {}
    for word in words:
        image[word.register] = image.get(word.register, 0) & ~word.mask | word.word & word.mask
    return image


@pytest.mark.parametrize("profile_id", MODBUS_PROFILES)
def test_registers_match_when_vector_values_are_encoded(profile_id: str) -> None:
    """Every bit a point owns is as in the vector (a state that several codes mean may use another of them)."""
    profile = LIBRARY[profile_id]
    assert profile.modbus is not None
    vector = vector_of(profile)
    want = image_of(vector)
    for name, value in vector.values.items():
        point = profile.point(name)
        assert point is not None
        setting = encoding.default_setting(profile, point)
        for word in encoding.encode(point, value, profile.modbus, setting):
            got, wanted = word.word & word.mask, want[word.register] & word.mask
            if point.states is not None:
                assert point.states[got] == point.states[wanted] == value
            else:
                assert got == wanted, (name, word)


@pytest.mark.parametrize("profile_id", MODBUS_PROFILES)
def test_values_match_when_vector_registers_are_decoded(profile_id: str) -> None:
    """The truth the simulator writes is that of the vector."""
    profile = LIBRARY[profile_id]
    assert profile.modbus is not None
    vector = vector_of(profile)
    image = image_of(vector)
    for name, value in vector.values.items():
        point = profile.point(name)
        assert point is not None
        got, quality = encoding.decode(point, image, profile.modbus)
        assert got == (pytest.approx(value) if isinstance(value, float) else value)
        assert quality == vector.qualities.get(name, "good")


@pytest.mark.parametrize(
    ("order", "words"), [("big", [0x4148, 0x0000]), ("little", [0x0000, 0x4148])], ids=["big", "little"]
)
def test_float32_words_stand_in_order_when_profile_says_so(order: str, words: list[int]) -> None:
    """12.5 is 0x41480000; a little word order puts the low word first."""
    modbus, point = Modbus.model_validate({"word_order": order}), _point(type="float32")
    got = encoding.encode(point, 12.5, modbus)
    assert [word.word for word in got] == words
    assert encoding.decode(point, _image(got), modbus) == (12.5, "good")


@given(value=st.integers(-(2**31), 2**31 - 1), order=st.sampled_from(["big", "little"]))
def test_int32_comes_back_when_encoded(value: int, order: str) -> None:
    """Two words carry every int32 in either order."""
    modbus, point = Modbus.model_validate({"word_order": order}), _point(type="int32")
    words = encoding.encode(point, value, modbus)
    high, low = struct.unpack(">HH", struct.pack(">i", value))
    assert [word.word for word in words] == ([high, low] if order == "big" else [low, high])
    assert encoding.decode(point, _image(words), modbus) == (float(value), "good")


@given(value=st.floats(-50, 3000))
def test_value_is_within_half_a_step_when_decoded_again(value: float) -> None:
    """Rounding to the register is all that happens to a value."""
    point = _point(type="int32", scale=0.1, offset=-5)
    got, _ = encoding.decode(point, _image(encoding.encode(point, value, Modbus())), Modbus())
    assert got == pytest.approx(value, abs=0.0500001)


@pytest.mark.parametrize(
    ("fields", "image", "quality"),
    [
        ({"missing": [0xFFFF]}, {0: 0xFFFF}, "bad:missing"),
        ({"range": [0, 100]}, {0: 101}, "bad:out_of_range"),
        ({"type": "float32"}, {0: 0x7FC0, 1: 0}, "bad:not_a_number"),
        ({"name": "s", "type": "state", "states": {0: "normal"}}, {0: 3}, "bad:unknown_state"),
        (
            {"device_unit": {"unit_register": 1, "decimals_register": 2, "unit_codes": {1: "kPa"}}},
            {0: 1, 1: 9, 2: 0},
            "bad:unknown_unit",
        ),
    ],
    ids=["missing", "range", "nan", "state", "unit"],
)
def test_there_is_no_value_when_registers_hold_no_measurement(
    fields: dict[str, Any], image: dict[int, int], quality: str
) -> None:
    """What is no measurement is bad with its cause, never a number."""
    assert encoding.decode(_point(**fields), image, Modbus()) == (None, quality)


def test_transmitter_value_comes_back_when_unit_and_offset_are_its_own() -> None:
    """3.25 m in millimetres with an offset of -15 is 3265 in the register."""
    profile = LIBRARY["transmitter-level"]
    assert profile.modbus is not None
    words = encoding.encode(profile.points[0], 3.25, profile.modbus, TransmitterSetting(10, 0, -15))
    assert _image(words) == {4: 3265, 2: 10, 3: 0, 12: 0xFFF1}
    value, quality = encoding.decode(profile.points[0], _image(words), profile.modbus)
    assert value == pytest.approx(3.25)
    assert quality == "good"


@pytest.mark.parametrize(
    ("fields", "value", "text"),
    [
        ({}, None, "x_kpa: got None, want a value. The profile has no missing word."),
        ({}, 70000, "x_kpa: got raw 70000, want what fits uint16."),
        ({}, "high", "x_kpa: got 'high', want a number."),
        ({"name": "s", "type": "state", "states": {0: "off"}}, "on", "s: got 'on', want one of ['off']."),
    ],
)
def test_value_is_refused_when_the_point_cannot_carry_it(fields: dict[str, Any], value: Any, text: str) -> None:
    """A story cannot ask for what no register can say."""
    with pytest.raises(ValueError) as caught:
        encoding.encode(_point(**fields), value, Modbus())
    assert str(caught.value) == text
