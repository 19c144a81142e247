"""What is no alarm yet and on its way to one: the last values near their limit, the nearest first. Pure, no I/O.

Limits are those of the rules in force, of the device itself where it has its own. What a line says of itself has no
rule: its limits are practice and stand here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Literal, NamedTuple

from contract.site import SYSTEM_SITE, line_device
from gateway.web.inventory import Device, Inventory
from gateway.web.picture import Picture
from gateway.web.texts import Texts
from gateway.web.upkeep.health import FireWatch
from gateway.web.views import judge, point_row
from gateway.work.order_life import Cause
from rules.model import Rule, Threshold, with_limits

MOST = 60
"""Values on the page; further ones are counted."""


class Sort(NamedTuple):
    """Values that are looked at. words: any of these in the name of the point; margin: told from so far before the
    limit on, in the value's unit, or as a share of the limit where `of_limit`."""

    kind: Cause
    words: tuple[str, ...]
    margin: float
    of_limit: bool = False


SORTS = (
    Sort("battery", ("battery",), 15.0),
    Sort("signal", ("signal", "rssi"), 10.0),
    Sort("clock", ("clock_offset",), 0.7, of_limit=True),
    Sort("backlog", ("outbox_age",), 0.8, of_limit=True),
)
LINE_LIMITS = {"failed_pct": (1.0, 5.0), "busy_pct": (60.0, 85.0), "drift_ms": (500.0, 2000.0)}
"""Point of a line -> told from, limit; practice: beyond it answers get lost, or come later than they are due."""


class Trend(NamedTuple):
    """A value near its limit. near: 1 at the limit, beyond it more; behind: fire points that are seen through it.

    practice: the limit is no rule's. told: `rule` that will speak, else ''.
    """

    kind: Cause
    key: str
    title: str
    where: str
    site: str
    site_title: str
    value: float
    text: str
    unit: str
    side: Literal["below", "above"]
    limit: float
    near: float
    behind: int
    rule: str
    rule_title: str
    practice: bool
    observed_ms: int
    href: str

    @property
    def filled(self) -> float:
        """How far it is, 0..100, for a bar."""
        return round(100 * min(1.0, max(0.0, self.near)), 1)


class _Limit(NamedTuple):
    side: Literal["below", "above"]
    limit: float
    begin: float
    rule: Rule | None


def trends(picture: Picture, inventory: Inventory, texts: Texts, now_ms: int) -> list[Trend]:
    """Every value that is near its limit and of which no alarm stands, what to fix first on top."""
    return _Finder(picture, inventory, texts, now_ms).found()


def rank(row: Trend) -> tuple[float, int, str]:
    """What to fix first: what is nearest to its limit, then that through which more fires are seen."""
    return (-round(row.near, 2), -row.behind, row.key)


