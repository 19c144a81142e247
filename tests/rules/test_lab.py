"""Two runs of one history compared, and the replay that makes them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from contract.equipment import Limits
from contract.messages import Reading
from contract.profile import ProfileLibrary
from contract.site import Site, load_site
from rules.engine import Engine
from rules.golden import Incident, judge_incident, load_incident, write_incident
from rules.lab import chatter, compare_alarms, compare_runs, count_pages, draw_bar, find_affected, find_needed, to_data
from rules.model import Rule, load_packs, with_limits
from rules.replay import Acknowledged, Item, PastAlarm, Replay, Source, merge_series, replayable

T0 = 1_760_000_000_000
HOUR = 3_600_000
SITE = """\
site: shuiye
title: {zh: 水冶微站, en: Shuiye station}
agents:
  - id: edge1
    lines:
      - id: tcp1
        kind: modbus_tcp
        host: 127.0.0.1
        port: 1502
        devices:
          - {id: hydrant-01, profile: hydrant-municipal, unit_id: 1}
          - {id: panel-01, profile: panel-modbus, unit_id: 2, points: 4}
"""
SUBJECT = "shuiye/hydrant-01/pressure_kpa"
LOW = "hydrant-pressure-low"
RULES = load_packs()
AGENT = ("shuiye", "edge1")
NAMES = ["hydrant-01/online", "hydrant-01/pressure_kpa", "panel-01/online", "panel-01/p001", "line-tcp1/online"]
SOURCES = [Source("shuiye", name, AGENT) for name in NAMES]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A hydrant and a panel behind one agent."""
    path = tmp_path_factory.mktemp("site") / "shuiye.yaml"
    path.write_text(SITE, "utf-8")
    return load_site(path, ProfileLibrary())


def alarm(raised: int, cleared: int | None, **more: Any) -> PastAlarm:
    """An alarm of the hydrant, in seconds from T0."""
    given = {"rule": LOW, "severity": "warning", "count": 1, "suppressed": False, "subject": SUBJECT, **more}
    return PastAlarm(
        given["rule"], "v", given["severity"], given["subject"], "shuiye", "hydrant-01", T0 + raised * 1000,
        None if cleared is None else T0 + cleared * 1000, given["count"], None, given["suppressed"], {},
    )  # fmt: skip


def calm(
    hours: float, step_s: int = 60, but: dict[int, float] | None = None, gap: tuple[int, int] = (0, 0)
) -> list[Item]:
    """Hours of a healthy station; but: second -> pressure from there on; gap: seconds in which nothing came."""
    changes, pressure = dict(but or {}), 300.0
    items: list[Item] = []
    for second in range(0, int(hours * 3600), step_s):
        pressure = changes.get(second, pressure)
        if gap[0] <= second < gap[1]:
            continue
        values = [True, pressure, True, "normal", True]
        at_ms = T0 + second * 1000
        items += [(at_ms, n, Reading(NAMES[n], at_ms, value)) for n, value in enumerate(values)]
    return items


def run(site: Site, rules: dict[str, Rule], items: list[Item], hours: float, *done: Acknowledged) -> list[PastAlarm]:
    """A replay of these items."""
    engine = Engine(replayable(rules))
    engine.add_site(site)
    replay = Replay(engine, SOURCES, {AGENT: 450_000}, T0)
    at = 0
    for each in done:
        to = next(n for n, item in enumerate(items) if item[0] >= each.at_ms)
        replay.feed(items[at:to])
        replay.acknowledge(each)
        at = to
    replay.feed(items[at:])
    return replay.end(T0 + int(hours * HOUR))


# --- comparing ---------------------------------------------------------------------------------------------------


def test_nothing_differs_when_both_runs_decided_the_same() -> None:
    """The version of a rule alone is no difference."""
    assert compare_alarms([alarm(0, 10)], [alarm(0, 10)._replace(version="w")]) == []


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [
        ([], [alarm(0, 10)], ["gained"]),
        ([alarm(0, 10)], [], ["lost"]),
        ([alarm(0, 100)], [alarm(50, 100)], ["changed"]),
        ([alarm(0, 10)], [alarm(30, 40)], ["changed"]),
        ([alarm(0, 10)], [alarm(3600, 3700)], ["lost", "gained"]),
        ([alarm(0, 100)], [alarm(0, 20), alarm(70, 80)], ["changed", "gained"]),
        ([alarm(0, None)], [alarm(0, 500)], ["changed"]),
        ([alarm(0, 10)], [alarm(0, 10, severity="critical")], ["changed"]),
        ([alarm(0, 10)], [alarm(0, 10, subject="shuiye/x/y")], ["lost", "gained"]),
    ],
)
def test_alarms_are_paired_by_subject_and_time(
    before: list[PastAlarm], after: list[PastAlarm], kinds: list[str]
) -> None:
    """One alarm that moved is one change; one that has nothing to do with it is lost and another gained."""
    assert [change.kind for change in compare_alarms(before, after)] == kinds


