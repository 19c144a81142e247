"""Simulated foreign sensors send what their makers' examples and profiles say."""

from __future__ import annotations

import pytest

from contract.mqtt_device import MqttVector
from contract.profile import Profile, ProfileLibrary
from simulators.json_sensor import JsonSensor
from simulators.meokon import Terminal

JSON = [profile for profile in ProfileLibrary() if profile.mqtt_json is not None]


def test_the_published_frames_come_out_when_encoded() -> None:
    """Both of the maker's examples, byte for byte."""
    first = Terminal("SHRP25090120", 605, 0, 2500, rssi_dbm=-48, interval_s=0)
    first.record()
    second = Terminal("SHMK19060013", 538, 100, 500, rssi_dbm=-56, interval_s=60)
    second.records_kpa.extend((537, 538, 534, 536, 536, 531, 542, 540, 541, 541))

    assert first.payload(1761589383) == (
        b"A55A00002953485250323530393031323034D0000000010100000009C4025D68FFB887025D843E55AA"
    )
    assert second.payload(1561945782) == (
        b"A55A00003B53484D4B313930363030313334C8003C000A0102006401F4021A5D1966B6"
        b"0219021A0216021802180213021E021C021D021D7E0355AA"
    )


@pytest.mark.parametrize("profile", JSON, ids=lambda profile: profile.id)
def test_a_json_sensor_sends_the_document_of_its_profile(profile: Profile) -> None:
    """From the values of the vector comes the vector's document, topic included."""
    vector = profile.test_vector
    assert isinstance(vector, MqttVector)
    assert isinstance(vector.payload, dict)
    sensor = JsonSensor(profile, vector.device, vector.values)

    document = sensor.document(vector.time_ms)

    assert sensor.topic == vector.topic
    assert {name: document[name] for name in document if name not in ("readings", "last_seen")} == {
        name: vector.payload[name] for name in vector.payload if name not in ("readings", "last_seen")
    }
