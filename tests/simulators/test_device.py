"""A device answers its map and nothing else, and writes down what was read of it."""

from __future__ import annotations

import struct

import pytest

from contract.profile import Profile
from simulators.device import Device
from simulators.identity import Identity
from simulators.recorder import Recorder
from simulators.truth import Segment, read_truth
from tests.simulators.clients import read_pdu, words_of
from tests.simulators.conftest import LIBRARY, MODBUS_PROFILES, Clock, device_of_vector, vector_of


@pytest.mark.parametrize("profile_id", MODBUS_PROFILES)
def test_registers_are_those_of_the_vector_when_read(profile_id: str, recorder: Recorder) -> None:
    """Reading each run of the vector gives values that mean the same."""
    profile = LIBRARY[profile_id]
    device = device_of_vector(profile_id, recorder)
    assert profile.modbus is not None
    for start, words in vector_of(profile).registers.items():
        got = words_of(device.answer(read_pdu(profile.modbus.function, start, len(words))))
        if all(point.states is None for point in device.points):
            assert got == [word & 0xFFFF for word in words]
    for name, value in vector_of(profile).values.items():
        assert device.value(name)[0] == (pytest.approx(value) if isinstance(value, float) else value)


@pytest.mark.parametrize(
    ("pdu", "answer"),
    [
        (read_pdu(3, 7, 1), b"\x83\x02"),
        (read_pdu(3, 5, 3), b"\x83\x02"),
        (read_pdu(3, 0, 0), b"\x83\x03"),
        (read_pdu(3, 0, 33), b"\x83\x03"),
        (b"\x03\x00\x00", b"\x83\x03"),
        (read_pdu(4, 0, 1), b"\x84\x01"),
        (b"\x2b\x0e\x05\x00", b"\xab\x03"),
        (b"\x2b\x0e\x04\x03", b"\xab\x02"),
        (b"\x2b\x0e\x01", b"\xab\x03"),
    ],
    ids=["outside", "half outside", "none", "more than a block", "short", "function", "code", "object", "short who"],
)
def test_exception_is_answered_when_the_read_does_not_fit(pdu: bytes, answer: bytes, recorder: Recorder) -> None:
    """A wrong read gets its exception and is no violation."""
    assert device_of_vector("hydrant-municipal", recorder).answer(pdu) == answer
    assert recorder.violations == 0


def test_identity_is_told_in_parts_when_it_does_not_fit_an_answer(recorder: Recorder) -> None:
    """Each answer says whether more follows and from where on; a device without one refuses."""
    device = Device("dev", LIBRARY["hydrant-municipal"], recorder, identity=Identity(b"Acme", b"HX-1", b"V1.2", 12))
    assert device.answer(b"\x2b\x0e\x01\x00") == b"\x2b\x0e\x01\x81\xff\x02\x02\x00\x04Acme\x01\x04HX-1"
    assert device.answer(b"\x2b\x0e\x01\x02") == b"\x2b\x0e\x01\x81\x00\x00\x01\x02\x04V1.2"
    assert device.answer(b"\x2b\x0e\x04\x01") == b"\x2b\x0e\x04\x81\x00\x00\x01\x01\x04HX-1"
    device.identity = None
    assert device.answer(b"\x2b\x0e\x01\x00") == b"\xab\x01"
    assert recorder.violations == 0


def test_another_encapsulated_interface_is_a_violation_when_asked_for(recorder: Recorder) -> None:
    """MEI type 13 carries CANopen services, which write."""
    assert device_of_vector("hydrant-municipal", recorder).answer(b"\x2b\x0d\x00\x00") == b"\xab\x01"
    assert recorder.violations == 1


@pytest.mark.parametrize("function", [5, 6, 8, 15, 16, 22, 23])
def test_write_is_refused_and_counted_when_attempted(function: int, recorder: Recorder) -> None:
    """Nothing may write to equipment: exception 1, a violation on record, and no value changed."""
    device = device_of_vector("pump-controller", recorder)
    assert device.answer(struct.pack(">BHH", function, 0, 1)) == bytes((function | 0x80, 1))
    recorder.close()
    (violation,) = read_truth(recorder.path).violations
    assert (violation.device, violation.function) == ("dev", function)
    assert device.value("mode") == ("auto", "good")


