"""A profile made from what was learned, with the reading it was learned from as its frozen test vector."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from contract.errors import ConfigError
from contract.profile import Profile, load_profile
from contract.units import FACTORS, UNITS
from edge_agents.drivers.modbus import decode_point, plan_reads
from edge_agents.field.learn import Candidate, Shown, Sighting

_RANGES: dict[str, tuple[float, float]] = {
    "kpa": (-100.0, 60_000.0),
    "m": (-10.0, 100.0),
    "c": (-60.0, 200.0),
    "lps": (0.0, 1000.0),
    "deg": (-360.0, 360.0),
    "pct": (0.0, 100.0),
    "dbm": (-150.0, 0.0),
    "v": (0.0, 1000.0),
    "a": (0.0, 10_000.0),
    "ma": (0.0, 10_000.0),
}
"""Plausible values of a quantity nothing else is known of."""
_SYMBOLS = {"%": "pct", "C": "c", "°C": "c", "°": "deg", "L/s": "lps", "dBm": "dbm", "V": "v", "A": "a", "mA": "ma"}
_NAMES = {"m": "level_m", "pct": "value_pct", "s": "value_s", "count": "value_count"}
_HIGHEST_SURE = 0x4000
"""A 16-bit word below this is far enough from the sign bit to be called signed without losing use."""
_SPOKEN_MPA = 10.0
"""A bare number up to this is taken for MPa, the unit of fire gauges in China."""


def parse_shown(text: str, quantity: str | None) -> tuple[Shown, str]:
    """What a gauge shows, such as `0.605 MPa`, and the suffix of its quantity.

    Raises:
        ConfigError: no number, an unknown unit, or a unit that is none of this quantity.
    """
    number, _, unit = text.strip().partition(" ")
    try:
        value = float(number)
        decimals = len(number.partition(".")[2])
        if not number.lstrip("+-").replace(".", "", 1).isdigit():
            raise ValueError(number)
    except ValueError as exc:
        raise ConfigError(f"--shows: got {text!r}, want a number and its unit, such as '0.605 MPa'.") from exc
    unit = unit.strip()
    if quantity is not None and quantity not in UNITS:
        raise ConfigError(f"--quantity: got {quantity!r}, want one of {', '.join(sorted(UNITS))}.")
    if not unit:
        quantity = quantity or "kpa"
        if quantity == "kpa" and not 0 <= value <= _SPOKEN_MPA:
            raise ConfigError(f"--shows: got {text!r} without a unit, want one, such as '{number} kPa'.")
        return Shown(value, decimals, "MPa" if quantity == "kpa" else UNITS[quantity].symbol), quantity
    possible = {suffix for name, suffix in FACTORS if name == unit} | ({_SYMBOLS[unit]} if unit in _SYMBOLS else set())
    if not possible:
        known = ", ".join(dict.fromkeys([name for name, _ in FACTORS] + list(_SYMBOLS)))
        raise ConfigError(f"--shows: got the unit {unit!r}, want one of {known}.")
    if quantity is not None and quantity not in possible:
        raise ConfigError(f"--quantity: got {quantity!r} with {unit}, want {' or '.join(sorted(possible))}.")
    return Shown(value, decimals, unit), quantity or sorted(possible)[0]


def point_name(quantity: str) -> str:
    """`pressure_kpa`."""
    return _NAMES.get(quantity) or f"{UNITS[quantity].quantity_en}_{quantity}"


def make_profile(
    profile_id: str, candidate: Candidate, sightings: Sequence[Sighting], quantity: str, learned: str
) -> dict[str, Any]:
    """The profile as plain data. `learned`: when and where, for its source."""
    factor = FACTORS.get((sightings[0].shown.unit, quantity), 1.0)
    place, unit = candidate.place, UNITS[quantity]
    numbers = ", ".join(f"{shown.value:.{shown.decimals}f} {shown.unit}" for _, shown in sightings)
    point: dict[str, Any] = {
        "name": point_name(quantity),
        "title": {"zh": unit.quantity_zh, "en": unit.quantity_en.capitalize()},
        "register": place.register,
        "type": _choose_type(candidate, sightings),
        "scale": _round(candidate.scale * factor),
        "offset": _round(candidate.offset * factor),
        "deadband": _round(sightings[0].shown.digit * factor),
    }
    if quantity in _RANGES:
        low, high = _RANGES[quantity]
        values = [shown.value * factor for _, shown in sightings]
        point["range"] = [min(low, *values), max(high, *values)]
    registers = [sightings[-1].registers[place.function, place.register + n] for n in range(place.words)]
    data: dict[str, Any] = {
        "id": profile_id,
        "title": {
            "zh": f"现场学习的{unit.quantity_zh}变送器",
            "en": f"{unit.quantity_en.capitalize()} transmitter, learned",
        },
        "category": "transmitter",
        "source": f"Learned {learned}; the gauge showed {numbers}: {candidate.formula} ({candidate.device_unit}).",
        "requirements": ["Compare the shown value with the gauge again after a week."],
        "caveats": _caveats(candidate, sightings),
        "modbus": {"function": place.function, "word_order": place.word_order, "max_block": 16, "max_gap": 0},
        "points": [point],
        "test_vector": {"registers": {place.register: registers}, "values": {point["name"]: None}},
    }
    read = plan_reads(Profile.model_validate(data)).points[0]
    words = {place.register + n: word for n, word in enumerate(registers)}
    data["test_vector"]["values"][point["name"]] = decode_point(read, words, place.word_order).value
    return data


def write_profile(path: Path, data: dict[str, Any]) -> Profile:
    """Write the profile and read it back as the agent will.

    Raises:
        ConfigError: the file is there already, cannot be written, or is not named after its id.
    """
    text = yaml.safe_dump(data, allow_unicode=True, sort_keys=False, width=118, default_flow_style=None)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as exc:
        raise ConfigError(f"{path}: got a file that is there already. Choose another name with --write.") from exc
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}. Check the folder.") from exc
    try:
        return load_profile(path)
    except ConfigError:
        path.unlink()
        raise


def _choose_type(candidate: Candidate, sightings: Sequence[Sighting]) -> str:
    """Signed where nothing spoke against it: zero drift below zero must not read as a huge value."""
    place = candidate.place
    if not candidate.sign_open:
        return place.type
    if place.words == 1:
        highest = max(sighting.registers[place.function, place.register] for sighting in sightings)
        return "int16" if highest < _HIGHEST_SURE else "uint16"
    return "int32"


def _caveats(candidate: Candidate, sightings: Sequence[Sighting]) -> list[str]:
    caveats = []
    if len(sightings) == 1:
        caveats.append("Learned from one reading only; check it at another value.")
    if candidate.sign_open:
        caveats.append("No reading was negative, so whether the number is signed was not seen.")
    return caveats


def _round(number: float) -> float:
    return float(f"{number:.12g}")
