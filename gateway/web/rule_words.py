"""A rule in words: when it speaks, when it stops, what keeps it still. Pure functions on rules/model.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from contract.profile import Text
from contract.units import unit_of
from gateway.web.texts import Texts
from rules.model import Rule


class PointNames(NamedTuple):
    """Names of the points a rule speaks of. own: the point of a rule that judges each point by itself."""

    own: str | None
    titles: Mapping[str, str]
    any: str
    """What a rule's own point is called where it watches many."""

    def title(self, point: str | None) -> str:
        """For people; the name on the wire where there is no other."""
        name = point or self.own
        return self.titles.get(name, name) if name else self.any

    def unit(self, point: str | None) -> str:
        """The unit after a number, with a space before it; empty for none."""
        unit = unit_of(point or self.own or "")
        return f" {unit.symbol}" if unit and unit.symbol else ""


class Line(NamedTuple):
    """One line of a condition. depth: 0 for the condition itself, 1 for a part of it, and so on."""

    depth: int
    text: str


class RuleWords(NamedTuple):
    """A rule for people. when: the condition, part by part. timing: how long, what ends it, what keeps it still."""

    id: str
    title: str
    severity: str
    basis: str
    version: str
    advice: list[str]
    watches: list[str]
    when: list[Line]
    timing: list[str]


def rule_words(rule: Rule, texts: Texts, names: PointNames, titles: Mapping[str, Text] | None = None) -> RuleWords:
    """The rule in the reader's language. titles: of other rules, by id."""
    return RuleWords(
        rule.id,
        rule.title.get(texts.language),
        rule.severity,
        rule.basis.get(texts.language),
        rule.version,
        [step.get(texts.language) for step in rule.advice],
        list(rule.applies_to) or [texts.word("per", rule.per)],
        condition_lines(rule.when, texts, names, titles or {}),
        _timing(rule, texts, titles or {}),
    )


def condition_lines(when: Any, texts: Texts, names: PointNames, titles: Mapping[str, Text]) -> list[Line]:
    """A condition as indented lines; `all`, `any` and `not` head the lines of their parts."""

    def walk(condition: Any, depth: int) -> Iterable[Line]:
        if condition.kind in ("all", "any", "not"):
            parts = [condition.of] if condition.kind == "not" else condition.of
            if len(parts) == 1 and condition.kind != "not":
                yield from walk(parts[0], depth)
                return
            yield Line(depth, texts.word("joined", condition.kind))
            for part in parts:
                yield from walk(part, depth + 1)
        else:
            yield Line(depth, _leaf(condition, texts, names, titles))

    return list(walk(when, 0))


def span(seconds: float, texts: Texts) -> str:
    """A duration in the largest unit that gives at most one decimal: 30 s, 5 min, 1.5 h, 30 d."""
    if _fits(seconds, 86400):
        return texts("%(n)s d", n=f"{seconds / 86400:g}")
    if _fits(seconds, 3600):
        return texts("%(n)s h", n=f"{seconds / 3600:g}")
    if _fits(seconds, 60):
        return texts("%(n)s min", n=f"{seconds / 60:g}")
    return texts("%(n)s s", n=f"{seconds:g}")


def _fits(seconds: float, size: int) -> bool:
    return seconds >= size and round(seconds / size, 1) * size == seconds


def _leaf(leaf: Any, texts: Texts, names: PointNames, titles: Mapping[str, Text]) -> str:
    told = _LEAVES.get(leaf.kind)
    if told is None:  # a kind that is newer than these words
        return texts.word("condition", leaf.kind)
    return told(leaf, texts, names, titles)


def _threshold(leaf: Any, texts: Texts, names: PointNames, _: Mapping[str, Text]) -> str:
    name = names.title(leaf.point)
    if leaf.at_20c is not None:
        name = texts("%(point)s as it would be at 20 °C", point=name)
    return _beyond(name, leaf, texts, names.unit(leaf.point))


def _window(leaf: Any, texts: Texts, names: PointNames, _: Mapping[str, Text]) -> str:
    name = texts(
        "%(figure)s of %(point)s over %(time)s",
        figure=texts.word("figure", leaf.of),
        point=names.title(leaf.point),
        time=span(leaf.window_s, texts),
    )
    return _beyond(name, leaf, texts, names.unit(leaf.point))


def _beyond(name: str, leaf: Any, texts: Texts, unit: str) -> str:
    limit = leaf.below if leaf.below is not None else leaf.above
    values = {"point": name, "limit": f"{limit:g}{unit}", "clear": f"{leaf.clear:g}{unit}"}
    if leaf.below is not None:
        return texts("%(point)s below %(limit)s (over at %(clear)s)", **values)
    return texts("%(point)s above %(limit)s (over at %(clear)s)", **values)


def _state(leaf: Any, texts: Texts, names: PointNames, _: Mapping[str, Text]) -> str:
    return texts("%(point)s is %(states)s", point=names.title(leaf.point), states=_states(leaf.equals, texts))


def _quality(leaf: Any, texts: Texts, names: PointNames, _: Mapping[str, Text]) -> str:
    states = " / ".join(texts.quality(word) for word in leaf.is_)
    said = texts("quality of %(point)s is %(states)s", point=names.title(leaf.point), states=states)
    if leaf.except_for:
        said += texts(", but not %(states)s", states=" / ".join(texts.quality(word) for word in leaf.except_for))
    return said


