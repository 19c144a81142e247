"""Profiles written from what was learned."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from contract.errors import ConfigError
from contract.profile import ModbusVector, ProfileLibrary, load_profile
from edge_agents.drivers.modbus import decode_point, plan_reads
from edge_agents.field.learn import Shown, Sighting, rank
from edge_agents.field.learned import make_profile, parse_shown, write_profile
from tests.edge_agents.field.test_learn import make_encoding, make_sightings


def test_written_profile_loads_and_reads_its_vector_when_learned(tmp_path: Path) -> None:
    """Whatever was learned, contract and driver take the profile, and it gives what the gauge showed."""
    rng = random.Random(7)
    for n in range(40):
        encoding, first, second = make_encoding(rng)
        sightings = make_sightings(encoding, [first, second], rng)
        best = rank(sightings, encoding.quantity)[0]
        data = make_profile(f"learned-{n}", best, sightings, encoding.quantity, "at unit 7")
        profile = write_profile(tmp_path / f"learned-{n}.yaml", data)
        assert profile == ProfileLibrary([tmp_path])[f"learned-{n}"]
        assert isinstance(profile.test_vector, ModbusVector)
        read = plan_reads(profile).points[0]
        for sighting in sightings:
            words = {register: word for (f, register), word in sighting.registers.items() if f == encoding.function}
            assert profile.modbus is not None
            value, quality = decode_point(read, words, profile.modbus.word_order)
            factor = {"MPa": 1000.0, "bar": 100.0}.get(encoding.unit, 1.0)
            assert quality == "good"
            assert value == pytest.approx(sighting.shown.value * factor, abs=1.01 * sighting.shown.digit * factor)
        assert profile.test_vector.values == {read.point.name: value}


def test_written_profile_is_the_expected_one_when_the_device_is_a_plain_transmitter(tmp_path: Path) -> None:
    """MPa x 1000 in register 4, learned at two pressures."""
    sightings = [
        Sighting({(3, 3): 2, (3, 4): 605}, Shown(0.605, 3, "MPa")),
        Sighting({(3, 3): 2, (3, 4): 412}, Shown(0.412, 3, "MPa")),
    ]
    data = make_profile("gauge", rank(sightings, "kpa")[0], sightings, "kpa", "2026-11-22 at unit 7")
    path = tmp_path / "gauge.yaml"
    write_profile(path, data)
    point = load_profile(path).points[0]
    assert (point.name, point.register_, point.type, point.scale, point.offset) == ("pressure_kpa", 4, "int16", 1.0, 0)
    assert (point.deadband, point.range) == (1.0, (-100.0, 60000.0))
    assert data["test_vector"] == {"registers": {4: [412]}, "values": {"pressure_kpa": 412.0}}
    with pytest.raises(ConfigError, match="there already"):
        write_profile(path, data)


@pytest.mark.parametrize(
    ("text", "quantity", "want"),
    [
        ("0.605 MPa", None, (Shown(0.605, 3, "MPa"), "kpa")),
        ("0.605", None, (Shown(0.605, 3, "MPa"), "kpa")),
        ("6.05 bar", "kpa", (Shown(6.05, 2, "bar"), "kpa")),
        ("325 cm", None, (Shown(325.0, 0, "cm"), "m")),
        ("-4.5 C", None, (Shown(-4.5, 1, "C"), "c")),
        ("21.50", "c", (Shown(21.5, 2, "°C"), "c")),
    ],
)
def test_gauge_text_is_understood_when_it_has_a_number(text: str, quantity: str | None, want: object) -> None:
    """Number, decimals, unit and quantity; a bare small pressure is MPa."""
    assert parse_shown(text, quantity) == want


@pytest.mark.parametrize(
    ("text", "quantity", "said"),
    [
        ("much", None, "want a number and its unit"),
        ("nan", None, "want a number and its unit"),
        ("605", None, "without a unit"),
        ("6 atm", None, "got the unit 'atm'"),
        ("6 bar", "m", "got 'm' with bar, want kpa"),
        ("6", "volume", "--quantity: got 'volume'"),
    ],
)
def test_gauge_text_is_refused_when_it_is_not_clear(text: str, quantity: str | None, said: str) -> None:
    """A doubtful unit is a question to the installer, not a guess."""
    with pytest.raises(ConfigError, match=said):
        parse_shown(text, quantity)
