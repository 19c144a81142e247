"""Profiles and lines of sensors that send by themselves: what contradicts itself is refused with place and reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.errors import ConfigError
from contract.mqtt_device import device_in, topic_filter
from contract.profile import PROFILES, ProfileLibrary, load_profile
from contract.site import MqttLine, load_site

SITE = """\
site: s1
title: {zh: 站, en: Station}
agents:
  - id: a1
    lines:
      - id: wireless
        kind: mqtt
        host: 127.0.0.1
        devices:
          - {id: h1, profile: wireless-hydrant-meokon, address: SHRP25090120}
          - {id: d1, profile: json-smoke-heat, address: SD-8841}
"""
AT = "site.yaml:10: agents[0].lines[0].devices[0]"


def test_a_line_of_foreign_sensors_is_read(tmp_path: Path) -> None:
    """Kind, broker and the address of each sensor."""
    path = tmp_path / "site.yaml"
    path.write_text(SITE, "utf-8")

    placed = list(load_site(path, ProfileLibrary()).placed())

    assert isinstance(placed[0].line, MqttLine)
    assert [(p.entry.address, p.profile.topic) for p in placed] == [
        ("SHRP25090120", "GIOT-GW/UL/{device}"),
        ("SD-8841", "fire/{device}/state"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (", address: SHRP25090120}", "}", f"{AT}.address: got nothing, want the sensor's id as it stands in"),
        ("address: SHRP25090120}", "address: a/b}", f"{AT}.address: got 'a/b', want match pattern"),
        ("json-smoke-heat, address: SD-8841", "wireless-hydrant-meokon, address: SHRP25090120",
         "devices[1].address: got 'SHRP25090120', which h1 has on this line. Enter each sensor once."),
        ("wireless-hydrant-meokon, address: SHRP25090120", "hydrant-municipal, unit_id: 1",
         f"{AT}.profile: got 'hydrant-municipal' on a mqtt line, want a modbus_tcp, modbus_rtu or"),
        ("kind: mqtt", "kind: modbus_tcp",
         f"{AT}.profile: got 'wireless-hydrant-meokon' on a modbus_tcp line, want a mqtt line."),
    ],
)  # fmt: skip
def test_wrong_line_is_refused_with_line_and_advice(tmp_path: Path, old: str, new: str, text: str) -> None:
    """Each fault says where, what was found and what is wanted."""
    assert old in SITE
    path = tmp_path / "site.yaml"
    path.write_text(SITE.replace(old, new, 1), "utf-8")

    with pytest.raises(ConfigError) as caught:
        load_site(path, ProfileLibrary())

    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("fire/{device}/state", "fire/state", "topic: got 'fire/state', want {device} once in it"),
        ("fire/{device}/state", "fire/+/{device}", "topic: got 'fire/+/{device}', want levels with neither + nor #"),
        ("path: alarm.smoke", "path: alarm..smoke", "path: got 'alarm..smoke', wrong at character 6, want names"),
        ("unit: mV", "unit: kPa", "mqtt_json.fields.battery_v.unit: no factor from 'kPa' to this point."),
        ("{ok: normal,", "{ok: calm,", "mqtt_json.fields.heat.values: got ['calm'], want words of ['fault',"),
        ('"1": true}', '"1": yes please}', "mqtt_json.fields.tampered.values: want true or false for a truth."),
        ("    signal_dbm: {path: radio.rssi, optional: true}\n", "",
         "mqtt_json.fields: got ['signal_dbm'] on one side only, want one field for each point."),
        ("    smoke: {path", "    1smoke: {pathh", "mqtt_json.fields.1smoke.pathh: got an unknown key."),
        ("unit: s}", "unit: minutes}", "want 's', 'ms' or 'iso'"),
    ],
)  # fmt: skip
def test_mapping_that_contradicts_itself_is_refused(tmp_path: Path, old: str, new: str, text: str) -> None:
    """What is wrong is said when the profile is read, not when the first message comes."""
    source = (PROFILES / "json-smoke-heat.yaml").read_text("utf-8")
    assert old in source
    path = tmp_path / "json-smoke-heat.yaml"
    path.write_text(source.replace(old, new, 1), "utf-8")

    with pytest.raises(ConfigError) as caught:
        load_profile(path)

    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "topic", "device"),
    [
        ("a/{device}/b", "a/x y/b", "x y"),
        ("a/{device}/b", "a/x/y/b", None),
        ("a/{device}/b", "a//b", None),
        ("a/{device}/b", "c/x/b", None),
        ("{device}", "值", "值"),
        ("tele/tasmota_{device}", "tele/tasmota_7F", "7F"),
        ("tele/tasmota_{device}", "tele/other_7F", None),
    ],
)
def test_a_topic_gives_the_id_where_it_fits(pattern: str, topic: str, device: str | None) -> None:
    """One level, whole or part of it; a topic of another shape gives nothing."""
    assert device_in(pattern, topic) == device


def test_a_pattern_is_listened_to_with_a_wildcard() -> None:
    """The whole level, so that sensors nobody has entered are seen too."""
    assert topic_filter("tele/tasmota_{device}/SENSOR") == "tele/+/SENSOR"
