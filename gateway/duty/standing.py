"""Alarms that stand and mean something for a station, as their rule said it when they were raised. Pure memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from gateway.control.protocol import AlarmView
from gateway.installation import Installation
from gateway.ledger.standing import SavedStanding
from rules.model import Rule, with_limits
from rules.readiness import Take


class Basis(NamedTuple):
    """What a version of a rule takes from readiness, and why."""

    take: Take
    zh: str
    en: str


class Standing(NamedTuple):
    """An alarm whose condition holds. drill: of a drill, so that it takes nothing. raised_ms: when we knew."""

    id: int
    rule: str
    subject: str
    site: str
    device: str | None
    raised_ms: int
    drill: int | None
    basis: Basis


def basis_of_record(record: str) -> Basis | None:
    """What a rule's record takes; None: nothing."""
    return _basis(msgspec.json.decode(record))


def basis_of_rule(rule: Rule) -> Basis | None:
    """What a rule takes; None: nothing."""
    if rule.readiness is None:
        return None
    return Basis(Take.of(rule.readiness.state, rule.readiness.points), rule.basis.zh, rule.basis.en)


def _basis(record: dict[str, Any]) -> Basis | None:
    takes = record.get("readiness")
    if takes is None:
        return None
    return Basis(Take.of(takes["state"], takes["points"]), record["basis"]["zh"], record["basis"]["en"])


class StandingAlarms:
    """Those whose rule has something to say of readiness."""

    def __init__(self, saved: list[SavedStanding]) -> None:
        self._saved = saved
        self._bases: dict[str, Basis | None] = {}
        self._rules: Mapping[str, Rule] = {}
        self._limited: dict[tuple[str, str | None, str], Basis | None] = {}
        """Of devices for which a rule takes something else than everywhere."""
        self.rows: dict[int, Standing] = {}

    def install(self, installation: Installation) -> None:
        """These rules are in force; what stands already keeps what it was raised under."""
        self._rules = installation.rules
        self._bases = {}
        self._limited = {
            (site.site, placed.entry.id, rule): basis_of_rule(with_limits(self._rules[rule], limits, rule))
            for site in installation.sites.values()
            for placed in site.placed()
            for rule, limits in placed.entry.limits.items()
            if limits.readiness_state is not None or limits.readiness_points is not None
        }
        saved, self._saved = self._saved, []
        for row in saved:
            record = row.record
            basis = self._basis(row.site, row.device, row.rule) if record is None else basis_of_record(record)
            if basis is not None:
                self.rows[row.id] = Standing(*row[:7], basis)

    def _basis(self, site: str, device: str | None, rule_id: str) -> Basis | None:
        if (site, device, rule_id) in self._limited:
            return self._limited[site, device, rule_id]
        if rule_id not in self._bases:
            rule = self._rules.get(rule_id)
            self._bases[rule_id] = None if rule is None else basis_of_rule(rule)
        return self._bases[rule_id]

    def moved(self, alarm: AlarmView, event: str) -> Standing | None:
        """An alarm moved; gives it as it is now or was, when it began or ended to stand, or to count."""
        known = self.rows.get(alarm.id)
        if known is None:
            if (
                event != "raise"
                or not alarm.active
                or (basis := self._basis(alarm.site, alarm.device, alarm.rule)) is None
            ):
                return None
            known = Standing(
                alarm.id, alarm.rule, alarm.subject, alarm.site, alarm.device, alarm.recorded_ms, alarm.drill, basis
            )
            self.rows[alarm.id] = known
            return known
        if not alarm.active:
            return self.rows.pop(alarm.id)
        if alarm.drill == known.drill:
            return None
        self.rows[alarm.id] = known._replace(drill=alarm.drill)
        return self.rows[alarm.id]

    def counting(self) -> Iterator[Standing]:
        """All but those of drills."""
        return (alarm for alarm in self.rows.values() if alarm.drill is None)
