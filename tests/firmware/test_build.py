"""The firmware builds without a warning, passes its own tests, and fits its tables."""

from __future__ import annotations

import re
from pathlib import Path

from firmware_stubs.generate import NODES, generate
from tests.firmware.nodes import FIRMWARE, make


def test_the_tests_in_c_pass_under_the_sanitizers(tmp_path: Path) -> None:
    """Slave, filter, latch, storage and the whole program on a board of memory; two million random bytes among it."""
    assert make("check", tmp_path) == ""


def test_the_register_tables_are_those_of_the_profiles() -> None:
    """`python -m firmware_stubs.generate` would write what is there."""
    wanted = generate()
    assert len(wanted) == len(NODES)
    assert {path: path.read_text("utf-8") for path in wanted} == wanted
    assert set((FIRMWARE / "nodes" / "generated").iterdir()) == set(wanted)


def test_the_sizes_in_the_readme_are_true(firmware: Path) -> None:
    """Within a tenth: another minor version of the compiler moves them a little."""
    told = dict(re.findall(r"^\| (\w+) \| (\d+) \|", (FIRMWARE / "README.md").read_text("utf-8"), re.MULTILINE))
    built = dict(re.findall(r"^\s*(\d+)\s.*/(\w+)\.elf$", make("size", firmware), re.MULTILINE))
    sizes = {name: int(text) for text, name in built.items()}
    assert set(told) == set(sizes) == {"hydrant", "bay", "panel"}
    for name, size in sizes.items():
        assert abs(int(told[name]) - size) <= size / 10, name
