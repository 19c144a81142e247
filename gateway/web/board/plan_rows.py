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
WIDE = 0x2E7F
"""Characters beyond this one are as wide as two."""
CELL, BAND = 190, 160
"""Of the schematic: width and height of a mark's cell."""
COLUMNS = 6
CELL_LABEL = 15
"""Half-width characters of a line that fits into a cell; a name takes two lines at most."""
PART = 48
"""Devices of the schematic on one page; a site with more has several."""


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
    lines: tuple[str, ...]
    """The label as it is drawn: one line on a plan, up to two in a cell of the schematic."""


class BoxRow(NamedTuple):
    """A place on the schematic."""

    title: str
    x: float
    y: float
    width: float
    height: float


class PartRow(NamedTuple):
    """One page of the schematic. icon: shape of what is worst on it; title: its first and last place."""

    number: int
    title: str
    icon: str


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
    parts: list[PartRow] = []
    """Pages of the schematic, where it has more than one."""
    part: int = 1

    @property
    def is_crowded(self) -> bool:
        """Whether labels would lie over each other; in the cells of the schematic they do not."""
        return bool(self.src) and len(self.marks) > CROWDED

    @property
    def worst(self) -> str:
        """Shape of what is worst on it, on all of its pages."""
        return _worst({mark.icon for mark in self.marks} | {part.icon for part in self.parts})


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


def schematic(web: Web, site: str, texts: Texts, hit: str = "", part: int = 1) -> PlanView:
    """Where no plan is: the devices of a site by place, drawn as boxes, page by page where they are many."""
    state = State(web, texts)
    pages = _parts(web, site, texts)
    part = min(max(1, part), len(pages))
    boxes, marks, column, top, tallest = [], [], 0, 20.0, 0
    for place, devices in pages[part - 1]:
        across = min(COLUMNS, len(devices))
        down = -(-len(devices) // COLUMNS)
        if column + across > COLUMNS:
            column, top, tallest = 0, top + tallest * BAND + 50, 0
        left = 20.0 + column * CELL
        boxes.append(BoxRow(_short(place, across * 18 - 3), left + 6, top, across * CELL - 12, down * BAND + 30))
        for n, device in enumerate(devices):
            x, y = left + (n % COLUMNS + 0.5) * CELL, top + 75 + (n // COLUMNS) * BAND
            mark = state.mark(site, device.id, x, y, hit)
            marks.append(mark._replace(lines=wrapped(mark.title), state=_short(mark.state, CELL_LABEL)))
        column, tallest = column + across, max(tallest, down)
    height = int(top + tallest * BAND + 50)
    parts = [
        PartRow(n, " – ".join(dict.fromkeys((found[0][0], found[-1][0]))), state.worst(site, found))
        for n, found in enumerate(pages, 1)
    ]
    return PlanView(
        0, site, texts("Places and devices"), COLUMNS * CELL + 40, height, COLUMNS * CELL / 30, "", marks, boxes,
        parts if len(parts) > 1 else [], part,
    )  # fmt: skip


def _parts(web: Web, site: str, texts: Texts) -> list[list[tuple[str, list[Device]]]]:
    """Places with their devices, page by page; a place is divided only when it alone fills more than a page."""
    places: dict[str, list[Device]] = {}
    for device in web.inventory.devices.values():
        if device.site == site:
            place = device.place.get(texts.language) if device.place else texts("place not given")
            places.setdefault(place, []).append(device)
    pages: list[list[tuple[str, list[Device]]]] = [[]]
    taken = 0
    for place, devices in places.items():
        for begin in range(0, len(devices), PART):
            some = devices[begin : begin + PART]
            if taken and taken + len(some) > PART:
                pages.append([])
                taken = 0
            pages[-1].append((place, some))
            taken += len(some)
    return pages


def wrapped(title: str) -> tuple[str, ...]:
    """A name in one line, or in two, each within a cell of the schematic; what is too long is cut."""
    if _width(title) <= CELL_LABEL:
        return (title,)
    fits = [n for n in range(1, len(title)) if _width(title[:n].rstrip()) <= CELL_LABEL]
    spaces = [n for n in fits if title[n] == " "]
    # Two lines of about the same length, broken between words where there are any.
    at = max(spaces) if spaces else next((n for n in fits if 2 * _width(title[:n]) >= _width(title)), fits[-1])
    return title[:at].rstrip(), _cut(title[at:].strip(), CELL_LABEL)


def _cut(text: str, most: int) -> str:
    """A text of so many half-width characters at most; the number at its end, which tells it from others, stays."""
    digits = len(text) - len(text.rstrip("0123456789"))
    if _width(text) <= most or not 0 < digits <= 5:
        return _short(text, most)
    return _short(text[:-digits], most - digits) + text[-digits:]


def _worst(icons: set[str]) -> str:
    return next((icon for icon in ICONS if icon in icons), "good")


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
        label = _short(title, LABEL)
        return MarkRow(
            at, href, title, label, x, y, icon, kind, _short(state, LABEL), burns, at == hit, (label,)
        )  # fmt: skip

    def worst(self, site: str, places: Iterable[tuple[str, list[Device]]]) -> str:
        """Shape of what is worst among the devices of some places."""
        rows = [self._row(f"{site}/{device.id}") for _, devices in places for device in devices]
        return _worst({row.severity or row.status for row in rows})

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
    if _width(text) <= most:
        return text
    # The ellipsis is one character; in a line of Chinese it is as wide as one.
    room = most - (2 if any(ord(char) > WIDE for char in text) else 1)
    cut = next(n for n in range(len(text), -1, -1) if n <= 1 or _width(text[:n]) <= room)
    return text[:cut].rstrip() + "…"


def _width(text: str) -> int:
    """In half-width characters."""
    return sum(2 if ord(char) > WIDE else 1 for char in text)
