"""Foreign formats: the published frames, the frozen vectors of the profiles, faults and fuzz."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract import quality
from contract.errors import MessageError
from contract.json_path import ABSENT, find, parse_path
from contract.mqtt_device import MqttVector, device_in
from contract.profile import Profile, ProfileLibrary
from edge_agents.foreign import json_sensor, meokon
from edge_agents.foreign.drivers import decoder_of
from edge_agents.foreign.json_sensor import parse_time
from edge_agents.foreign.message import MAX_PAYLOAD, UNREADABLE_TIME, Message

LIBRARY = ProfileLibrary()
SENDERS = [profile for profile in LIBRARY if profile.topic is not None]
FRAMES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("meokon_frames.json").read_text("utf-8"))
TERMINAL = LIBRARY["wireless-hydrant-meokon"]
DETECTOR = LIBRARY["json-smoke-heat"]


def described(frame: meokon.Frame) -> dict[str, Any]:
    """A frame in the words of the fixture."""
    assert TERMINAL.mqtt_frame is not None
    unit = TERMINAL.mqtt_frame.units[frame.unit_code]
    assert unit.scale is not None
    return {
        "total_length": 39 + 2 * len(frame.records),
        "device_id": frame.device,
        "battery_percent": frame.battery_pct,
        "battery_mode": frame.battery_mode,
        "external_power": frame.external_power,
        "rssi_dbm": frame.rssi_dbm,
        "record_interval_s": frame.interval_s,
        "record_count": len(frame.records),
        "unit_code": frame.unit_code,
        "unit": unit.unit,
        "scale": unit.scale,
        "alarm_bits": frame.alarm_bits,
        "alarms": [name for name, is_on in frame.alarms.items() if is_on],
        "low_limit": pytest.approx(frame.low * unit.scale),
        "high_limit": pytest.approx(frame.high * unit.scale),
        "current": pytest.approx(frame.now * unit.scale),
        "utc_seconds": frame.time_s,
        "time_utc": datetime.fromtimestamp(frame.time_s, UTC).isoformat(),
        "records": pytest.approx([raw * unit.scale for raw in frame.records]),
    }


@pytest.mark.parametrize("example", FRAMES, ids=lambda example: str(example["id"]))
def test_published_frame_gives_every_field_when_decoded(example: dict[str, Any]) -> None:
    """Each field of the maker's examples, the time and the cached records included."""
    got = described(meokon.parse_frame(bytes.fromhex(example["hex"])))

    assert {key: example["decoded"][key] for key in got} == got


@pytest.mark.parametrize("profile", SENDERS, ids=lambda profile: profile.id)
def test_vector_of_a_profile_gives_its_values_when_decoded(profile: Profile) -> None:
    """Topic, time, values and qualities are those frozen in the profile, and every point is spoken of."""
    vector = profile.test_vector
    assert isinstance(vector, MqttVector)
    assert profile.topic is not None
    payload = vector.payload if isinstance(vector.payload, str) else json.dumps(vector.payload)

    message = decoder_of(profile)(vector.device, payload.encode())

    assert device_in(profile.topic, vector.topic) == vector.device
    assert message.time_ms == vector.time_ms
    assert {seen.point: seen.value for seen in message.current} == vector.values
    assert {s.point: s.quality for s in message.current if s.quality != "good"} == vector.qualities
    assert {seen.point for seen in message.current} == {point.name for point in profile.points}


def test_cached_records_have_their_own_times_when_there_is_an_interval() -> None:
    """Ten records a minute apart, old to new, the newest at the frame's time."""
    message = decoder_of(TERMINAL)("SHMK19060013", FRAMES[1]["hex"].encode())

    times = [sample.time_ms for sample in message.cached]
    assert times == [1561945782_000 - 60_000 * back for back in range(9, -1, -1)]
    assert [sample.measured.value for sample in message.cached][:3] == [537.0, 538.0, 534.0]


GOOD = bytes.fromhex(FRAMES[0]["hex"])


def sealed(body: bytes) -> bytes:
    """The frame with a right checksum."""
    return body + meokon.crc16(body).to_bytes(2, "big") + b"\x55\xaa"


