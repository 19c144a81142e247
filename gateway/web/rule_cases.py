"""Where a rule comes from, and the tests of it in words: what arrives when, and what it must say."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from contract.errors import ConfigError
from contract.profile import Text
from gateway.web.rule_words import PointNames, span
from gateway.web.texts import Texts
from rules.cases import Arrival, Case, load_cases
from rules.check import CASES
from rules.model import read_packs


class Origin(NamedTuple):
    """The pack of a rule, and the cases that test this rule."""

    pack: str
    title: Text
    file: str
    cases: list[Case]


class CaseRow(NamedTuple):
    """A test in words. expects: empty when the rule must not speak."""

    name: str
    arrives: list[str]
    expects: list[str]


def origin_of(rule_id: str, folders: tuple[Path, ...]) -> Origin | None:
    """The pack in force that has a rule; None when it is in none any more, or cannot be read now."""
    try:
        for path, pack, title, ids in _packs(folders):
            if rule_id in ids:
                beside = path.with_name(f"{path.stem}{CASES}")
                cases = load_cases(beside) if beside.is_file() else []
                return Origin(pack, title, path.name, [case for case in cases if case.rule == rule_id])
    except ConfigError:
        return None
    return None


@lru_cache(maxsize=4)
def _packs(folders: tuple[Path, ...]) -> list[tuple[Path, str, Text, frozenset[str]]]:
    """Which rules each pack has. Packs that come or go are seen when the pages start anew."""
    return [
        (path, pack.pack, pack.title, frozenset(rule.id for rule in pack.rules))
        for path, pack in read_packs(list(folders))
    ]


def case_rows(cases: list[Case], texts: Texts, names: PointNames) -> list[CaseRow]:
    """The tests in the reader's language; a name that a pack of one's own has in one language stays so."""
    return [
        CaseRow(
            case.name.get(texts.language),
            [
                texts("at %(time)s: %(what)s", time=span(one.at, texts), what=_arrival(one, texts, names))
                for one in case.input
            ],
            [
                texts("at %(time)s: %(what)s", time=span(one.at, texts), what=texts.word("event", one.event))
                for one in case.expect
            ],
        )
        for case in cases
    ]


def _arrival(one: Arrival, texts: Texts, names: PointNames) -> str:
    if one.alarm is not None:
        states = " / ".join(texts.word("alarm_is", state) for state in one.states or ()) or texts("over")
        return f"{one.alarm}: {texts.word('finding', one.finding) if one.finding else states}"
    if one.due:
        return " · ".join(texts.word("due", kind) for kind in one.due)
    for said, what in ((one.online, "online"), (one.agent, "agent"), (one.broker, "broker")):
        if said is not None:
            return f"{what}: {texts.value(None, said)}"
    point = None if one.point is None else one.point.rpartition("/")[2]
    place = f" ({one.point})" if one.point is not None and "/" in one.point else ""
    if one.quality != "good":
        return f"{names.title(point)}{place}: {texts.quality(one.quality)}"
    is_number = isinstance(one.value, int | float) and not isinstance(one.value, bool)
    return f"{names.title(point)}{place}: {texts.value(None, one.value)}{names.unit(point) if is_number else ''}"
