"""Whatever the gateway refuses is told in the reader's language."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from gateway.web.refusals import catalogue, in_words

GATEWAY = Path(__file__).parents[2] / "gateway"
SPEAK = ("refuse", "_no", "Problem")
"""What the gateway's code refuses with."""
FORM = ("{1}: {2}.", "got no request: {1}.", "{1}: refused without a reason")
"""What a program reads that asks in a wrong form; a page tells its general sentence."""


def _sentence(node: ast.expr) -> str | None:
    """The text of a literal or an f-string, its blanks numbered; None for what is put together elsewhere."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if not isinstance(node, ast.JoinedStr):
        return None
    blanks = iter(range(1, 10))
    return "".join(part.value if isinstance(part, ast.Constant) else f"{{{next(blanks)}}}" for part in node.values)  # type: ignore[misc] # a Constant of an f-string is text


@cache
def _spoken() -> dict[str, str]:
    """Every sentence the gateway refuses with, and where it stands."""
    found = {}
    for path in sorted(GATEWAY.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") in SPEAK and len(node.args) == 2):
                continue
            sentence = _sentence(node.args[1])
            # `op: what msgspec says` and what is put together elsewhere have no sentence of their own.
            if sentence is not None and sentence not in FORM:
                found[sentence] = f"{path.relative_to(GATEWAY.parent)}:{node.lineno}"
    return found


def test_every_refusal_has_its_words_when_the_gateways_code_is_read() -> None:
    """A new refusal needs a line in gateway/web/refusals.yaml."""
    known = {refusal.english for refusal in catalogue()}
    assert {sentence: at for sentence, at in _spoken().items() if sentence not in known} == {}


def test_no_words_are_left_over_when_the_gateways_code_is_read() -> None:
    """A sentence that nobody says any more is gone from the catalogue."""
    assert [refusal.english for refusal in catalogue() if refusal.english not in _spoken()] == []


@pytest.mark.parametrize("refusal", catalogue(), ids=lambda refusal: refusal.english[:40])
def test_a_refusal_is_found_again_when_its_blanks_are_filled(refusal: object) -> None:
    """No other sentence is taken for it, and what differs stands in the Chinese sentence where it belongs."""
    english, _, chinese = refusal  # type: ignore[misc] # a Refusal
    filled = re.sub(r"\{(\d)\}", r"v\1", english)
    assert in_words(filled, "zh") == re.sub(r"\{(\d)\}", r"v\1", chinese)
    assert in_words(filled, "en") == filled


def test_a_refusal_nobody_knows_is_left_to_the_page_when_asked_in_chinese() -> None:
    """None: the page then says its general sentence."""
    assert in_words("something else entirely", "zh") is None
