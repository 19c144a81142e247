"""Text can be read: WCAG 2 AA, 4.5 to 1, in light and dark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CSS = (Path(__file__).parents[2] / "gateway" / "web" / "static" / "base.css").read_text("utf-8")
PAIRS = [
    ("ink", "bg"),
    ("ink", "surface"),
    ("muted", "bg"),
    ("muted", "surface"),
    ("muted", "raised"),
    ("accent", "surface"),
    ("accent-ink", "accent"),
    ("fire-ink", "fire"),
    ("fire-ink", "fire-deep"),
    ("fire-text", "surface"),
    ("fire-text", "raised"),
    ("fire-text", "bg"),
    ("critical-ink", "critical"),
    ("critical", "critical-soft"),
    ("muted", "critical-soft"),
    ("warning-ink", "warning"),
    ("warning-text", "warning-soft"),
    ("muted", "warning-soft"),
    ("warning-text", "surface"),
    ("info-ink", "info"),
    ("good", "surface"),
    ("good", "good-soft"),
    ("unknown", "surface"),
    ("unknown", "unknown-soft"),
    ("ink", "good-soft"),
    ("ink", "critical-soft"),
    ("ink", "warning-soft"),
    ("drill-ink", "drill"),
    ("drill-ink", "drill-deep"),
    ("drill-text", "surface"),
]


def _variables(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6})\b", block))


LIGHT = _variables(CSS.split("@media")[0])
BY_SYSTEM = _variables(CSS.split("@media (prefers-color-scheme: dark)")[1].split("} }")[0])
BY_CHOICE = _variables(CSS.split(':root[data-theme="dark"] {')[1].split("}")[0])


def _luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(c * 2 for c in colour[1:])
    parts = [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("text", "ground"), PAIRS)
def test_text_stands_out_from_its_ground_in_both_themes(text: str, ground: str) -> None:
    """Every pair of text and ground the pages use."""
    for theme in (LIGHT, {**LIGHT, **BY_CHOICE}):
        lighter, darker = sorted((_luminance(theme[text]), _luminance(theme[ground])), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (text, ground, theme[text], theme[ground])


def test_dark_is_the_same_by_system_and_by_choice() -> None:
    """The two lists of dark colours cannot drift apart."""
    assert BY_SYSTEM == BY_CHOICE
