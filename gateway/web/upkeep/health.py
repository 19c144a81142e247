"""What is unhealthy, by cause: one row a cause, worst first. Pure functions of the picture, no I/O.

What to fix first: causes by which fire points cannot be seen at all, the most points first; then what a cause makes of
the readiness of its station; then the oldest. An alarm that only follows from a cause above it is not a row of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple, get_args

from contract.own_points import AGENT_POINTS, HEALTH_POINTS, LINE_POINTS
from contract.profile import Point, Profile
from contract.site import SYSTEM_SITE, line_device
from gateway.control.protocol import AlarmView
from gateway.web.alarm_cards import BROKER, AlarmCard, alarm_card
from gateway.web.inventory import Device, Inventory
from gateway.web.picture import Picture
from gateway.web.texts import Texts
from gateway.web.views import PointRow, point_row
from gateway.work.order_life import Cause, Order
from rules.model import Due, Rule, Window
from rules.model import State as StateIs

KINDS: tuple[Cause, ...] = tuple(cause for cause in get_args(Cause) if cause != "other")
EFFECTS = ("not_ready", "unknown", "degraded", "")
"""What a cause makes of the readiness of its station, the worst first."""
BLINDING = ("absence", "line_lost", "agent_lost")
"""Kinds of rules whose alarm says that nothing below can be seen."""
BROKEN = frozenset({"main_power", "standby_power", "power_ok", "bus", "protocol", "fault", "sensor_fault"})
"""Points of equipment that say that it is itself out of order."""
MOST_BELOW = 12


class Row(NamedTuple):
    """One cause. node: path of what is at fault; since_ms: of its oldest alarm.

    devices: how many are below it. blind: fire points that cannot be seen because of it. effect: as in EFFECTS;
    points: what its alarms take from the readiness score.
    """

    kind: Cause
    node: str
    title: str
    where: str
    site: str
    site_title: str
    since_ms: int
    devices: int
    below: list[tuple[str, str]]
    blind: int
    effect: str
    points: float
    alarms: list[AlarmCard]
    values: list[PointRow]
    orders: list[Order]
    line: str = ""
    """site/line, where there is a page of it."""

    @property
    def key(self) -> str:
        """Its name in the page."""
        return f"{self.kind}-{self.node}".replace("/", "-")

    @property
    def held(self) -> str:
        """What holds all of its alarms still; empty when one speaks."""
        holds = {alarm.hold for alarm in self.alarms}
        return str(next(iter(holds))) if len(holds) == 1 and None not in holds else ""


def place(row: Row) -> tuple[int, int, float, int, str]:
    """What to fix first."""
    return (-row.blind, EFFECTS.index(row.effect), -row.points, row.since_ms, row.key)


def kind_of(rule: Rule, subject: str) -> Cause | None:
    """Which part of the plant an alarm says is unhealthy; None when it says nothing of the plant (a fire, a leak)."""
    when, names = rule.when, _points_of(rule, subject)
    if when.kind in ("line_lost", "agent_lost") or subject == BROKER or "path_hop" in names:
        return "line"
    if when.kind in ("absence", "quality"):
        return "unit"
    if isinstance(when, Due):
        return "date"
    if subject.startswith(f"{SYSTEM_SITE}/"):
        return "history"
    for part, kind in _BY_NAME:
        if any(part in name for name in names):
            return kind
    is_fault = isinstance(when, StateIs) and "fault" in when.equals
    is_stuck = isinstance(when, Window) and when.of == "range" and when.below is not None
    return "unit" if is_fault or is_stuck or names & BROKEN else None


_BY_NAME: tuple[tuple[str, Cause], ...] = (
    ("clock", "clock"), ("outbox", "backlog"), ("battery", "battery"), ("signal", "signal"), ("rssi", "signal"),
)  # fmt: skip


def _points_of(rule: Rule, subject: str) -> set[str]:
    if subject.count("/") == 2:
        return {subject.rpartition("/")[2]}
    return {point for leaf in rule.leaves() if (point := getattr(leaf, "point", None))}


class FireWatch:
    """How many points of a device a fire rule watches: what is lost of the alarm when it cannot be seen."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._patterns = [pattern for rule in rules if rule.severity == "fire" for pattern in rule.applies_to]
        self._known: dict[tuple[str, int, int], int] = {}

    def count(self, device: Device) -> int:
        """Fire points of a device; at least one of a panel whose points are known only once they speak."""
        profile = device.profile
        key = (profile.id, len(device.points), len(profile.titles))
        if key not in self._known:
            self._known[key] = self._count(profile, {**device.points, **profile.titles})
        return self._known[key]

    def _count(self, profile: Profile, points: Mapping[str, object]) -> int:
        mine = [p for p in self._patterns if fnmatchcase(profile.id, p.partition("/")[0])]
        found = sum(any(fnmatchcase(name, p.partition("/")[2]) for p in mine) for name in points)
        return max(found, int(bool(mine) and profile.is_listened_to))


