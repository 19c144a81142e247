"""Writes the register tables of the nodes (nodes/generated/*.h) from the device profiles: one source for each fact.

python -m firmware_stubs.generate            write them
"""

from __future__ import annotations

import re
from pathlib import Path

from contract.point import Point
from contract.profile import Profile, ProfileLibrary

FOLDER = Path(__file__).parent / "nodes" / "generated"
NODES = (
    "hydrant-municipal", "hydrant-indoor", "water-level", "extinguisher-bay", "breathing-apparatus-rack",
    "end-test-valve", "panel-modbus",
)  # fmt: skip
"""Profiles that a node of ours serves."""
_WIDTH = {"uint16": "POINT_UINT16", "int16": "POINT_INT16", "bit": "POINT_BIT", "state": "POINT_STATE"}


def header(profile: Profile) -> str:
    """The C header of a profile: function, spans of registers that are served, and every point.

    Raises:
        ValueError: the profile has a point that a node cannot hold (a text, a 32-bit number).
    """
    assert profile.modbus is not None
    points = [point for point in profile.points_for(None) if not point.text]
    name = c_name(profile.id)
    lines = [
        f"/* Generated from contract/profiles/{profile.id}.yaml by firmware_stubs/generate.py. Do not edit. */",
        f"#ifndef {name.upper()}_H",
        f"#define {name.upper()}_H",
        "",
        '#include "core/profile.h"',
        "",
        "enum {",
        *(f"    {name.upper()}_{c_name(point.name).upper()} = {number}," for number, point in enumerate(points)),
        f"    {name.upper()}_POINTS = {len(points)}",
        "};",
        "",
        f"static const struct point {name}_points[{name.upper()}_POINTS] = {{",
        *(f"    {_row(point)}," for point in points),
        "};",
        "",
        f"static const struct span {name}_spans[] = {{",
        *(f"    {{{first}, {count}}}," for first, count in spans(points, profile.modbus.max_gap)),
        "};",
        "",
        f"static const struct profile {name}_profile = {{",
        f'    "{profile.id}", {profile.modbus.function}, {profile.modbus.max_block},',
        f"    {name}_points, {name.upper()}_POINTS, {name}_spans, {len(spans(points, profile.modbus.max_gap))},",
        "};",
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def spans(points: list[Point], max_gap: int) -> list[tuple[int, int]]:
    """(first, count) of the registers that are served: gaps of up to `max_gap` registers are, and read as zero."""
    merged: list[tuple[int, int]] = []
    for register in sorted({point.register_ for point in points if point.register_ is not None}):
        if merged and register - (merged[-1][0] + merged[-1][1]) <= max_gap:
            merged[-1] = (merged[-1][0], register - merged[-1][0] + 1)
        else:
            merged.append((register, 1))
    return merged


def c_name(name: str) -> str:
    """A name as C takes it."""
    return re.sub(r"[^a-z0-9]", "_", name)


def _row(point: Point) -> str:
    if point.type not in _WIDTH or point.register_ is None:
        raise ValueError(f"point {point.name}: got type {point.type}, want one of {', '.join(_WIDTH)}.")
    if point.type in ("bit", "state"):
        lowest, highest = 0, 1 if point.type == "bit" else max(point.states or {0: ""})
        missing, has_missing = 0, 0
    else:
        low, high = point.range or (0.0, 65535 * point.scale)
        lowest, highest = round(low / point.scale), round(high / point.scale)
        missing, has_missing = (point.missing[0], 1) if point.missing else (0, 0)
    is_alarm = int(point.lane == "alarm")
    bit = point.bit or 0
    return (
        f'{{"{point.name}", {point.register_}, {_WIDTH[point.type]}, {bit}, {is_alarm}, {has_missing}, '
        f"0x{missing:04X}, {lowest}, {highest}}}"
    )


def generate() -> dict[Path, str]:
    """Every header by its path."""
    library = ProfileLibrary()
    return {FOLDER / f"{c_name(profile_id)}.h": header(library[profile_id]) for profile_id in NODES}


if __name__ == "__main__":
    for path, text in generate().items():
        path.write_text(text, "utf-8")
