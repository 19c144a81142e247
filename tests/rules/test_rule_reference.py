"""The generated page of rules: complete, and true about what may be changed."""

from __future__ import annotations

import pytest

from cli.rule_reference import changeable, rules_page
from contract.equipment import Limits
from contract.errors import ConfigError
from rules.model import load_packs, with_limits

RULES = load_packs()
OF_EVERY_RULE = {"for_s", "clear_for_s", "readiness_state", "readiness_points"}
PAGE = rules_page()


@pytest.mark.parametrize("rule", sorted(RULES))
def test_page_has_a_rule_whole_when_it_is_shipped(rule: str) -> None:
    """Its id, both titles, its basis in both languages, and each step of its check list."""
    section = PAGE.partition(f"\n### {rule}\n")[2].partition("\n### ")[0]
    texts = [RULES[rule].title, RULES[rule].basis, *RULES[rule].advice]

    assert [text for text in texts if text.zh not in section or text.en not in section] == []


@pytest.mark.parametrize("rule", sorted(RULES))
def test_limits_named_by_the_page_may_be_changed(rule: str) -> None:
    """Each key the page names is taken by an override, and a key it does not name is refused."""
    named = dict(changeable(RULES[rule]))
    for key, value in named.items():
        assert with_limits(RULES[rule], Limits.model_validate({key: value}), "here").id == rule
    for key in sorted(set(Limits.model_fields) - set(named) - OF_EVERY_RULE):
        with pytest.raises(ConfigError, match=f"here: got {key}, which . conditions"):
            with_limits(RULES[rule], Limits.model_validate({key: 1}), "here")
