"""What the line doctor finds is told in the reader's language."""

from __future__ import annotations

import re

import pytest

from edge_agents.field.advice import findings
from edge_agents.field.capacity import Speed
from edge_agents.field.doctor import Counts, Diagnosis, Turnaround, UnitSeen
from gateway.web.refusals import FINDINGS, catalogue, in_words

SPEED = Speed(9600)
COUNTS = Counts(
    asked=200, answered=150, timeouts=50, late_answers=4, crc_errors=7, noise_bytes=31, echoes=9, foreign_frames=12
)


def _diagnosis(*, answers: bool, advised_s: float | None) -> Diagnosis:
    """A line on which everything is wrong at once, or that is dead."""
    units = [UnitSeen(1, 100, 90, 10, 4, 7, [30.0] if answers else []), UnitSeen(2, 100, 0, 100)]
    return Diagnosis(
        counts=COUNTS, units=units, turnaround=Turnaround(20, 30, 31, 60, 70) if answers else None, histogram=[],
        timeout_s=0.5, advised_timeout_s=advised_s, advised_gap_ms=40.0, period_s=10.0, units_carried=12, unit_ms={},
        foreign_units=[7, 8, 12], findings=[],
    )  # fmt: skip


def _all() -> set[str]:
    cases = [_diagnosis(answers=True, advised_s=0.8), _diagnosis(answers=False, advised_s=None)]
    return {text for case in cases for text in findings(case, SPEED)}


def test_every_finding_of_the_doctor_has_its_words_and_no_words_are_left_over() -> None:
    """A new finding needs a line in gateway/web/upkeep/findings.yaml; one that is gone leaves it."""
    said = {each: [text for text in _all() if each.pattern.fullmatch(text)] for each in catalogue(FINDINGS)}
    assert {each.english: len(texts) for each, texts in said.items() if len(texts) != 1} == {}
    assert sum(map(len, said.values())) == len(_all())


@pytest.mark.parametrize("text", sorted(_all()), ids=lambda text: text.partition(":")[0][:20])
def test_a_finding_keeps_its_figures_when_it_is_told_in_chinese(text: str) -> None:
    """Whatever number stands in the one stands in the other."""
    told = in_words(text, "zh", FINDINGS)
    assert told is not None
    assert "无" in told or "应" in told
    numbers = re.compile(r"\d+(?:\.\d+)?")
    assert sorted(set(numbers.findall(text)) - {"2"}) == sorted(set(numbers.findall(told)) - {"2"})