def test_later_ms_says_how_much_later_when_an_alarm_moved() -> None:
    """Positive: the new rules speak later."""
    (change,) = compare_alarms([alarm(0, 100)], [alarm(50, 100)])

    assert change.later_ms == 50_000


def test_pages_are_counted_for_every_shift_when_most_are_quiet() -> None:
    """What pages nobody (information, suppressed) is not counted; quiet shifts are; the shift is the site's own."""
    zones = {"shuiye": ZoneInfo("Asia/Shanghai")}
    alarms = [alarm(0, 1), alarm(60, 61), alarm(70, 71, severity="info"), alarm(80, 81, suppressed=True)]

    pages = count_pages([*alarms, alarm(9 * 3600, None)], (T0, T0 + 48 * HOUR), zones)

    # T0 is 16:53 in Shanghai: the shift began at 16:00.
    assert (pages.total, pages.shifts, pages.most, pages.worst_ms) == (3, 6, 2, 1_759_996_800_000)
    assert pages.by_count == {0: 4, 1: 1, 2: 1}
    assert pages.mean == 0.5


def test_chatter_names_who_spoke_the_most() -> None:
    """A flapping alarm counts with all its raises; a single alarm is no chatter."""
    alarms = [alarm(0, 1), alarm(10, 11), alarm(20, 21, rule="a", count=5), alarm(30, 31, rule="b")]

    assert chatter(alarms) == [("a", SUBJECT, 5), (LOW, SUBJECT, 2)]


def test_bar_shows_when_alarms_stood() -> None:
    """Whole columns, parts of one, and a moment that would otherwise vanish."""
    assert draw_bar([alarm(10, 30), alarm(52, 53), alarm(90, None)], (T0, T0 + 100_000), 10) == "·██··▄···█"


def test_affected_rules_are_those_that_differ_and_those_that_look_at_them() -> None:
    """A rule that gives way to a changed one may decide otherwise as well; what explains silence is always needed."""
    first, second = next(
        (rule, RULES[inhibit.rule]) for rule in RULES.values() for inhibit in rule.inhibit_by if inhibit.rule in RULES
    )
    changed = {**RULES, second.id: second.model_copy(update={"for_s": second.for_s + 1})}

    affected = find_affected(RULES, changed)
    needed = find_needed(RULES, {first.id})

    assert {first.id, second.id} <= affected
    assert {first.id, second.id, "device-silent"} <= needed.keys()
    assert len(needed) < len(RULES)
    assert find_affected(RULES, dict(RULES)) == set()


# --- replaying ---------------------------------------------------------------------------------------------------


def test_replay_raises_and_clears_at_the_times_of_the_rule(site: Site) -> None:
    """30 s below 140 kPa raises, 30 s at 150 kPa or more clears."""
    alarms = run(site, RULES, calm(2, but={3600: 120.0, 4200: 300.0}), 2)

    found = [(each.raised_ms - T0, each.cleared_ms and each.cleared_ms - T0) for each in alarms if each.rule == LOW]
    assert found == [(3_630_000, 4_230_000)]


def test_diff_is_the_same_when_it_is_made_again(site: Site) -> None:
    """The same history gives the same report, byte for byte."""
    items = calm(3, but={3600: 120.0, 4200: 300.0, 7200: 135.0})
    stricter = {**RULES, LOW: with_limits(RULES[LOW], _below(200), "test")}
    reports = []
    for _ in range(2):
        runs = run(site, RULES, items, 3), run(site, stricter, items, 3)
        diff = compare_runs(*runs, (RULES, stricter), (T0, T0 + 3 * HOUR), {"shuiye": ZoneInfo("Asia/Shanghai")})
        reports.append(repr(to_data(diff)))

    assert reports[0] == reports[1]


def test_stricter_limit_gains_an_alarm_when_the_pressure_was_between_the_limits(site: Site) -> None:
    """What lies between the old and the new limit is gained, with its time."""
    stricter = {**RULES, LOW: with_limits(RULES[LOW], _below(200), "test")}
    items = calm(2, but={3600: 180.0, 4200: 300.0})
    diff = compare_runs(
        run(site, RULES, items, 2), run(site, stricter, items, 2), (RULES, stricter), (T0, T0 + 2 * HOUR), {}
    )

    gained = [(c.kind, c.rule, c.at_ms - T0) for c in diff.changes if c.rule == LOW]
    assert gained == [("gained", LOW, 3_630_000)]
    assert next(rule for rule in diff.rules if rule.rule == LOW).state == "changed"


def test_silence_of_a_whole_agent_raises_nothing_below_it(site: Site) -> None:
    """A hole in the history is an agent that was away, not two devices that died; a device's own silence is told."""
    hole = run(site, RULES, calm(3, gap=(3600, 7200)), 3)
    own = run(site, RULES, [item for item in calm(3) if item[1] not in (0, 1) or item[0] < T0 + HOUR], 3)

    assert [(each.rule, each.subject) for each in hole if not each.suppressed] == []
    assert "device-silent" in {each.rule for each in own}


