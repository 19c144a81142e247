"""A story told in both languages: the page's locale, and of two texts the one that stands on it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Tongue:
    """What the browser asks for; `say("确认", "Acknowledge")` is the text on the page."""

    locale: str

    def __call__(self, zh: str, en: str) -> str:
        """The one of the two that the page shows."""
        return zh if self.locale == "zh-CN" else en


IN_BOTH = pytest.mark.parametrize("say", [Tongue("zh-CN"), Tongue("en-GB")], ids=["zh", "en"])
"""Runs a story once in each language, with `say`."""
