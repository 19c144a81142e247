"""Rules in words: every shipped rule and every kind of condition, in both languages."""

from __future__ import annotations

import re
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from pydantic import TypeAdapter

from gateway.control.protocol import Event
from gateway.web.app import load_inventory
from gateway.web.proofs import proof_line
from gateway.web.rule_words import PointNames, condition_lines, rule_words, span
from gateway.web.texts import LANGUAGES, Language, Texts, load_catalogues
from rules.model import Condition, load_packs
from tests.web.station import Station, now_ms
from tests.web.test_folding import _picture

ZONE = ZoneInfo("Asia/Shanghai")
NAMES = PointNames("pressure_kpa", {"pressure_kpa": "Pressure", "flow_lps": "Flow"}, "the value")
CASES: list[tuple[dict[str, Any], list[str]]] = [
    ({"kind": "threshold", "below": 140, "clear": 150}, ["Pressure below 140 kPa (over at 150 kPa)"]),
    (
        {"kind": "window", "of": "fall", "window_s": 60, "above": 100, "clear": 40, "point": "flow_lps"},
        ["fall of Flow over 1 min above 100 L/s (over at 40 L/s)"],
    ),
    ({"kind": "state", "equals": ["fire", True]}, ["Pressure is fire / yes"]),
    ({"kind": "quality", "is": ["bad"]}, ["quality of Pressure is Bad"]),
    (
        {"kind": "count", "equals": [True], "at_least": 15, "within_s": 3600},
        ["Pressure became yes at least 15 times within 1 h"],
    ),
    (
        {"kind": "since", "equals": [True], "longer_than_s": 691200},
        ["Pressure was last yes longer than 8 d ago"],
    ),
    (
        {
            "kind": "tally", "of": {"kind": "state", "equals": ["fire"]}, "at_least": 2, "within_s": 300,
            "manual_counts": True,
        },
        ["at least 2 points where: Pressure is fire, within 5 min; one manual call point is enough"],
    ),
    ({"kind": "due", "of": "scrap", "ahead_s": 2592000}, ["scrapping due in less than 30 d"]),
    (
        {"kind": "alarm", "rules": ["panel-fire"], "scope": "site"},
        ['an alarm "Fire alarm" is active (same site)'],
    ),
    (
        {"kind": "findings", "rules": ["panel-fire"], "finding": "false", "more_than": 5, "within_s": 86400},
        ['more than 5 alarms "Fire alarm" found false alarm within 1 d'],
    ),
    ({"kind": "time", "from": "23:00", "to": "05:00", "days": ["mon"]}, ["local time between 23:00 and 05:00 (Mon)"]),
    ({"kind": "absence", "after_s": 900}, ["no reading for 15 min although its path is whole"]),
    ({"kind": "agent_lost", "after_s": 90}, ["the agent said good-bye, or was not heard for 1.5 min"]),
    ({"kind": "line_lost"}, ["the port of the line is gone, or all of its devices are silent"]),
    (
        {"kind": "all", "of": [{"kind": "line_lost"}, {"kind": "not", "of": {"kind": "line_lost"}}]},
        [
            "all of:",
            "the port of the line is gone, or all of its devices are silent",
            "not:",
            "the port of the line is gone, or all of its devices are silent",
        ],
    ),
    (
        {"kind": "any", "of": [{"kind": "line_lost"}]},
        ["the port of the line is gone, or all of its devices are silent"],
    ),
]  # fmt: skip


def _texts(language: Language) -> Texts:
    return Texts(language, load_catalogues()[language], ZONE)


@pytest.mark.parametrize(("raw", "want"), CASES, ids=lambda value: value["kind"] if isinstance(value, dict) else "")
def test_a_condition_reads_as_a_sentence(raw: dict[str, Any], want: list[str]) -> None:
    """Limits with their unit, durations in the largest unit that fits."""
    titles = {rule.id: rule.title for rule in load_packs().values() if rule.id == "panel-fire"}
    when = TypeAdapter(Condition).validate_python(raw)
    assert [line.text for line in condition_lines(when, _texts("en"), NAMES, titles)] == want


