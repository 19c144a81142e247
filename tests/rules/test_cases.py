"""The form of cases: everything a pack can say in one, against small rules of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from contract.errors import ConfigError
from contract.profile import ProfileLibrary
from rules.cases import Case, Outcome, load_cases, run_case
from rules.model import Rule

LIBRARY = ProfileLibrary()
TITLE = {"zh": "测试", "en": "Test"}


def a_rule(name: str = "mine", **more: Any) -> Rule:
    """A rule, with what a test says of it."""
    given = {"title": TITLE, "advice": [TITLE], "basis": TITLE, "severity": "warning", "on_missing": "hold", **more}
    return Rule.model_validate({"id": name, **given})


def played(text: str, *rules: Rule) -> Outcome:
    """The case, written as in a file of cases, for the first of the rules."""
    case = {"name": "as written", "rule": rules[0].id, **yaml.safe_load(text)}
    return run_case(Case.model_validate(case), {rule.id: rule for rule in rules}, LIBRARY)


def assert_passes(text: str, *rules: Rule) -> None:
    """It gives what it expects."""
    outcome = played(text, *rules)
    assert outcome.got == outcome.case.expect
    assert outcome.passed


LOW = a_rule(applies_to=["hydrant-municipal/pressure_kpa"], when={"kind": "threshold", "below": 100, "clear": 110})
BOTH = a_rule(
    per="device",
    applies_to=["hydrant-municipal/*"],
    when={
        "kind": "all",
        "of": [
            {"kind": "threshold", "point": "pressure_kpa", "below": 100, "clear": 110},
            {"kind": "state", "point": "cap_open", "equals": [True]},
        ],
    },
)
MAIN = a_rule(
    per="group",
    group="main",
    applies_to=["hydrant-municipal/pressure_kpa"],
    when={"kind": "tally", "at_least": 2, "of": {"kind": "threshold", "below": 100, "clear": 110}},
)


def test_case_fails_when_a_decision_is_missing_or_one_too_many() -> None:
    """What is expected and what came are compared whole."""
    early = "{input: [{at: 5, value: 90}], until: 10, expect: [{at: 4, event: raise}]}"
    silent = "{input: [{at: 5, value: 90}], until: 10, expect: []}"
    assert [played(text, LOW).passed for text in (early, silent)] == [False, False]
    assert [(each.at, each.event) for each in played(silent, LOW).got] == [(5.0, "raise")]


def test_case_names_several_points_of_a_device() -> None:
    """A bare value goes to the point the rule looks at first."""
    assert_passes(
        """
        input: [{at: 0, value: 90}, {at: 10, point: cap_open, value: true}, {at: 20, point: cap_open, value: false}]
        until: 30
        expect: [{at: 10, event: raise}, {at: 20, event: clear}]
        """,
        BOTH,
    )


def test_case_tells_subjects_apart_when_several_could_speak() -> None:
    """The second hydrant, and not the first."""
    assert_passes(
        """
        devices: {h1: hydrant-municipal, h2: hydrant-municipal}
        input: [{at: 0, value: 300}, {at: 3, point: h2/pressure_kpa, value: 90}]
        until: 30
        expect: [{at: 3, event: raise, subject: h2/pressure_kpa}]
        """,
        LOW,
    )


def test_case_has_one_group_of_its_devices_or_of_the_members_it_names() -> None:
    """Two hydrants of one main; a third beside it does not count."""
    text = """
        devices: {h1: hydrant-municipal, h2: hydrant-municipal, x: hydrant-municipal}
        members: [MEMBERS]
        input: [{at: 1, point: h1/pressure_kpa, value: 90}, {at: 2, point: x/pressure_kpa, value: 90},
          {at: 3, point: h2/pressure_kpa, value: 90}, {at: 9, point: h1/pressure_kpa, value: 300}]
        until: 30
        expect: EXPECT
        """
    named = "[{at: 3, event: raise, subject: group}, {at: 9, event: clear, subject: group}]"
    assert_passes(text.replace("MEMBERS", "h1, h2/pressure_kpa").replace("EXPECT", named), MAIN)
    assert_passes(text.replace("MEMBERS", "'h*'").replace("EXPECT", named), MAIN)
    assert_passes(text.replace("MEMBERS", "").replace("EXPECT", "[{at: 2, event: raise}]"), MAIN)


def test_case_names_manual_call_points() -> None:
    """One of them is enough."""
    rule = a_rule(
        per="device",
        applies_to=["panel-modbus/p*"],
        when={"kind": "tally", "at_least": 2, "manual_counts": True, "of": {"kind": "state", "equals": ["fire"]}},
    )
    text = "{profile: panel-modbus, manual: [device/p7], input: [{at: 4, point: PX, value: fire}], until: 9, expect: E}"
    assert_passes(text.replace("PX", "p7").replace("E}", "[{at: 4, event: raise}]}"), rule)
    assert_passes(text.replace("PX", "p8").replace("E}", "[]}"), rule)


def test_case_starts_at_an_hour_of_the_site() -> None:
    """Ten minutes before eleven at night; one time zone further it is another hour."""
    rule = a_rule(
        per="device",
        applies_to=["hydrant-municipal/*"],
        when={
            "kind": "all",
            "of": [
                {"kind": "time", "from": "23:00", "to": "05:00"},
                {"kind": "state", "point": "cap_open", "equals": [True]},
            ],
        },
    )
    text = 'starts: "2026-03-01 22:50"\ninput: [{at: 0, value: true}]\nuntil: 3000\nexpect: '
    assert_passes(text + "[{at: 600, event: raise}]", rule)
    assert_passes('time_zone: "Europe/Berlin"\n' + text + "[{at: 600, event: raise}]", rule)
    assert_passes(text.replace("22:50", "21:50") + "[]", rule)


def test_case_tells_dates_as_seconds_or_days() -> None:
    """A date of the device, ahead of which the rule speaks; a new one ends it."""
    rule = a_rule(per="device", applies_to=["extinguisher-bay/*"], when={"kind": "due", "of": "scrap", "ahead_s": 60})
    assert_passes(
        """
        input: [{at: 0, due: {scrap: 100}}, {at: 70, due: {scrap: 1000}}]
        restart_at: [20, 50]
        until: 200
        expect: [{at: 40, event: raise}, {at: 70, event: clear}]
        """,
        rule,
    )
    assert_passes(
        """
        starts: "2026-03-31 23:58"
        input: [{at: 0, due: {scrap: 2026-04-01}}]
        until: 200
        expect: [{at: 60, event: raise}]
        """,
        rule,
    )


def test_case_tells_alarms_of_other_rules() -> None:
    """A pump that runs without a fire: not while a fire alarm stands, and judged again after it."""
    other = a_rule("panel-fire", applies_to=["panel-modbus/p*"], when={"kind": "state", "equals": ["fire"]})
    rule = a_rule(
        applies_to=["hydrant-municipal/pressure_kpa"],
        when={"kind": "threshold", "below": 100, "clear": 110},
        inhibit_by=[{"rule": "panel-fire"}],
    )
    assert_passes(
        """
        beside: [panel-fire]
        input: [{at: 0, alarm: panel-fire, states: [active]}, {at: 5, value: 90},
          {at: 50, alarm: panel-fire, states: []}]
        until: 100
        expect: [{at: 50, event: raise}]
        """,
        rule,
        other,
    )


def test_case_tells_of_agent_and_broker() -> None:
    """The last will of an agent; while the broker is away nobody counts as lost."""
    rule = a_rule(per="agent", when={"kind": "agent_lost", "after_s": 35})
    text = "{input: [{at: 5, agent: false}, BACK], until: 30, expect: [{at: 5, event: raise}]}"
    assert_passes(text.replace("BACK", "{at: 9, broker: true}"), rule)
    assert_passes("{input: [{at: 5, broker: false}], until: 300, expect: []}", rule)
    assert_passes("{input: [], until: 300, expect: [{at: 35, event: raise}]}", rule)


def test_case_tells_what_alarms_were_found_to_be() -> None:
    """The second false alarm within a minute."""
    other = a_rule("panel-fire", applies_to=["panel-modbus/p*"], when={"kind": "state", "equals": ["fire"]})
    rule = a_rule(
        per="device",
        applies_to=["panel-modbus/*"],
        when={"kind": "findings", "rules": ["panel-fire"], "finding": "false", "more_than": 1, "within_s": 60},
    )
    assert_passes(
        """
        beside: [panel-fire]
        input: [{at: 1, alarm: panel-fire, point: p1, finding: "false"},
          {at: 20, alarm: panel-fire, point: p2, finding: "false"}]
        until: 100
        expect: [{at: 20, event: raise}, {at: 61, event: clear}]
        """,
        rule,
        other,
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{input: [], until: 1, expect: [], beside: [other]}", "got 'other', want one of mine"),
        ("{input: [], until: 1, expect: [], devices: {h1: hydrant-of-gold}}", "got 'hydrant-of-gold', want one of"),
    ],
)
def test_case_is_refused_when_it_names_what_is_not_there(text: str, wanted: str) -> None:
    """The message says what there is."""
    with pytest.raises(ConfigError, match=wanted):
        played(text, LOW)


def test_file_of_cases_is_refused_with_its_line_when_an_alarm_has_no_states(tmp_path: Path) -> None:
    """An alarm of another rule is in some state or was found to be something."""
    path = tmp_path / "x.cases.yaml"
    path.write_text(
        "cases:\n  - name: x\n    rule: y\n    until: 1\n    expect: []\n    input:\n      - {at: 0, alarm: z}\n"
    )
    with pytest.raises(ConfigError, match=r"x\.cases\.yaml:7: .*want `alarm` together with `states` or `finding`"):
        load_cases(path)