def test_acknowledgement_reaches_the_rules_that_ask_for_it(site: Site) -> None:
    """A rule about an alarm nobody acknowledged ends when somebody did, as it did in the past."""
    waiting = Rule.model_validate(
        {
            **RULES[LOW].model_dump(by_alias=True),
            "id": "nobody-came",
            "per": "device",
            "applies_to": ["hydrant-municipal/*"],
            "when": {"kind": "alarm", "rules": [LOW], "states": ["unacknowledged"]},
            "for_s": 0,
            "clear_for_s": 0,
        }
    )
    rules = {**RULES, waiting.id: waiting}
    items = calm(2, but={3600: 120.0})
    done = Acknowledged(T0 + 4_000_000, LOW, SUBJECT)

    alarms = [each for each in run(site, rules, items, 2, done) if each.rule == waiting.id]

    assert [(each.raised_ms - T0, each.cleared_ms) for each in alarms] == [(3_630_000, T0 + 4_000_000)]


def test_items_of_several_sources_come_in_order_of_time() -> None:
    """Equal times keep the order of the sources."""
    parts = [(n, [(T0 + second * 1000, n, Reading(NAMES[n], T0, 1.0)) for second in (0, 2, 4)]) for n in (0, 1)]

    merged = [item[:2] for item in merge_series(parts)]

    assert all(first <= second for first, second in pairwise(merged))


# --- golden incidents --------------------------------------------------------------------------------------------


def incident(**more: Any) -> Incident:
    """A hydrant that loses pressure in its 600th second."""
    rows = [[second, 300.0 if second < 600 else 120.0] for second in range(0, 1200, 30)]
    data = {
        "title": {"zh": "水压低", "en": "Low"},
        "site": "shuiye",
        "from_ms": T0,
        "seconds": 1200,
        "devices": [{"id": "hydrant-01", "profile": "hydrant-municipal", "agent": "edge1"}],
        "expect": [{"rule": LOW, "subject": SUBJECT, "at": 630}],
        "readings": {"hydrant-01/pressure_kpa": rows, "hydrant-01/online": [[0.0, True], [600.0, True]]},
        **more,
    }
    return Incident.model_validate(data)


def judge(site: Site, given: Incident, rules: dict[str, Rule]) -> list[str]:
    """Problems the rules have with it."""
    engine = Engine(replayable(rules))
    engine.add_site(site)
    return judge_incident(Path("x.yaml"), given, rules, engine).problems


def test_incident_is_seen_when_the_rule_still_fires(site: Site, tmp_path: Path) -> None:
    """Written to a file and read again it proves the same."""
    path = write_incident(tmp_path, "East gate", incident())

    assert judge(site, load_incident(path), RULES) == []
    assert path.name == "east-gate.yaml"


def test_incident_names_rule_values_and_condition_when_it_would_go_unseen(site: Site) -> None:
    """Who reads it knows what to mend."""
    looser = {**RULES, LOW: with_limits(RULES[LOW], _below(110), "test")}

    (problem,) = judge(site, incident(), looser)

    assert problem == (
        f"{LOW} on {SUBJECT}: got no raise, want one at 630 s (give or take 60 s). hydrant-01/pressure_kpa went from "
        "300 to 120 (120..300); the rule now: {below: 110.0, clear: 150.0, kind: threshold} for 30 s"
    )


def test_incident_is_unseen_when_the_alarm_comes_too_late(site: Site) -> None:
    """Later than it is allowed to is not seen."""
    slower = {**RULES, LOW: RULES[LOW].model_copy(update={"for_s": 200.0})}

    (problem,) = judge(site, incident(), slower)

    assert "got a raise at 800 s, want one at 630 s" in problem


def test_other_rule_counts_when_the_incident_allows_it(site: Site) -> None:
    """A rule may be renamed or split without losing the proof."""
    renamed = {key: rule for key, rule in RULES.items() if key != LOW}
    renamed["low"] = RULES[LOW].model_copy(update={"id": "low"})
    given = incident(expect=[{"rule": LOW, "or_rules": ["low"], "subject": SUBJECT, "at": 630}])

    assert judge(site, given, renamed) == []
    assert "stands in no pack any more" in judge(site, incident(), renamed)[0]


def test_false_alarm_is_refused_when_it_comes_again(site: Site) -> None:
    """An incident may prove that nothing must be raised."""
    given = incident(expect=[], never=[{"rule": LOW, "subject": SUBJECT}])

    (problem,) = judge(site, given, RULES)

    assert "got a raise at 630 s, want none" in problem


def _below(limit: float) -> Any:
    return Limits(below=limit, clear=limit + 40 if limit > 140 else None)
