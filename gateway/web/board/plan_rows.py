"""Floor plans in the reader's words: where every mark stands and how what it stands for is now. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from gateway.board.rows import FLOOR_PLAN, SPAN, FloorPlan
from gateway.web import views
from gateway.web.alarm_cards import WAITING, silent
from gateway.web.context import Web
from gateway.web.inventory import Device
from gateway.web.situation import Situation
from gateway.web.texts import Texts

LABEL = 20
"""Half-width characters of a label; a Chinese one counts as two."""
CROWDED = 40
"""With more marks than this only those that are not good carry a label."""
CELL, BAND = 190, 150
"""Of the schematic: width and height of a mark's cell."""
COLUMNS = 6


class MarkRow(NamedTuple):
    """A mark. at: `device` or `device/point`; x, y: pixels of the plan. state: how it is, in words.

    icon: shape of its state. burns: a fire there holds or waits. is_hit: what the plan is shown for.
    """

    at: str
    href: str
    title: str
    label: str
    x: float
    y: float
    icon: str
    kind: str
    state: str
    burns: bool
    is_hit: bool


class BoxRow(NamedTuple):
    """A place on the schematic."""

    title: str
    x: float
    y: float
    width: float
    height: float


class PlanView(NamedTuple):
    """A plan to be drawn. id 0: the schematic. unit: size of a mark. src: address of the picture, empty for none."""

    id: int
    site: str
    title: str
    width: int
    height: int
    unit: float
    src: str
    marks: list[MarkRow]
    boxes: list[BoxRow]

    @property
    def is_crowded(self) -> bool:
        """Whether labels would lie over each other."""
        return len(self.marks) > CROWDED

    @property
    def worst(self) -> str:
        """Shape of what is worst on it."""
        found = {mark.icon for mark in self.marks}
        return next((icon for icon in ICONS if icon in found), "good")


ICONS = ("fire", "critical", "warning", "unknown", "bad", "stale", "uncertain", "out", "test", "info")
"""Shapes, the worst first."""


def plans_of(web: Web, site: str | None = None) -> list[FloorPlan]:
    """The plans that are shown, in order: of a site, or of all that the reader may see."""
    rows = web.picture.entries.get(FLOOR_PLAN.name, {}).values()
    found = [msgspec.convert(row, FloorPlan) for row in rows if site in (None, row["site"])]
    return sorted(found, key=lambda row: (row.site, row.position, row.id))


def find_plan(web: Web, number: int) -> FloorPlan | None:
    """A plan that is shown and that the reader may see."""
    row = web.picture.entries.get(FLOOR_PLAN.name, {}).get(number)
    return None if row is None else msgspec.convert(row, FloorPlan)


def plan_view(web: Web, plan: FloorPlan, texts: Texts, hit: str = "") -> PlanView:
    """A plan with everything on it as it is now. hit: the mark it is shown for."""
    state = State(web, texts)
    # Somebody took a device out of the site file: its mark waits for it to come back.
    marks = [
        state.mark(plan.site, mark.at, mark.x * plan.width / SPAN, mark.y * plan.height / SPAN, hit)
        for mark in plan.marks
        if f"{plan.site}/{mark.at.partition('/')[0]}" in web.inventory.devices
    ]
    return PlanView(
        plan.id, plan.site, plan.title, plan.width, plan.height, max(plan.width, plan.height) / 36,
        f"/map/plans/{plan.id}/picture?v={plan.picture[:12]}", marks, [],
    )  # fmt: skip


