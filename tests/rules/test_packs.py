"""The shipped rules, by the cases that stand beside them."""

from __future__ import annotations

import pytest

from contract.profile import ProfileLibrary
from rules.cases import Case, load_cases, run_case
from rules.model import PACKS, load_packs, pack_files

RULES = load_packs()
CASES = [case for path in sorted(PACKS.glob("*.cases.yaml")) for case in load_cases(path)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}: {case.name}")
def test_rule_decides_as_its_case_says(case: Case) -> None:
    """Each case gives exactly the decisions it names, at their second."""
    outcome = run_case(case, RULES, ProfileLibrary())

    assert outcome.got == case.expect


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_has_a_case_that_fires_and_one_that_must_not(rule: str) -> None:
    """A rule without both kinds of case is not tested."""
    mine = [case for case in CASES if case.rule == rule]

    assert any(case.expect for case in mine)
    assert any(not case.expect for case in mine)


def test_every_pack_has_its_cases_beside_it() -> None:
    """No pack stands without its file of cases."""
    missing = [p.name for p in pack_files(PACKS) if not p.with_name(f"{p.stem}.cases.yaml").exists()]

    assert missing == []
