"""Alarms about alarms: each scope with one alarm inside and one just outside, findings, and what is told again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contract.messages import Reading
from rules.engine import Engine
from rules.model import Rule
from tests.rules.engine_run import LIBRARY, RULES, START, Run, engine_of, rule, site_of

HYDRANT = LIBRARY["hydrant-municipal"]
CAP = rule(
    {"id": "cap", "applies_to": ["hydrant-municipal/cap_open"], "when": {"kind": "state", "equals": [True]}},
)
LOW = {
    "id": "low",
    "applies_to": ["hydrant-municipal/pressure_kpa"],
    "when": {"kind": "threshold", "below": 140, "clear": 150},
}
LINE, LOST = RULES["line-lost"], RULES["agent-lost"]
FEW = rule({
    "id": "few",
    "per": "group",
    "group": "main",
    "applies_to": ["hydrant-municipal/flow_lps"],
    "when": {"kind": "tally", "of": {"kind": "threshold", "above": 5, "clear": 4}, "at_least": 1},
})  # fmt: skip
SITE = """\
agents:
  - id: edge
    lines:
      - id: bus
        kind: modbus_tcp
        host: 10.0.0.1
        port: 502
        devices:
          - {id: h, profile: hydrant-municipal, unit_id: 1}
          - {id: g, profile: hydrant-municipal, unit_id: 2}
      - {id: bus2, kind: modbus_tcp, host: 10.0.0.2, port: 502, devices: [{id: k, profile: hydrant-municipal, unit_id: 1}]}
  - id: edge2
    lines:
      - {id: bus3, kind: modbus_tcp, host: 10.0.0.3, port: 502, devices: [{id: m, profile: hydrant-municipal, unit_id: 1}]}
groups:
  - {id: north, kind: main, title: {zh: 北, en: North}, members: [h, k]}
  - {id: south, kind: main, title: {zh: 南, en: South}, members: [g, m/pressure_kpa, m/flow_lps]}
"""  # noqa: E501  # the text of a site file
OTHER = """\
agents:
  - id: edge
    lines:
      - {id: bus, kind: modbus_tcp, host: 10.1.0.1, port: 502, devices: [{id: h, profile: hydrant-municipal, unit_id: 1}]}
