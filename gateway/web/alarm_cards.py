"""An alarm as the pages show it: what, where it is, where it was told from, since when, what next. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contract.panel import address_title
from contract.profile import Point
from contract.site import GATEWAY_DEVICE, SYSTEM_SITE
from gateway.control.protocol import AlarmView
from gateway.web.inventory import Device, Inventory
from gateway.web.printed import Told
from gateway.web.texts import Texts

SEVERITIES = ("fire", "critical", "warning", "info")
WAITING = ("unacknowledged", "returned_unacknowledged")
QUIET_FIRE = ("shelved", "drill")
"""What silences a fire: only what a person decided for it, with a reason and an end."""
BROKER = f"{SYSTEM_SITE}/{GATEWAY_DEVICE}/broker_connected"
"""False while the gateway has no broker: then no agent can be heard, and none of them is at fault."""
TOLD_BEFORE_MS = 10_000
"""A place told longer before the alarm than this belongs to something else."""


@dataclass(frozen=True)
class AlarmCard:
    """One alarm in the reader's language."""

    id: int
    rule: str
    severity: str
    state: str
    active: bool
    retrospective: bool
    title: str
    advice: list[str]
    basis: str
    where: str
    place: str
    """Where the device is; for a point of a panel it says that it is the panel that is there."""
    spot: str
    """Where the point itself is, as the point map or the panel says; empty when neither does."""
    point: str
    site: str
    device_key: str | None
    subject: str
    raised_ms: int
    cleared_ms: int | None
    acknowledged_ms: int | None
    acknowledged_by: str | None
    inputs: dict[str, Any]
    assignee: str | None = None
    hold: str | None = None
    """Why it does not speak: shelved, out_of_service, suppressed_by_design, maintenance, drill."""
    hold_until_ms: int | None = None
    cause: str | None = None
    """Path of the node at fault above it."""
    cause_title: str = ""
    count: int = 1
    """How often it came while it flaps."""
    finding: str | None = None
    drill: int | None = None
    notes: int = 0
    below: int = 0
    """Devices of which nothing is known because of it."""

    @property
    def waiting(self) -> bool:
        """Whether someone still has to acknowledge it."""
        return self.state in WAITING

    @property
    def is_drill(self) -> bool:
        """Whether a drill made it: shown as a test, counted nowhere as real. What outlasts the drill is real."""
        return self.drill is not None and (self.hold == "drill" or self.state == "normal")

    @property
    def speaks(self) -> bool:
        """Whether the board counts it: it is real, and nothing holds it back (which no cause does to a fire)."""
        return not silent(self.severity, self.hold)


def silent(severity: str, hold: str | None) -> bool:
    """Whether an alarm neither sounds nor leads the board. A fire below a lost line, or in a window, still speaks."""
    return hold in QUIET_FIRE if severity == "fire" else hold is not None


def alarm_card(
    alarm: AlarmView,
    inventory: Inventory,
    texts: Texts,
    told: Mapping[str, Told] | None = None,
    *,
    below: int = 0,
) -> AlarmCard:
    """An alarm with its rule's words; a rule that is no longer loaded shows its id.

    told: places panels spoke of. below: devices of which nothing is known because of it.
    """
    rule = inventory.rules.get(alarm.rule)
    device = inventory.find(f"{alarm.site}/{alarm.device}") if alarm.device else None
    found = inventory.point(alarm.subject) if alarm.subject.count("/") == 2 else None
    if device is not None:
        where = device.title.get(texts.language)
    elif alarm.device is None:
        where = node_title(alarm.subject, inventory, texts)
    else:
        where = alarm.device
    mapped = found[0].profile.titles.get(found[1].name) if found else None
    spoken = (told or {}).get(alarm.subject)
    if mapped is not None:
        spot = mapped.get(texts.language)
    else:
        spot = spoken.place if spoken and spoken.observed_ms >= alarm.raised_ms - TOLD_BEFORE_MS else ""
    return AlarmCard(
        id=alarm.id,
        rule=alarm.rule,
        severity=alarm.severity,
        state=alarm.state,
        active=alarm.active,
        retrospective=alarm.retrospective,
        title=rule.title.get(texts.language) if rule else alarm.rule,
        advice=[step.get(texts.language) for step in rule.advice] if rule else [],
        basis=rule.basis.get(texts.language) if rule else "",
        where=where,
        place=_place(device, found is not None, texts),
        spot=spot,
        point=_point_title(found[1], texts, named=mapped is not None) if found else "",
        site=inventory.site_title(alarm.site).get(texts.language),
        device_key=device.key if device else None,
        subject=alarm.subject,
        raised_ms=alarm.raised_ms,
        cleared_ms=alarm.cleared_ms,
        acknowledged_ms=alarm.acknowledged_ms,
        acknowledged_by=alarm.acknowledged_by,
        inputs=alarm.inputs,
        assignee=alarm.assignee,
        hold=alarm.hold,
        hold_until_ms=alarm.hold_until_ms,
        cause=alarm.cause,
        cause_title=node_title(alarm.cause, inventory, texts) if alarm.cause else "",
        count=alarm.count,
        finding=alarm.finding,
        drill=alarm.drill,
        notes=alarm.notes,
        below=below,
    )


def node_title(path: str, inventory: Inventory, texts: Texts) -> str:
    """Name of what stands above an alarm: `broker`, site/agent, site/line-<id>, site/device, site/device/point."""
    if path == "broker":
        return texts("the broker")
    if path.count("/") == 2:
        found = inventory.point(path)
        head, _, point = path.rpartition("/")
        return f"{node_title(head, inventory, texts)} · {found[1].title.get(texts.language) if found else point}"
    site, _, name = path.partition("/")
    device = inventory.find(path)
    if device is not None:
        return device.title.get(texts.language)
    if not name:
        return inventory.site_title(site).get(texts.language) if site else path
    group = inventory.group_title(site, name)
    return (group or inventory.agent_title(site, name)).get(texts.language)


def _point_title(point: Point, texts: Texts, *, named: bool) -> str:
    """The point as the panel's own display names it, also where a map gives it a name for people."""
    if not named:
        return point.title.get(texts.language)
    words = address_title(point.name) if point.name.startswith(("l", "c")) else None
    return words[texts.language == "en"] if words else point.name


def _place(device: Device | None, of_point: bool, texts: Texts) -> str:
    """Where a device is. What burns at a point of a panel does not burn where the panel hangs."""
    if device is None or device.place is None:
        return ""
    place = device.place.get(texts.language)
    return texts("panel in: %(place)s", place=place) if of_point and device.profile.category == "panel" else place


def node_of(subject: str) -> str:
    """Path under which the cause tree knows an alarm's subject."""
    return "broker" if subject == BROKER else subject


def alarm_order(card: AlarmCard) -> tuple[int, int, int, int]:
    """Fire first; within a severity the active and unacknowledged, the newest on top."""
    rank = SEVERITIES.index(card.severity) if card.severity in SEVERITIES else len(SEVERITIES)
    return (rank, not card.active, not card.waiting, -card.raised_ms)
