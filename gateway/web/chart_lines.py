"""What is drawn over a chart: the thresholds of the time, and what happened. Pure but for the ledger it is given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from gateway.duty.checks import CHECKS
from gateway.ledger.records import RuleVersion
from gateway.web.alarm_cards import alarm_card
from gateway.web.context import Web
from gateway.web.inventory import Device, Inventory
from gateway.web.texts import Texts
from rules.model import Rule, Threshold, with_limits

MOST = 200
"""Most events of a kind in one chart."""
Side = Literal["below", "above"]
_SIDES: tuple[Side, ...] = ("below", "above")


class Step(NamedTuple):
    """From when a limit stood where. at: None from then on there was none."""

    from_ms: int
    at: float | None


class Line(NamedTuple):
    """The limit of a rule on a point through a span. changes: when it moved within the span, ms UTC."""

    point: str
    rule: str
    title: str
    severity: str
    side: Side
    steps: list[Step]
    changes: list[int]


class Happened(NamedTuple):
    """Something that happened. kind: alarm | work | duty | drill. until_ms: None for a moment, or while it goes on."""

    kind: str
    at_ms: int
    until_ms: int | None
    title: str
    severity: str | None
    link: str


def versions_of_others(inventory: Inventory, device: Device) -> frozenset[tuple[str, str]]:
    """Versions (rule, version) that are in force for other devices only: a site entry may have limits of its own."""
    own: dict[str, str] = {}
    others: set[tuple[str, str]] = set()
    for site in inventory.sites.values():
        for placed in site.placed():
            for rule_id, limits in placed.entry.limits.items():
                if (rule := inventory.rules.get(rule_id)) is None:
                    continue
                where = f"{site.site}/{placed.entry.id}"
                version = with_limits(rule, limits, where).version
                if where == device.key:
                    own[rule_id] = version
                else:
                    others.add((rule_id, version))
    others |= {(rule_id, inventory.rules[rule_id].version) for rule_id in own}
    return frozenset(others) - frozenset(own.items())


def threshold_lines(
    kept: Iterable[RuleVersion],
    device: Device,
    point: str,
    from_ms: int,
    to_ms: int,
    language: Literal["zh", "en"],
    others: frozenset[tuple[str, str]] = frozenset(),
) -> list[Line]:
    """The threshold rules that watched a point, each as it was in force at every instant of from_ms <= time < to_ms.

    Before its first version is known of, a rule has no line: what stood there then was not kept. others: versions that
    are not this device's (`versions_of_others`).
    """
    versions: dict[str, list[tuple[int, Rule]]] = {}
    for row in sorted(kept, key=lambda row: row.first_ms):
        if (row.id, row.version) in others:
            continue
        try:
            versions.setdefault(row.id, []).append((row.first_ms, Rule.model_validate_json(row.json)))
        except ValidationError:
            continue  # of a product older than what this one reads
    found = []
    for rule_id, rows in versions.items():
        for side in _SIDES:
            steps = _steps(rows, device, point, side, from_ms, to_ms)
            if any(step.at is not None for step in steps):
                newest = rows[-1][1]
                changes = [step.from_ms for step in steps[1:] if step.from_ms > from_ms]
                title = newest.title.get(language)
                found.append(Line(point, rule_id, title, newest.severity, side, steps, changes))
    return found


def _steps(
    rows: list[tuple[int, Rule]], device: Device, point: str, side: Side, from_ms: int, to_ms: int
) -> list[Step]:
    steps: list[Step] = []
    for first_ms, rule in rows:
        if first_ms >= to_ms:
            break
        at = None
        if isinstance(rule.when, Threshold) and rule.applies(device.profile.id, point):
            at = rule.when.below if side == "below" else rule.when.above
        if steps and first_ms <= from_ms:
            steps.clear()  # an older one, not in force any more where the span begins
        if not steps or steps[-1].at != at:
            steps.append(Step(max(first_ms, from_ms), at))
    return steps


async def happened(web: Web, texts: Texts, device: Device, from_ms: int, to_ms: int) -> list[Happened]:
    """What happened to a device and at its site in the span, in order of time."""
    ledger = web.ledger
    installed = device.key in web.inventory.devices
    where = f"/devices/{device.key}#work" if installed else f"/records/{device.key}?kind=work"
    found = [
        Happened(
            "alarm", a.raised_ms, a.cleared_ms, alarm_card(a, web.inventory, texts).title, a.severity, f"/alarms/{a.id}"
        )
        for a in await web.read(ledger.alarms_raised, from_ms, to_ms, device.site)
        if a.device == device.id
    ][-MOST:]
    found += [
        Happened("work", row.at_ms, None, texts.word("work", row.work), None, where)
        for row in await web.read(ledger.work, device.site, device.id, MOST)
        if from_ms <= row.at_ms < to_ms
    ]
    found += [
        Happened("drill", row.from_ms, row.closed_ms or row.until_ms, row.reason, None, f"/drills/{row.id}")
        for row in await web.read(ledger.drills, device.site, MOST)
        if row.from_ms < to_ms and from_ms < (row.closed_ms or row.until_ms)
    ]
    terms: dict[str, Any] = {"sites": (device.site,), "from_ms": from_ms, "until_ms": to_ms, "limit": MOST}
    for check in await web.read(ledger.entries, CHECKS, **terms):
        if from_ms <= check.from_ms < to_ms:
            missed = check.state == "unanswered"
            title = texts("Duty check: nobody answered") if missed else texts("Duty check")
            found.append(Happened("duty", check.from_ms, None, title, "warning" if missed else None, "/shift"))
    return sorted(found, key=lambda each: each.at_ms)