def test_every_kind_of_condition_has_its_words() -> None:
    """A kind that is added to the model fails here until it has."""
    kinds = {get_args(kind.model_fields["kind"].annotation)[0] for kind in get_args(get_args(Condition)[0])}
    assert kinds == {raw["kind"] for raw, _ in CASES} | {"not"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_shipped_rule_is_told_without_a_code_word(station: Station, language: Language) -> None:
    """No name of a point, state or family stands bare."""
    inventory = load_inventory(station.settings())
    texts = _texts(language)
    titles = {key: rule.title for key, rule in inventory.rules.items()}
    for rule in inventory.rules.values():
        words = rule_words(rule, texts, inventory.point_names(rule, texts), titles)
        said = " ".join([line.text for line in words.when] + words.timing)
        assert not re.search(r"\b[a-z]+_[a-z_]+\b|\b[a-z]+\.[a-z]+\b", said), (rule.id, said)
        if language == "zh":
            assert re.search(r"[一-鿿]", said), rule.id


@pytest.mark.parametrize(
    ("seconds", "said"), [(30, "30 s"), (90, "1.5 min"), (3600, "1 h"), (5400, "1.5 h"), (100, "100 s")]
)
def test_a_duration_is_told_in_the_largest_unit_that_fits(seconds: float, said: str) -> None:
    """One decimal at most."""
    assert span(seconds, _texts("en")) == said


def _proof(target: str, ago_ms: int | None, hop: str = "") -> dict[str, Any]:
    return {"target": target, "state": "proven", "hop": hop, "proven_ms": None if ago_ms is None else now_ms() - ago_ms}


@pytest.mark.parametrize(
    ("proofs", "state", "text"),
    [
        ([("agent/shuiye/edge1", 240_000, "")], "good", "Alarm path proven 4 min ago"),
        (
            [("agent/shuiye/edge1", 240_000, ""), ("channel/li/ding", 3_600_000, "")],
            "good",
            "Alarm path proven 1 h ago",
        ),
        ([("agent/shuiye/edge1", 1_000, ""), ("channel/li/ding", None, "")], "unknown", "not been proven yet"),
        ([("agent/shuiye/edge1", 1_000, ""), ("channel/li/ding", 9, "send")], "failed", "li · ding, at sending"),
        ([("agent/shuiye/edge1", 9, "answer")], "failed", "Agent one, at the answer of the agent"),
    ],
)
def test_the_path_is_as_good_as_its_worst_part(
    station: Station, proofs: list[tuple[str, int | None, str]], state: str, text: str
) -> None:
    """The oldest proof counts; what broke is named with its hop; what was never proven is not good."""
    station.proofs = [_proof(*row) for row in proofs]
    line = proof_line(_picture(station), load_inventory(station.settings()), _texts("en"), now_ms())
    assert line is not None
    assert (line.state, text in line.text) == (state, True)


def test_a_failing_channel_is_named_and_an_away_gateway_proves_nothing(station: Station) -> None:
    """Two messages in a row that did not go out; a message that goes out ends it."""
    station.notices = {"ways": [{"person": "li", "name": "Li", "channel": "ding", "kind": "apprise", "state": "ok"}]}
    station.proofs = [_proof("agent/shuiye/edge1", 1_000)]
    picture, inventory = _picture(station), load_inventory(station.settings())

    def failing() -> str:
        line = proof_line(picture, inventory, _texts("en"), now_ms())
        return line.failing if line else ""

    bad = {"person": "li", "channel": "ding", "state": "failing", "error": "HTTP 503", "at_ms": now_ms()}
    picture.apply(Event(event="notice", data=bad))
    assert failing() == ""
    picture.apply(Event(event="notice", data=bad))
    assert failing() == "Messages fail: Li"
    picture.apply(Event(event="notice", data={**bad, "state": "sent"}))
    assert failing() == ""
    picture.lose()
    line = proof_line(picture, inventory, _texts("en"), now_ms())
    assert line is not None
    assert line.state == "unknown"