class _Finder:
    def __init__(self, picture: Picture, inventory: Inventory, texts: Texts, now_ms: int) -> None:
        self._picture, self._inventory, self._texts, self._now_ms = picture, inventory, texts, now_ms
        self._alarmed = {(alarm.subject, alarm.rule) for alarm in picture.alarms.values() if alarm.active}
        self._subjects = {subject for subject, _ in self._alarmed}
        self._watch = FireWatch(inventory.rules.values())
        self._through: dict[str, int] = defaultdict(int)
        for device in inventory.devices.values():
            count = self._watch.count(device)
            self._through[f"{device.site}/agent-{device.agent}"] += count
            self._through[device.key] += count
            if device.line is not None:
                self._through[f"{device.site}/{line_device(device.line)}"] += count
        self._leaves: dict[tuple[str, str], list[Rule]] = {}

    def found(self) -> list[Trend]:
        """Nearest first."""
        rows = [
            row
            for device in (*self._inventory.devices.values(), *self._inventory.own.values())
            for row in self._of(device)
        ]
        return sorted(rows, key=rank)

    def _of(self, device: Device) -> Iterator[Trend]:
        names = self._picture.names.get(device.key, ())
        if device.profile.category == "line":
            for name, (begin, limit) in LINE_LIMITS.items():
                if name in names:
                    yield from self._near(device, name, "line", [_Limit("above", limit, begin, None)])
            return
        for sort in SORTS:
            for name in names:
                if any(word in name for word in sort.words):
                    yield from self._near(device, name, sort.kind, list(self._limits(device, name, sort)))

    def _limits(self, device: Device, name: str, sort: Sort) -> Iterator[_Limit]:
        for rule in self._rules(device.profile.id, name):
            own = device.limits.get(rule.id)
            mine = rule if own is None else with_limits(rule, own, device.key)
            for leaf in mine.leaves():
                if not isinstance(leaf, Threshold) or leaf.point not in (None, name):
                    continue
                limit = leaf.below if leaf.below is not None else leaf.above
                assert limit is not None  # a leaf has one of them
                margin = abs(limit) * sort.margin if sort.of_limit else sort.margin
                if leaf.below is not None:
                    yield _Limit("below", limit, limit + margin, mine)
                else:
                    yield _Limit("above", limit, limit - margin, mine)

    def _rules(self, profile: str, name: str) -> list[Rule]:
        key = (profile, name)
        if key not in self._leaves:
            found = []
            for rule in self._inventory.rules.values():
                looked_at = {leaf.point for leaf in rule.leaves() if isinstance(leaf, Threshold)}
                if looked_at & {name, None} and rule.applies(profile, name):
                    found.append(rule)
            self._leaves[key] = found
        return self._leaves[key]

    def _near(self, device: Device, name: str, kind: Cause, limits: list[_Limit]) -> Iterator[Trend]:
        key = f"{device.key}/{name}"
        current, point = self._picture.values.get(key), device.profile.point(name) or device.points.get(name)
        if current is None or point is None or not point.is_number:
            return
        if isinstance(current.value, bool) or not isinstance(current.value, int | float):
            return
        if judge(device, current, self._now_ms, None, self._texts)[0] != "good" or self._is_told(device, key, limits):
            return
        best: tuple[float, _Limit] | None = None
        for each in limits:
            # 0 where it begins to be told, 1 at the limit.
            near = (current.value - each.begin) / (each.limit - each.begin) if each.limit != each.begin else 0.0
            if near > 0 and (best is None or near > best[0]):
                best = (near, each)
        if best is None:
            return
        near, limit = best
        row = point_row(device, point, self._picture, self._texts, self._now_ms, None, {})
        language = self._texts.language
        place = device.place.get(language) if device.place else ""
        yield Trend(
            kind=kind, key=key, title=row.title,
            where=" · ".join(part for part in (device.title.get(language), place) if part),
            site=device.site, site_title=self._inventory.site_title(device.site).get(language),
            value=current.value, text=row.text, unit=row.unit, side=limit.side, limit=limit.limit, near=near,
            behind=self._through.get(device.key, 0),
            rule=limit.rule.id if limit.rule else "",
            rule_title=limit.rule.title.get(language) if limit.rule else "",
            practice=limit.rule is None, observed_ms=current.observed_ms, href=self._href(device),
        )  # fmt: skip

    def _is_told(self, device: Device, key: str, limits: list[_Limit]) -> bool:
        """Whether an alarm stands on the value: its own, of its device by a rule that looks at it, any of its line."""
        if device.profile.category == "line":
            return device.key in self._subjects
        rules = {each.rule.id for each in limits if each.rule is not None}
        return key in self._subjects or any((device.key, rule) in self._alarmed for rule in rules)

    def _href(self, device: Device) -> str:
        if device.profile.category == "line":
            return f"/upkeep/lines/{device.site}/{device.id.removeprefix('line-')}"
        return f"/devices/{device.key}" if device.site != SYSTEM_SITE else ""