"""  # noqa: E501  # the text of a site file
AGENTS = (("s", "edge"), ("s", "edge2"), ("t", "edge"))
ALL = {"s/h", "s/g", "s/k", "s/m"}


def sees(scope: str, per: str = "device", rules: tuple[str, ...] = ("cap",), **more: Any) -> Rule:
    """A rule that looks at alarms around its subject."""
    where = {"applies_to": ["hydrant-municipal/*"]} if per == "device" else {}
    when = {"kind": "alarm", "rules": list(rules), "scope": scope, **more}
    return rule({"id": "sees", "per": per, **where, "when": when})


def two_sites(folder: Path, *rules: Rule) -> Run:
    sites = site_of(folder, SITE), site_of(folder, OTHER, "t")
    return Run(engine_of({each.id: each for each in rules}, *sites), AGENTS, checkpoint_every=1)


def up(run: Run, name: str) -> set[str]:
    """Subjects on which alarms of the rule stand and are not suppressed."""
    standing: set[str] = set()
    for t in run.transitions:
        if t.rule == name:
            (standing.add if t.event in ("raise", "release") else standing.discard)(t.subject)
    return standing


@pytest.mark.parametrize(("scope", "source", "seen"), [
    ("device", "h", {"s/h"}), ("device", "m", {"s/m"}),
    ("line", "h", {"s/h", "s/g"}), ("line", "k", {"s/k"}), ("line", "m", {"s/m"}),
    ("agent", "h", {"s/h", "s/g", "s/k"}), ("agent", "k", {"s/h", "s/g", "s/k"}), ("agent", "m", {"s/m"}),
    ("group", "h", {"s/h", "s/k"}), ("group", "k", {"s/h", "s/k"}),
    ("group", "g", {"s/g", "s/m"}), ("group", "m", set()),
    ("site", "h", ALL), ("site", "m", ALL),
])  # fmt: skip
def test_alarm_of_a_point_is_seen_within_the_scope_and_not_beyond(
    tmp_path: Path, scope: str, source: str, seen: set[str]
) -> None:
    """Who looks at alarms sees those of its device, line, agent, group or site, no others, and their end."""
    run = two_sites(tmp_path, CAP, sees(scope))
    run.say(f"{source}/cap_open", True)
    run.advance(START + 1_000)
    assert up(run, "sees") == seen
    run.say(f"{source}/cap_open", False)
    run.advance(START + 2_000)
    assert up(run, "sees") == set()


@pytest.mark.parametrize(("scope", "seen"), [
    ("device", set()), ("line", {"s/h", "s/g"}), ("agent", {"s/h", "s/g", "s/k"}), ("group", set()), ("site", ALL),
])  # fmt: skip
def test_alarm_of_a_line_is_seen_within_the_scope_and_not_beyond(tmp_path: Path, scope: str, seen: set[str]) -> None:
    """A lost line is an alarm of that line, of its agent and of its site."""
    run = two_sites(tmp_path, LINE, sees(scope, rules=("line-lost",)))
    run.say("line-bus/online", False)
    run.advance(START + 60_000)
    assert up(run, "line-lost") == {"s/line-bus"}
    assert up(run, "sees") == seen


@pytest.mark.parametrize(("scope", "seen"), [
    ("device", set()), ("line", set()), ("agent", {"s/h", "s/g", "s/k"}), ("group", set()), ("site", ALL),
])  # fmt: skip
def test_alarm_of_an_agent_is_seen_within_the_scope_and_not_beyond(tmp_path: Path, scope: str, seen: set[str]) -> None:
    """A lost agent is an alarm of that agent and of its site; those below it learn it when they are heard again."""
    run = two_sites(tmp_path, LOST, sees(scope, rules=("agent-lost",)))
    run.agents["s", "edge"] = False
    run.engine.agent_heard("s", "edge", False, run.now)
    run.advance(START + 120_000)
    assert up(run, "agent-lost") == {"s/edge"}
    assert up(run, "sees") == seen - {"s/h", "s/g", "s/k"}
    run.agents["s", "edge"] = True
    run.heartbeat()
    run.advance(START + 130_000)
    assert {t.subject for t in run.transitions if t.rule == "sees" and t.event == "raise"} == seen
    assert up(run, "sees") == set()


@pytest.mark.parametrize(("scope", "seen"), [
    ("device", {"s/h", "s/k"}), ("line", set()), ("agent", set()), ("group", {"s/h", "s/k"}), ("site", ALL),
])  # fmt: skip
def test_alarm_of_a_group_is_seen_by_its_devices(tmp_path: Path, scope: str, seen: set[str]) -> None:
    """What is wrong with a main is about every hydrant on it, and about no other."""
    run = two_sites(tmp_path, FEW, sees(scope, rules=("few",)))
    run.say("k/flow_lps", 9.0)
    run.advance(START + 1_000)
    assert up(run, "few") == {"s/north"}
    assert up(run, "sees") == seen


@pytest.mark.parametrize(("per", "scope", "source", "seen"), [
    ("line", "line", "g", {"s/line-bus"}), ("line", "line", "k", {"s/line-bus2"}),
    ("line", "agent", "k", {"s/line-bus", "s/line-bus2"}), ("line", "agent", "m", {"s/line-bus3"}),
    ("line", "device", "h", set()), ("line", "group", "h", set()),
    ("agent", "agent", "k", {"s/edge"}), ("agent", "agent", "m", {"s/edge2"}),
    ("agent", "line", "h", set()), ("agent", "site", "h", {"s/edge", "s/edge2"}),
])  # fmt: skip
def test_line_or_agent_sees_the_alarms_of_what_hangs_on_it(
    tmp_path: Path, per: str, scope: str, source: str, seen: set[str]
) -> None:
    """A rule per line or per agent looks at its own devices."""
    run = two_sites(tmp_path, CAP, sees(scope, per))
    run.say(f"{source}/cap_open", True)
    run.advance(START + 1_000)
    assert up(run, "sees") == seen


@pytest.mark.parametrize(("scope", "source", "blocked"), [
    ("device", "h", {"h"}), ("line", "h", {"h", "g"}), ("agent", "h", {"h", "g", "k"}), ("group", "h", {"h", "k"}),
    ("group", "k", {"h", "k"}), ("site", "h", {"h", "g", "k", "m"}),
])  # fmt: skip
def test_alarm_is_inhibited_within_the_scope_and_told_when_that_is_over(
    tmp_path: Path, scope: str, source: str, blocked: set[str]
) -> None:
    """An inhibiting alarm keeps others within its scope still before and after they are up; it says by what."""
    low = rule({**LOW, "inhibit_by": [{"rule": "cap", "scope": scope}]})
    run = two_sites(tmp_path, CAP, low)
    every = {"h", "g", "k", "m"}
    paths = {name: f"s/{name}/pressure_kpa" for name in every}
    run.say(f"{source}/cap_open", True)
    run.observe(*(Reading(f"{name}/pressure_kpa", run.now, 100.0) for name in every))
    run.observe(Reading("h/pressure_kpa", run.now, 100.0), site="t")
    run.advance(START + 1_000)
    assert up(run, "low") == {paths[name] for name in every - blocked} | {"t/h/pressure_kpa"}
    run.say(f"{source}/cap_open", False)
    run.advance(START + 2_000)
    assert up(run, "low") == {*paths.values(), "t/h/pressure_kpa"}
    run.say(f"{source}/cap_open", True)
    run.advance(START + 3_000)
    told = [(t.subject, t.cause, t.inputs) for t in run.transitions if t.event == "suppress"]
    why = {"inhibited_by": "cap", "subject": f"s/{source}/cap_open"}
    assert sorted(told, key=lambda each: each[0]) == [
        (paths[name], f"s/{source}/cap_open", why) for name in sorted(blocked)
    ]
    run.say(f"{source}/cap_open", False)
    run.advance(START + 4_000)
    assert up(run, "low") == {*paths.values(), "t/h/pressure_kpa"}


def test_point_in_a_group_is_inhibited_by_its_own_group_only(tmp_path: Path) -> None:
    """Single points belong to a group without their device: the hydrant's other points do not."""
    low = rule({**LOW, "inhibit_by": [{"rule": "few", "scope": "group"}]})
    shut = rule({**CAP.model_dump(by_alias=True), "inhibit_by": [{"rule": "few", "scope": "group"}]})
    run = two_sites(tmp_path, FEW, low, shut)
    run.say("m/flow_lps", 9.0)
    for device in ("m", "k"):
        run.say(f"{device}/pressure_kpa", 100.0)
        run.say(f"{device}/cap_open", True)
    assert up(run, "few") == {"s/south"}
    assert up(run, "low") == {"s/k/pressure_kpa"}
    assert up(run, "cap") == {"s/k/cap_open", "s/m/cap_open"}