def schematic(web: Web, site: str, texts: Texts, hit: str = "") -> PlanView:
    """Where no plan is: the devices of a site by place, drawn as boxes."""
    state = State(web, texts)
    places: dict[str, list[Device]] = {}
    for device in web.inventory.devices.values():
        if device.site == site:
            place = device.place.get(texts.language) if device.place else texts("place not given")
            places.setdefault(place, []).append(device)
    boxes, marks, column, top, tallest = [], [], 0, 20.0, 0
    for place, devices in places.items():
        across = min(COLUMNS, len(devices))
        down = -(-len(devices) // COLUMNS)
        if column + across > COLUMNS:
            column, top, tallest = 0, top + tallest * BAND + 50, 0
        left = 20.0 + column * CELL
        boxes.append(BoxRow(_short(place, across * 22), left + 6, top, across * CELL - 12, down * BAND + 30))
        for n, device in enumerate(devices):
            x, y = left + (n % COLUMNS + 0.5) * CELL, top + 75 + (n // COLUMNS) * BAND
            marks.append(state.mark(site, device.id, x, y, hit))
        column, tallest = column + across, max(tallest, down)
    height = int(top + tallest * BAND + 50)
    return PlanView(
        0, site, texts("Places and devices"), COLUMNS * CELL + 40, height, COLUMNS * CELL / 22, "", marks, boxes
    )


def plan_of_fire(web: Web, subjects: Iterable[str], texts: Texts) -> PlanView | None:
    """The plan on which what burns stands, with it marked: the first of the subjects (fires, as alarms name them).

    A point that stands on a plan itself comes before its device; without a plan the schematic of the site is given.
    """
    wanted = list(subjects)
    plans = plans_of(web)
    for subject in wanted:
        site, _, at = subject.partition("/")
        for name in (at, at.partition("/")[0]):
            for plan in plans:
                if plan.site == site and plan.mark(name) is not None:
                    return plan_view(web, plan, texts, name)
    for subject in wanted:
        site, _, at = subject.partition("/")
        if site in web.inventory.sites and f"{site}/{at.partition('/')[0]}" in web.inventory.devices:
            # So many that nobody finds one among them would take long to draw as well.
            if sum(device.site == site for device in web.inventory.devices.values()) > CROWDED:
                return None
            return schematic(web, site, texts, at.partition("/")[0])
    return None


class State:
    """How devices and points are now, each worked out once."""

    def __init__(self, web: Web, texts: Texts) -> None:
        self._web = web
        self._texts = texts
        self._now_ms = web.now_ms()
        self._now = Situation(web.picture, self._now_ms)
        self._rows: dict[str, views.DeviceRow] = {}
        self._burning = [
            alarm.subject
            for alarm in web.picture.alarms.values()
            if alarm.severity == "fire" and not silent("fire", alarm.hold) and (alarm.active or alarm.state in WAITING)
        ]

    def mark(self, site: str, at: str, x: float, y: float, hit: str) -> MarkRow:
        """What stands at a place."""
        texts = self._texts
        name, _, point = at.partition("/")
        row = self._row(f"{site}/{name}")
        found = next((p for p in row.points if p.name == point), None) if point else None
        status = row.status if not point else "unknown" if found is None or row.cause else found.status
        severity = (found.severity if found is not None else None) if point else row.severity
        subject = f"{site}/{at}"
        burns = any(one == subject or one.startswith(subject + "/") for one in self._burning)
        if burns:
            severity = "fire"
        title = found.title if found is not None else f"{row.title} · {point}" if point else row.title
        if severity:
            state = texts.word("severity", severity)
        elif status != "good":
            state = texts.word("status", status)
        elif found is not None:
            state = f"{found.text} {found.unit}".strip()
        elif row.main is not None:
            state = f"{row.main.text} {row.main.unit}".strip()
        else:
            state = row.summary
        kind = f"st-{status}" + (f" sev-{severity}" if severity else "")
        href = f"/devices/{site}/{name}" + (f"?point={point}" if point else "")
        icon = severity or status
        return MarkRow(at, href, title, _short(title, LABEL), x, y, icon, kind, _short(state, LABEL), burns, at == hit)

    def _row(self, key: str) -> views.DeviceRow:
        if key not in self._rows:
            device = self._web.inventory.devices[key]
            self._rows[key] = views.device_row(device, self._web.picture, self._texts, self._now_ms, self._now)
        return self._rows[key]


def unplaced(web: Web, site: str, plans: list[FloorPlan], texts: Texts) -> list[dict[str, Any]]:
    """Devices of a site that stand on none of its plans."""
    placed = {mark.at.partition("/")[0] for plan in plans for mark in plan.marks}
    return [
        {
            "at": device.id,
            "title": device.title.get(texts.language),
            "place": device.place.get(texts.language) if device.place else "",
        }
        for device in web.inventory.devices.values()
        if device.site == site and device.id not in placed
    ]


def _short(text: str, most: int) -> str:
    """A text of so many half-width characters at most."""
    taken = 0
    for n, char in enumerate(text):
        taken += 2 if ord(char) > 0x2E7F else 1
        if taken > most:
            return text[: max(1, n - 1)] + "…"
    return text