def causes(picture: Picture, inventory: Inventory, orders: Iterable[Order], texts: Texts, now_ms: int) -> list[Row]:
    """Every cause there is, what to fix first on top."""
    grouped: dict[tuple[Cause, str], list[AlarmView]] = defaultdict(list)
    for alarm in picture.alarms.values():
        rule = inventory.rules.get(alarm.rule)
        if rule is None or not alarm.active or alarm.drill is not None or alarm.cause or alarm.suppressed:
            continue
        kind = kind_of(rule, alarm.subject)
        if kind is not None:
            node = f"{alarm.site}/{alarm.rule}" if kind == "date" else _node(alarm.subject)
            grouped[kind, node].append(alarm)
    maker = _Maker(picture, inventory, list(orders), texts, now_ms)
    return sorted((maker.row(kind, node, alarms) for (kind, node), alarms in grouped.items()), key=place)


class _Maker:
    def __init__(self, picture: Picture, inventory: Inventory, orders: list[Order], texts: Texts, now_ms: int) -> None:
        self._picture, self._inventory, self._texts, self._now_ms = picture, inventory, texts, now_ms
        self._orders = [order for order in orders if order.is_open]
        self._watch = FireWatch(inventory.rules.values())
        self._by_line: dict[str, list[Device]] = defaultdict(list)
        self._by_agent: dict[str, list[Device]] = defaultdict(list)
        for device in inventory.devices.values():
            self._by_agent[f"{device.site}/{device.agent}"].append(device)
            if device.line is not None:
                self._by_line[f"{device.site}/{line_device(device.line)}"].append(device)

    def row(self, kind: Cause, node: str, alarms: list[AlarmView]) -> Row:
        inventory, texts = self._inventory, self._texts
        alarms.sort(key=lambda alarm: alarm.raised_ms)
        cards = [alarm_card(alarm, inventory, texts, self._picture.told) for alarm in alarms]
        rules = [inventory.rules[alarm.rule] for alarm in alarms]
        below = self._below(kind, node, alarms)
        is_blind = any(rule.when.kind in BLINDING for rule in rules) or node == BROKER
        first, site = cards[0], alarms[0].site
        blind = sum(self._watch.count(device) for device in below) if is_blind else 0
        effects = [rule.readiness.state for rule in rules if rule.readiness is not None]
        if is_blind and any(self._has_station(device.site) for device in below):
            effects.append("unknown")
        return Row(
            kind=kind,
            node=node,
            title=first.title,
            where=self._where(kind, first),
            site=site,
            site_title=inventory.site_title(site).get(texts.language),
            since_ms=alarms[0].raised_ms,
            devices=len(below),
            below=[(device.key, device.title.get(texts.language)) for device in below[:MOST_BELOW]],
            blind=blind,
            effect=min(effects, key=EFFECTS.index, default=""),
            points=max((rule.readiness.points for rule in rules if rule.readiness is not None), default=0.0),
            alarms=cards,
            values=self._values(node, alarms),
            orders=self._orders_of(alarms, node),
            line=self._line(node),
        )

    def _below(self, kind: Cause, node: str, alarms: list[AlarmView]) -> list[Device]:
        if node == BROKER:
            return list(self._inventory.devices.values())
        if kind == "date":
            keys = dict.fromkeys(_node(alarm.subject) for alarm in alarms)
            return [device for key in keys if (device := self._inventory.devices.get(key)) is not None]
        # What the system knows of an agent (its clock, its outbox) is about everything it reads.
        agent = node.replace("/agent-", "/", 1)
        found = self._by_line.get(node) or self._by_agent.get(node) or self._by_agent.get(agent)
        if found is None:
            device = self._inventory.devices.get(node)
            return [] if device is None else [device]
        return found

    def _has_station(self, site: str) -> bool:
        known = self._inventory.sites.get(site)
        return known is not None and known.station is not None

    def _where(self, kind: Cause, first: AlarmCard) -> str:
        if kind == "date":
            return ""
        parts = [first.where, first.spot or first.point, first.place]
        return " · ".join(dict.fromkeys(part for part in parts if part))

    def _values(self, node: str, alarms: list[AlarmView]) -> list[PointRow]:
        """What was measured: the points the alarms are about, else what the line or agent says of itself."""
        names = [alarm.subject for alarm in alarms[:4] if alarm.subject.count("/") == 2]
        own: tuple[Point, ...] = HEALTH_POINTS
        if "/line-" in node:
            own = LINE_POINTS
        elif node in self._by_agent:
            node, own = node.replace("/", "/agent-", 1), AGENT_POINTS
        names += [key for point in own if (key := f"{node}/{point.name}") in self._picture.values]
        found = []
        for name in dict.fromkeys(names[:6]):
            known = self._inventory.point(name)
            if known is not None and name in self._picture.values:
                found.append(point_row(*known, self._picture, self._texts, self._now_ms, None, {}))
        return found

    def _orders_of(self, alarms: list[AlarmView], node: str) -> list[Order]:
        mine = {(alarm.rule, alarm.subject) for alarm in alarms}
        return [o for o in self._orders if (o.rule, o.subject) in mine or (not o.rule and o.subject == node)]

    def _line(self, node: str) -> str:
        return node.replace("/line-", "/", 1) if "/line-" in node and node in self._by_line else ""


def _node(subject: str) -> str:
    """The line, agent or device an alarm is about; all of the gateway's own points are the gateway."""
    if subject == BROKER:
        return BROKER
    return "/".join(subject.split("/")[:2])