def test_group_sees_the_alarms_of_its_members(tmp_path: Path) -> None:
    """A rule of a group is inhibited by an alarm of a device in it, and not by one of another."""
    few = rule({**FEW.model_dump(by_alias=True), "inhibit_by": [{"rule": "cap", "scope": "group"}]})
    run = two_sites(tmp_path, few, CAP)
    run.say("h/cap_open", True)
    run.say("k/flow_lps", 9.0)
    run.say("g/flow_lps", 9.0)
    assert up(run, "few") == {"s/south"}
    run.say("h/cap_open", False)
    run.advance(START + 1_000)
    assert up(run, "few") == {"s/south", "s/north"}


# --- what the gateway says of alarms ---------------------------------------------------------------------------------


def station(*rules: Rule) -> Run:
    def make() -> Engine:
        engine = Engine({each.id: each for each in rules})
        engine.add_device("s", "edge", "h", HYDRANT)
        engine.add_device("s", "edge", "g", HYDRANT)
        return engine

    return Run(make, checkpoint_every=1)


def note(run: Run, *states: str, name: str = "cap", device: str = "h", site: str = "s") -> None:
    run.engine.note_alarm(name, f"{site}/{device}/cap_open", site, device, frozenset(states))
    run.advance(run.now + 1_000)


def test_alarm_not_acknowledged_is_seen_until_somebody_saw_it() -> None:
    """What the life cycle says is seen, each state by its name, and nothing else."""
    run = station(CAP, sees("device", states=["returned_unacknowledged"]))
    run.say("h/cap_open", True)
    note(run, "active", "unacknowledged")
    assert up(run, "sees") == set()
    run.say("h/cap_open", False)
    note(run, "returned_unacknowledged")
    assert up(run, "sees") == {"s/h"}
    note(run)
    assert up(run, "sees") == set()


def test_engine_goes_by_its_own_judgement_when_it_judges_the_alarm_itself() -> None:
    """The word `active` of the gateway is late; the engine knows better of its own rules."""
    run = station(CAP, sees("device"))
    note(run, "active")
    assert up(run, "sees") == set()
    run.say("h/cap_open", True)
    note(run, "unacknowledged")
    assert up(run, "sees") == {"s/h"}


def test_alarm_that_others_judge_is_seen_as_the_gateway_says() -> None:
    """An alarm of an approved device that the engine does not judge begins and ends with what it is told."""
    run = station(CAP, sees("site"))
    note(run, "active", device="panel")
    assert up(run, "sees") == {"s/h", "s/g"}
    note(run, "unacknowledged", device="panel")
    assert up(run, "sees") == set()
    note(run, "active", device="panel", site="t")
    assert up(run, "sees") == set()
    note(run, "active", device="panel", name="other")
    assert up(run, "sees") == set()