@pytest.mark.parametrize(
    ("payload", "device", "text"),
    [
        (GOOD[:-5].hex(), "", "short: got 36 bytes, want at least 39"),
        ((GOOD * 31).hex(), "", "long: got 1271 bytes, want at most 1239"),
        (GOOD.hex()[:-1], "", "not_hex: got b'a55a0000295348525032', want an even number of hex digits"),
        ("", "", "not_hex: got b'', want an even number of hex digits"),
        ("a5" * MAX_PAYLOAD, "", "oversized: got 32768 characters, want at most 16384"),
        ((b"\x5a\xa5" + GOOD[2:]).hex(), "", "start: got 5aa5, want a55a"),
        ((GOOD[:-2] + b"\xaa\x55").hex(), "", "end: got aa55, want 55aa"),
        ((GOOD[:-4] + GOOD[-3:-5:-1] + GOOD[-2:]).hex(), "", "crc: got 3e84, want 843e (high byte first)"),
        ((GOOD[:30] + b"\x00" + GOOD[31:]).hex(), "", "crc: got 843e, want "),
        (sealed(GOOD[:3] + b"\x00\x28" + GOOD[5:-4]).hex(), "", "length: got 41 bytes, want the 40 it says"),
        (sealed(GOOD[:2] + b"\x01" + GOOD[3:-4]).hex(), "", "command: got 0x01, want 0x00"),
        (sealed(GOOD[:21] + b"\x00\x02" + GOOD[23:-4]).hex(), "", "count: got 2 records in 41 bytes, want 1"),
        (sealed(GOOD[:5] + b"\x00" + GOOD[6:-4]).hex(), "", "id: got b'\\x00HRP25090120', want 12 printable ASCII"),
        (GOOD.hex(), "SHRP25090121", "identity: got a frame of 'SHRP25090120', want 'SHRP25090121' as in the topic"),
        (sealed(GOOD[:23] + b"\x18" + GOOD[24:-4]).hex(), "",
         "type: got unit or type code 24, want one of 0, 1, 2, 34. Choose its profile"),
    ],
)  # fmt: skip
def test_wrong_frame_is_refused_with_what_was_got_and_wanted(payload: str, device: str, text: str) -> None:
    """Each fault has its own stable word and says what was found."""
    with pytest.raises(MessageError) as caught:
        decoder_of(TERMINAL)(device or "SHRP25090120", payload.encode())

    assert str(caught.value).startswith(text)


def test_a_spoilt_battery_byte_or_pressure_is_no_value_when_out_of_range() -> None:
    """31 x 5 % is no charge, 65.535 MPa no pressure."""
    frame = sealed(GOOD[:17] + b"\x1f" + GOOD[18:29] + b"\xff\xff" + GOOD[31:-4])

    seen = {m.point: m for m in decoder_of(TERMINAL)("SHRP25090120", frame.hex().encode()).current}

    assert (seen["battery_pct"].value, seen["battery_pct"].quality) == (None, "bad:out_of_range")
    assert (seen["pressure_kpa"].value, seen["pressure_kpa"].quality) == (None, "bad:out_of_range")


def detect(**changes: Any) -> dict[str, tuple[Any, str]]:
    """The detector's points after changes to the document of its vector."""
    assert isinstance(DETECTOR.test_vector, MqttVector)
    document = json.loads(json.dumps(DETECTOR.test_vector.payload)) | changes
    message = decoder_of(DETECTOR)("x", json.dumps(document).encode())
    return {seen.point: (seen.value, seen.quality) for seen in message.current}


def test_a_json_value_that_is_no_measurement_is_never_a_value() -> None:
    """Missing markers, wrong types, unknown words and absent keys each have their quality."""
    assert detect(readings=[{"value": -9999}])["temperature_c"] == (None, "bad:missing")
    assert detect(readings=[{"value": None}])["temperature_c"] == (None, "bad:missing")
    assert detect(readings=[])["temperature_c"] == (None, "bad:missing")
    assert detect(readings=[{"value": "23"}])["temperature_c"] == (None, "bad:not_a_number")
    assert detect(readings=[{"value": True}])["temperature_c"] == (None, "bad:not_a_number")
    assert detect(readings=[{"value": 99999}])["temperature_c"] == (None, "bad:out_of_range")
    assert detect(readings=[{"value": 10**400}])["temperature_c"][0] is None
    assert detect(alarm={"smoke": 7, "heat": "ok"})["smoke"] == (None, "bad:unknown_state")
    assert detect(alarm={"smoke": 1.0, "heat": "OK"})["smoke"] == ("fire", "good")
    assert detect(alarm={"smoke": 1, "heat": {"a": 1}})["heat"] == (None, "bad:unknown_state")
    assert "tampered" not in detect(alarm={"smoke": 1, "heat": "ok"})


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"{", "undecodable: "),
        (b"\xff", "undecodable: "),
        (b"[" * 9000, "undecodable: "),
        (b" " * 20000, "oversized: got 20000 bytes, want at most 16384"),
        (b'{"a": 1}', "nothing_known: got b'{\"a\": 1}', want a document with one of alarm.smoke, alarm.heat,"),
        (b"7", "nothing_known: "),
    ],
)
def test_json_that_is_no_message_is_refused(payload: bytes, text: str) -> None:
    """Each fault has its own stable word."""
    with pytest.raises(MessageError) as caught:
        decoder_of(DETECTOR)("x", payload)

    assert str(caught.value).startswith(text)


