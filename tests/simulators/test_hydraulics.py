"""The water of a district: pressures as physics has them, mistakes named by line, instruments with errors."""

from __future__ import annotations

import random
import statistics
from pathlib import Path

import pytest

from contract.errors import ConfigError
from simulators.hydraulics.inp import read_outline
from simulators.hydraulics.instruments import PRESSURE_KPA, Instrument, Kind
from simulators.hydraulics.network import DISTRICT, Network, emitter

HYDRANTS = [f"H{n:02d}" for n in range(1, 13)]
HOUR_S = 3600


def pressures(network: Network) -> dict[str, float]:
    return {name: network.pressure_kpa(name) for name in HYDRANTS}


def test_an_ordinary_week_keeps_every_hydrant_above_what_the_standard_asks() -> None:
    """At least 140 kPa at rest (GB 50974 7.2.8), with the swing of day and night; the tower fills and empties."""
    with Network() as network:
        seen, levels = [], []
        for hour in range(24 * 7):
            network.advance(hour * HOUR_S)
            seen.append(pressures(network))
            levels.append(network.level_m("TOWER"))
        assert min(min(row.values()) for row in seen) > 200
        assert all(max(row[name] for row in seen) - min(row[name] for row in seen) > 5 for name in HYDRANTS)
        assert max(levels) - min(levels) > 0.5
        assert 0.4 <= min(levels) <= max(levels) <= 5.0


def test_a_burst_is_felt_most_where_it_is_and_is_over_when_it_is_mended() -> None:
    """The nearer the deeper; nothing is left of it an hour after."""
    with Network() as network:
        network.advance(3 * HOUR_S)
        before = pressures(network)
        network.open_hole("J44", 120)
        network.advance(3 * HOUR_S + 120)
        fell = {name: before[name] - level for name, level in pressures(network).items()}
        assert max(fell, key=lambda name: fell[name]) == "H08"
        assert fell["H08"] > 2 * fell["H01"] > 0
        assert network.outflow_lps("J44") > 40
        network.open_hole("J44", 0)
        network.advance(4 * HOUR_S)
        assert all(abs(level - before[name]) < 40 for name, level in pressures(network).items())


def test_what_runs_out_of_a_hole_follows_its_pressure() -> None:
    """q = C * p^0.5, and nothing runs out of a closed one."""
    with Network() as network:
        network.open_hole("H05", 65)
        network.advance(120)
        head_m = network.pressure_kpa("H05") / 9.80665
        assert network.outflow_lps("H05") == pytest.approx(emitter(65) * head_m**0.5, rel=0.01)
        network.open_hole("H05", 0)
        network.advance(240)
        assert network.outflow_lps("H05") == pytest.approx(0.0, abs=1e-6)


def test_a_closed_valve_takes_the_water_from_what_hangs_behind_it() -> None:
    """The hydrant behind it has none, its neighbours have."""
    with Network() as network:
        network.advance(60)
        network.close_link("PH06")
        network.open_hole("H06", 65)  # somebody opens it: nothing comes
        network.advance(180)
        assert network.pressure_kpa("H06") < 5
        assert network.pressure_kpa("H03") > 200


def test_the_works_stop_and_the_tower_carries_the_town_until_it_is_empty() -> None:
    """Without pumps pressure holds at first and is gone within a day."""
    with Network() as network:
        for pump in ("PUMP1", "PUMP2"):
            network.close_link(pump)
        network.advance(60)
        full_m = network.level_m("TOWER")
        network.advance(1 * HOUR_S)
        assert (network.flow_lps("PUMP1"), network.flow_lps("PUMP2")) == (0.0, 0.0)
        assert network.pressure_kpa("H06") > 200
        assert network.level_m("TOWER") < full_m
        network.advance(24 * HOUR_S)
        assert network.pressure_kpa("H06") < 100


def test_the_same_seedless_physics_gives_the_same_numbers() -> None:
    """Two runs are equal to the last digit."""
    runs = []
    for _ in range(2):
        with Network(step_s=30) as network:
            network.open_hole("H02", 30)
            network.advance(2 * HOUR_S)
            runs.append(pressures(network))
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (" P00E  J00  J01 ", " P00E  J00  J99 ", "PIPES P00E: got node 'J99', want one of [JUNCTIONS]"),
        ("[PATTERNS]", "[PATERNS]", "got section '[PATERNS]', want one of EPANET's"),
        (" UNITS LPS", " UNITS GPM", "OPTIONS UNITS: got 'GPM', want LPS"),
        (" UNITS LPS\n", "", "OPTIONS UNITS: got none, want LPS"),
        (" J11 ", " J10 ", "JUNCTIONS J10: got this id again (first on line "),
        ("  220  250 110", "  22o  250 110", "got '22o', want a number (id, two nodes, length"),
        (" TOWER  90.0  3.2  0.4  5.0  11.0", " TOWER  90.0", "TANKS TOWER: got 2 fields, want 6"),
        ("[END]", "[JUNCTIONS]\n LOST 50 0\n[END]", "JUNCTIONS LOST: got no way to a reservoir or tank"),
    ],
)
def test_a_mistake_in_a_network_is_named_by_its_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    """File, line, what was got, what is wanted."""
    text = DISTRICT.read_text("utf-8")
    assert old in text
    path = tmp_path / "town.inp"
    path.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(ConfigError) as caught:
        read_outline(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{path}:")


def test_what_is_not_in_the_network_cannot_be_asked_for() -> None:
    """The name and the file are told."""
    with Network() as network, pytest.raises(ConfigError, match=r"district.inp: node 'H99': got no such node"):
        network.pressure_kpa("H99")


def test_an_instrument_is_off_by_what_its_kind_allows() -> None:
    """Noise of its width, an offset within its class, whole steps; the same seed is the same instrument."""
    one, same, other = (Instrument(PRESSURE_KPA, random.Random(seed)) for seed in (1, 1, 2))
    read = [one.read(300.0, 10.0 * n) for n in range(500)]
    assert read == [same.read(300.0, 10.0 * n) for n in range(500)]
    assert read != [other.read(300.0, 10.0 * n) for n in range(500)]
    values = [value for value in read if value is not None]
    assert abs(statistics.mean(values) - 300.0) < 2.7
    assert 0.6 < statistics.stdev(values) < 1.0
    assert all(abs(value * 10 - round(value * 10)) < 1e-6 for value in values)


def test_a_stuck_instrument_shows_what_it_showed_last_and_a_dead_one_nothing() -> None:
    """And both work again afterwards."""
    instrument = Instrument(Kind(step=1.0), random.Random(3))
    assert instrument.read(10.2, 0) == 10.0
    instrument.stick()
    assert instrument.read(90.0, 1) == 10.0
    instrument.stick(stuck=False)
    instrument.is_dead = True
    assert instrument.read(90.0, 2) is None
    instrument.is_dead = False
    assert instrument.read(90.0, 3) == 90.0