def test_alarm_of_others_ends_when_it_is_forgotten() -> None:
    """A subject nobody judges any more explains nothing; who looked at it is told, and forgetting twice is harmless."""
    low = rule({**LOW, "inhibit_by": [{"rule": "cap", "scope": "site"}]})
    run = station(CAP, sees("site"), low)
    note(run, "active", device="panel")
    run.say("h/pressure_kpa", 100.0)
    assert (up(run, "sees"), up(run, "low")) == ({"s/h", "s/g"}, set())
    for _ in range(2):
        run.engine.forget("cap", "s/panel/cap_open")
        run.engine.forget("nothing", "s/panel/cap_open")
        run.advance(run.now + 1_000)
        assert (up(run, "sees"), up(run, "low")) == (set(), {"s/h/pressure_kpa"})


def test_alarm_inhibits_still_when_other_rules_are_put_in_force() -> None:
    """A standing alarm of a rule that others name goes on inhibiting after a reload."""
    low = rule({**LOW, "inhibit_by": [{"rule": "cap"}]})
    run = station(CAP, low)
    run.say("h/cap_open", True)
    extra = sees("site", rules=("low",))
    run.engine.replace_rules({each.id: each for each in (CAP, low, extra)})
    run.say("h/pressure_kpa", 100.0)
    run.say("g/pressure_kpa", 100.0)
    run.advance(START + 1_000)
    assert up(run, "low") == {"s/g/pressure_kpa"}


def test_who_was_taken_out_is_told_of_no_alarm() -> None:
    """A device that left the site is woken by no alarm of others, and those that stay are."""
    low = rule({**LOW, "inhibit_by": [{"rule": "cap", "scope": "site"}]})
    run = station(CAP, sees("site"), low)
    run.say("h/pressure_kpa", 100.0)
    run.say("g/pressure_kpa", 100.0)
    run.engine.remove_device("s", "g")
    run.commit()
    mark = len(run.transitions)
    run.say("h/cap_open", True)
    run.advance(START + 1_000)
    assert {t.subject for t in run.transitions[mark:]} == {"s/h/cap_open", "s/h", "s/h/pressure_kpa"}


# --- findings --------------------------------------------------------------------------------------------------------


FALSE = rule({
    "id": "false",
    "per": "device",
    "applies_to": ["hydrant-municipal/*"],
    "when": {"kind": "findings", "rules": ["cap", "few"], "finding": "false", "more_than": 1, "within_s": 100},
})  # fmt: skip


def find(run: Run, finding: str, at_s: int, device: str = "h", site: str = "s", name: str = "cap") -> None:
    at_ms = START + at_s * 1_000
    run.engine.note_finding(name, f"{site}/{device}/cap_open", site, device, finding, at_ms)
    run.advance(run.now + 1)


def test_false_alarms_are_counted_for_their_own_device() -> None:
    """Findings of that kind about that device count, once each; others do not."""
    run = station(CAP, FALSE)
    run.advance(START + 50_000)
    find(run, "false", 10)
    find(run, "false", 10)
    find(run, "real", 11)
    find(run, "false", 12, device="g")
    find(run, "false", 13, site="t")
    assert up(run, "false") == set()
    find(run, "false", 14)
    assert up(run, "false") == {"s/h"}
    find(run, "real", 14)  # it was looked at once more
    assert up(run, "false") == set()


def test_false_alarms_count_no_more_when_they_are_old() -> None:
    """The time of the alarm counts, not that of the word; in whatever order the words come."""
    run = station(CAP, FALSE)
    run.advance(START + 60_000)
    find(run, "false", 40)
    find(run, "false", 10)
    assert up(run, "false") == {"s/h"}
    run.advance(START + 109_000)
    assert up(run, "false") == {"s/h"}
    run.advance(START + 111_000)
    assert up(run, "false") == set()
    find(run, "false", 5)
    find(run, "false", 70)
    assert up(run, "false") == {"s/h"}


def test_finding_about_a_group_is_about_each_of_its_devices(tmp_path: Path) -> None:
    """A false alarm of a main counts for the hydrants on it."""
    run = two_sites(tmp_path, CAP, FEW, FALSE)
    for second in (1, 2):
        run.engine.note_finding("few", "s/north", "s", None, "false", START + second)
    run.advance(START + 1_000)
    assert up(run, "false") == {"s/h", "s/k"}