@pytest.mark.parametrize(
    ("raw", "unit", "time_ms"),
    [
        (1760000000, "s", 1760000000000),
        ("1760000000.5", "s", 1760000000500),
        (1760000000123, "ms", 1760000000123),
        ("2025-10-27T18:23:03.250+08:00", "iso", 1761560583250),
        ("2025-10-27T18:23:03", "iso", None),
        ("yesterday", "iso", None),
        (5, "iso", None),
        (-1, "s", None),
        ("nan", "s", None),
        (10**400, "s", None),
        (True, "s", None),
        ([], "ms", None),
    ],
)
def test_a_time_is_read_in_its_unit_or_not_at_all(raw: Any, unit: str, time_ms: int | None) -> None:
    """A zone is wanted; what cannot be read is None."""
    assert parse_time(raw, unit) == time_ms


def test_a_fire_with_a_spoilt_time_is_still_a_message() -> None:
    """The time is marked unreadable, the values stand."""
    message = decoder_of(DETECTOR)("x", b'{"ts": "soon", "alarm": {"smoke": 1}}')

    assert message.time_ms == UNREADABLE_TIME
    assert message.current[0] == ("smoke", "fire", "good")


def test_paths_find_what_stands_in_a_document() -> None:
    """Names, numbers and both; nothing is ABSENT, null is None."""
    document = {"a": [{"b-c": None}, [1, 2]], "值": 3}

    assert find(document, parse_path("a[0].b-c")) is None
    assert find(document, parse_path("a[1][1]")) == 2
    assert find(document, parse_path("值")) == 3
    assert [find(document, parse_path(p)) for p in ("a.b", "a[7]", "x", "值[0]", "a[0].b-c.d")] == [ABSENT] * 5


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a[", "a[x]", "a[-1]", "a b", "a]", "[0]b", "a." * 20])
def test_a_wrong_path_is_refused(text: str) -> None:
    """What is no path is said at once, not when the first message comes."""
    with pytest.raises(ValueError, match="path: got"):
        parse_path(text)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.binary(max_size=80), st.binary(max_size=60).map(lambda raw: raw.hex().encode())))
def test_frame_parser_refuses_or_decodes_when_fed_anything(payload: bytes) -> None:
    """Nothing but MessageError ever comes out."""
    with pytest.raises(MessageError):
        decoder_of(TERMINAL)("SHRP25090120", payload)


@settings(max_examples=400, deadline=None)
@given(
    st.binary(min_size=28, max_size=28), st.lists(st.integers(0, 65535), max_size=30), st.sampled_from([0, 1, 2, 34])
)
def test_whole_frames_decode_when_their_fields_are_anything(fields: bytes, records: list[int], unit: int) -> None:
    """Every frame with a right checksum gives each point once and every record."""
    head = GOOD[:3] + (39 + 2 * len(records)).to_bytes(2, "big") + GOOD[5:17] + fields[:4]
    head += len(records).to_bytes(2, "big") + bytes([unit]) + fields[4:15]
    frame = sealed(head + b"".join(raw.to_bytes(2, "big") for raw in records))

    message = decoder_of(TERMINAL)("SHRP25090120", frame.hex().encode())

    assert len(message.cached) == len(records)
    check(TERMINAL, message)


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(st.fixed_dictionaries({"alarm": DOCUMENTS, "readings": DOCUMENTS, "battery": DOCUMENTS, "ts": DOCUMENTS}))
def test_json_documents_decode_when_their_values_are_anything(document: dict[str, Any]) -> None:
    """Every point has a legal value and quality, whatever stands at its path."""
    check(DETECTOR, json_sensor.decoder(DETECTOR)("x", msgspec.json.encode(document)))


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_json_parser_refuses_or_decodes_when_fed_anything(payload: bytes) -> None:
    """Nothing but MessageError ever comes out."""
    try:
        message = json_sensor.decoder(DETECTOR)("x", payload)
    except MessageError:
        return
    check(DETECTOR, message)


def check(profile: Profile, message: Message) -> None:
    """Every value has the type of its point and a legal quality."""
    for seen in [*message.current, *(sample.measured for sample in message.cached)]:
        point = profile.point(seen.point)
        assert point is not None
        assert quality.is_valid(seen.quality)
        assert (seen.value is None) == (seen.quality != "good")
        if seen.value is not None:
            kind = float if point.is_number else str if point.type == "state" else bool
            assert type(seen.value) is kind