def test_holes_are_answered_when_the_profile_lets_readers_bridge_them(recorder: Recorder) -> None:
    """Indoor hydrant: registers 1-3 and 5 are unused, max_gap 4 says they may be read along."""
    device = device_of_vector("hydrant-indoor", recorder)
    assert words_of(device.answer(read_pdu(3, 0, 7))) == [2600, 0, 0, 0, 64, 0, 1]


def test_hole_is_refused_when_it_is_wider_than_the_profile_allows(recorder: Recorder) -> None:
    """A panel of 16 points has nothing between its points and its power registers."""
    device = Device("panel", LIBRARY["panel-modbus"], recorder, points=16)
    assert len(words_of(device.answer(read_pdu(3, 0, 16)))) == 16
    assert device.answer(read_pdu(3, 0, 17)) == b"\x83\x02"
    assert words_of(device.answer(read_pdu(3, 242, 3))) == [0, 0, 0]


def test_segments_tell_when_and_how_often_a_value_was_read(recorder: Recorder, clock: Clock) -> None:
    """Each level of each point has its time and its reads, and only reads that covered it."""
    device = device_of_vector("extinguisher-bay", recorder)
    clock.ms += 100
    device.answer(read_pdu(3, 0, 3))
    clock.ms += 100
    device.answer(read_pdu(3, 1, 2))
    clock.ms += 100
    device.set("present", False)
    clock.ms += 100
    recorder.close()
    by_point: dict[str, list[Segment]] = {}
    for segment in read_truth(recorder.path).segments:
        by_point.setdefault(segment.point, []).append(segment)
    (pressure,) = by_point["dev/pressure_kpa"]
    assert (pressure.value, pressure.served, pressure.from_ms, pressure.to_ms) == (1205.0, 1, 1_000_000, 1_000_400)
    there, gone = by_point["dev/present"]
    assert (there.value, there.served, there.first_served_ms, there.last_served_ms, there.to_ms) == (
        True, 2, 1_000_100, 1_000_200, 1_000_300,
    )  # fmt: skip
    assert (gone.value, gone.served, gone.first_served_ms) == (False, 0, None)
    assert [segment.value for segment in by_point["dev/tilted"]] == [False]


def test_segment_holds_the_rounded_value_when_the_register_is_coarser(recorder: Recorder) -> None:
    """Truth is what a correct decoder must give, not what the story wished for."""
    device = device_of_vector("hydrant-municipal", recorder)
    device.set("pressure_kpa", 201.2345)
    level = recorder.level("dev/pressure_kpa")
    assert level is not None
    assert level.value == pytest.approx(201.2)


def test_segment_is_bad_without_value_when_a_sensor_is_missing(recorder: Recorder) -> None:
    """A missing word is truth as well: no value, and the quality says why."""
    device = device_of_vector("hydrant-municipal", recorder)
    device.set("pressure_kpa", None)
    assert device.value("pressure_kpa") == (None, "bad:missing")
    device.set_raw(0, 60000)
    assert device.value("pressure_kpa") == (None, "bad:out_of_range")
    level = recorder.level("dev/pressure_kpa")
    assert level is not None
    assert (level.value, level.quality) == (None, "bad:out_of_range")


def test_coils_are_packed_when_the_profile_reads_bits(recorder: Recorder) -> None:
    """Function 2 answers one bit an address, first address in the lowest bit."""
    raw = LIBRARY["extinguisher-bay"].model_dump(by_alias=True, exclude={"points", "test_vector", "repeat_name"})
    title = {"zh": "点", "en": "point"}
    points = [{"name": f"b{n}", "title": title, "register": n, "type": "bit", "bit": 0} for n in range(10)]
    vector = {"registers": {0: [1]}, "values": {"b0": True}}
    profile = Profile.model_validate(
        raw | {"modbus": {"function": 2}, "points": points, "test_vector": vector, "repeat": None}
    )
    device = Device("dev", profile, recorder, start={"b0": True, "b3": True, "b9": True})
    assert device.answer(read_pdu(2, 0, 10)) == b"\x02\x02\x09\x02"


def test_start_value_is_refused_when_the_profile_has_no_such_point(recorder: Recorder) -> None:
    """A slip in a plan is told, not passed over."""
    with pytest.raises(ValueError, match="got start values for"):
        Device("dev", LIBRARY["water-level"], recorder, start={"levle_m": 1.0})