def _count(leaf: Any, texts: Texts, names: PointNames, _: Mapping[str, Text]) -> str:
    return texts(
        "%(point)s became %(states)s at least %(n)s times within %(time)s",
        point=names.title(leaf.point),
        states=_states(leaf.equals, texts),
        n=leaf.at_least,
        time=span(leaf.within_s, texts),
    )


def _since(leaf: Any, texts: Texts, names: PointNames, _: Mapping[str, Text]) -> str:
    return texts(
        "%(point)s was last %(states)s longer than %(time)s ago",
        point=names.title(leaf.point),
        states=_states(leaf.equals, texts),
        time=span(leaf.longer_than_s, texts),
    )


def _tally(leaf: Any, texts: Texts, names: PointNames, titles: Mapping[str, Text]) -> str:
    inner = _leaf(leaf.of, texts, names, titles)
    said = texts("at least %(n)s points where: %(condition)s", n=leaf.at_least, condition=inner)
    if leaf.within_s is not None:
        said += texts(", within %(time)s", time=span(leaf.within_s, texts))
    if leaf.manual_counts:
        said += texts("; one manual call point is enough")
    return said


def _due(leaf: Any, texts: Texts, _: PointNames, __: Mapping[str, Text]) -> str:
    what = texts.word("due", leaf.of)
    if leaf.ahead_s:
        return texts("%(what)s due in less than %(time)s", what=what, time=span(leaf.ahead_s, texts))
    return texts("%(what)s due", what=what)


def _alarm_is(leaf: Any, texts: Texts, _: PointNames, titles: Mapping[str, Text]) -> str:
    return texts(
        'an alarm "%(rules)s" is %(states)s (%(scope)s)',
        rules=_rules(leaf.rules, texts, titles),
        states=" / ".join(texts.word("alarm_is", state) for state in leaf.states),
        scope=texts.word("scope", leaf.scope),
    )


def _findings(leaf: Any, texts: Texts, _: PointNames, titles: Mapping[str, Text]) -> str:
    return texts(
        'more than %(n)s alarms "%(rules)s" found %(finding)s within %(time)s',
        n=leaf.more_than,
        rules=_rules(leaf.rules, texts, titles),
        finding=texts.word("finding", leaf.finding),
        time=span(leaf.within_s, texts),
    )


def _time(leaf: Any, texts: Texts, _: PointNames, __: Mapping[str, Text]) -> str:
    said = texts("local time between %(from)s and %(to)s", **{"from": leaf.from_, "to": leaf.to})
    days = " ".join(texts.word("day", day) for day in leaf.days)
    return f"{said} ({days})" if days else said


def _absence(leaf: Any, texts: Texts, _: PointNames, __: Mapping[str, Text]) -> str:
    return texts("no reading for %(time)s although its path is whole", time=span(leaf.after_s, texts))


def _agent_lost(leaf: Any, texts: Texts, _: PointNames, __: Mapping[str, Text]) -> str:
    return texts("the agent said good-bye, or was not heard for %(time)s", time=span(leaf.after_s, texts))


def _line_lost(_: Any, texts: Texts, __: PointNames, ___: Mapping[str, Text]) -> str:
    return texts("the port of the line is gone, or all of its devices are silent")


_LEAVES: dict[str, Callable[[Any, Texts, PointNames, Mapping[str, Text]], str]] = {
    "threshold": _threshold,
    "window": _window,
    "state": _state,
    "quality": _quality,
    "count": _count,
    "since": _since,
    "tally": _tally,
    "due": _due,
    "alarm": _alarm_is,
    "findings": _findings,
    "time": _time,
    "absence": _absence,
    "agent_lost": _agent_lost,
    "line_lost": _line_lost,
}


def _timing(rule: Rule, texts: Texts, titles: Mapping[str, Text]) -> list[str]:
    said = [texts("must hold for %(time)s", time=span(rule.for_s, texts)) if rule.for_s else texts("speaks at once")]
    if rule.clear_for_s:
        said.append(texts("must be over for %(time)s", time=span(rule.clear_for_s, texts)))
    missing = texts("without a value a standing alarm stays")
    said.append(missing if rule.on_missing == "hold" else texts("without a value a standing alarm ends"))
    for inhibit in rule.inhibit_by:
        other = _rules([inhibit.rule], texts, titles)
        scope = texts.word("scope", inhibit.scope)
        said.append(texts('keeps still while "%(rule)s" stands (%(scope)s)', rule=other, scope=scope))
    if rule.flap is not None:
        values = {"n": rule.flap.count, "time": span(rule.flap.within_s, texts), "calm": span(rule.flap.calm_s, texts)}
        said.append(
            texts("from %(n)s times within %(time)s on one alarm with a count, until %(calm)s of calm", **values)
        )
    return said


def _rules(ids: Iterable[str], texts: Texts, titles: Mapping[str, Text]) -> str:
    return " / ".join(titles[rule].get(texts.language) if rule in titles else rule for rule in ids)


def _states(words: Iterable[bool | str], texts: Texts) -> str:
    return " / ".join(texts.value(None, word) for word in words)
