"""The shipped rules, by the cases that stand beside them."""

from __future__ import annotations

import re
from functools import partial

import pytest

from contract.profile import (
    AGENT_PROFILE,
    GATEWAY_PROFILE,
    LINE_PROFILE,
    REGISTER_PROFILE,
    Profile,
    ProfileLibrary,
)
from rules.cases import Case, load_cases, run_case
from rules.model import PACKS, Rule, load_packs, pack_files

RULES = load_packs()
LIBRARY = ProfileLibrary()
CASES = [case for path in sorted(PACKS.glob("*.cases.yaml")) for case in load_cases(path)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}: {case.name.en}")
def test_rule_decides_as_its_case_says(case: Case) -> None:
    """Each case gives exactly the decisions it names, at their second."""
    outcome = run_case(case, RULES, LIBRARY)

    assert outcome.got == case.expect


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_has_a_case_that_fires_one_that_must_not_and_an_edge(rule: str) -> None:
    """A rule without both kinds of case, and one more for its edge, is not tested."""
    mine = [case for case in CASES if case.rule == rule]

    assert any(each.event == "raise" for case in mine for each in case.expect)
    assert any(not case.expect for case in mine)
    assert len({case.name.en for case in mine}) >= 3


def test_every_pack_has_its_cases_beside_it() -> None:
    """No pack stands without its file of cases."""
    missing = [p.name for p in pack_files(PACKS) if not p.with_name(f"{p.stem}.cases.yaml").exists()]

    assert missing == []


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_says_what_to_do_in_both_languages(rule: str) -> None:
    """Two to six steps, in Chinese and in English, and a basis in both."""
    texts = [RULES[rule].title, RULES[rule].basis, *RULES[rule].advice]

    assert 2 <= len(RULES[rule].advice) <= 6
    assert [text.zh for text in texts if not re.search("[一-鿿]", text.zh)] == []
    assert [text.en for text in texts if re.search("[一-鿿]", text.en)] == []


def test_every_basis_is_a_standard_or_called_practice() -> None:
    """Nobody has to guess whether a limit is the law or a habit."""
    known = re.compile(r"(GB|GB/T) \d{4,5}(\.\d+)?|Order 61|practice")

    assert [rule.id for rule in RULES.values() if not known.search(rule.basis.en)] == []
    assert [rule.id for rule in RULES.values() if "practice" in rule.basis.en and "惯例" not in rule.basis.zh] == []


def test_every_rule_watches_something_of_the_shipped_profiles() -> None:
    """A pattern that fits no profile would be a rule that never speaks."""
    profiles = [*LIBRARY, LINE_PROFILE, AGENT_PROFILE, GATEWAY_PROFILE, REGISTER_PROFILE]

    blind = [rule.id for rule in RULES.values() if rule.applies_to and not any(map(partial(_watches, rule), profiles))]

    assert blind == []


def _watches(rule: Rule, profile: Profile) -> bool:
    names = ["*", *(point.name for point in profile.points_for(None))]
    if profile.is_listened_to:
        names += ["l001p001", "p001", "controller", "mode", "protocol", "bus", "main_power", "standby_power"]
    return any(rule.applies(profile.id, name) for name in names)


def test_fire_is_never_held_back() -> None:
    """No rule keeps a fire still, none delays it, and none calls it flapping."""
    fires = [rule for rule in RULES.values() if rule.severity == "fire"]

    assert {rule.id for rule in fires if rule.inhibit_by or rule.for_s or rule.flap} == set()
    assert len(fires) >= 4


def test_what_keeps_a_rule_still_is_at_least_as_grave() -> None:
    """A critical alarm never waits for a warning."""
    grave = ("info", "warning", "critical", "fire")
    wrong = [
        (rule.id, inhibit.rule)
        for rule in RULES.values()
        for inhibit in rule.inhibit_by
        if grave.index(RULES[inhibit.rule].severity) < grave.index(rule.severity)
    ]

    assert wrong == []


def test_alarm_is_held_when_its_value_is_lost_but_for_two_that_only_inform() -> None:
    """Unknown is never OK: a lost value ends no alarm of equipment."""
    assert {rule.id for rule in RULES.values() if rule.on_missing == "clear"} == {"hydrant-stuck", "gateway-stopped"}


def test_inhibitions_do_not_run_in_a_circle() -> None:
    """Two rules that keep each other still would both be silent."""
    by = {rule.id: {inhibit.rule for inhibit in rule.inhibit_by} for rule in RULES.values()}

    def above(rule: str, seen: frozenset[str]) -> frozenset[str]:
        return seen if rule in seen else frozenset().union(*(above(name, seen | {rule}) for name in by[rule]), {rule})

    assert [rule for rule in by if any(rule in above(name, frozenset()) for name in by[rule])] == []
