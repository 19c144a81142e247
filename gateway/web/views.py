"""What the pages show, worked out from the picture: pure functions, no I/O.

The rule of all of it: unknown is never OK. A value counts as `good` only when its quality is good, it is fresh, its
device answers, its agent is connected and the gateway answers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import msgspec

from contract import quality as q
from contract.panel import EVENT
from contract.profile import BUILT_IN, HEALTH_POINTS, LINE_POINTS, LINE_PROFILE, ONLINE, Point
from contract.site import line_device
from contract.units import unit_of
from gateway.web.alarm_cards import SEVERITIES, AlarmCard, alarm_card, alarm_order, node_of
from gateway.web.folding import Row, fold
from gateway.web.inventory import Device, Inventory
from gateway.web.panel_events import event_row
from gateway.web.picture import Current, Picture
from gateway.web.row_book import RowBook
from gateway.web.situation import Situation, agent_connected
from gateway.web.texts import Texts

Status = Literal["good", "uncertain", "test", "stale", "bad", "unknown", "out"]
_WORST = ("unknown", "bad", "stale", "uncertain", "test", "good")
_URGENT = (*_WORST, "out")
MORE_FIRES = 6
"""Fires in one line each beside the two large ones; what is beyond stands on top of the alarm list."""
MOST_TILES = 200
"""Devices drawn one by one on the board; of more, those that need somebody."""
STALE_FACTOR = 2
"""A value older than this many times the profile's longest silence is stale."""


class PointRow(msgspec.Struct, frozen=True, gc=False):
    """One point in the reader's language. `reason` says why it is not good."""

    key: str
    name: str
    title: str
    text: str
    unit: str
    is_number: bool
    is_text: bool
    is_event: bool
    observed_ms: int | None
    status: Status
    reason: str
    severity: str | None
    point: Point

    @property
    def form(self) -> str:
        """What the value is, for the page's script."""
        return "event" if self.is_event else "number" if self.is_number else "text" if self.is_text else "state"

    @property
    def decimals(self) -> int:
        """Decimals of the text of a number."""
        return len(self.text.partition(".")[2]) if self.is_number else 0


@dataclass(frozen=True)
class DeviceRow:
    """One device with its points. `severity`: of its worst open alarm."""

    key: str
    id: str
    title: str
    place: str
    kind: str
    category: str
    status: Status
    reason: str
    severity: str | None
    cause: str | None
    """Path of the node above it because of which nothing is known of it; the device itself when it is silent."""
    points: list[PointRow]
    heard_ms: int | None
    main: PointRow | None
    """The number that stands for the device on the board; None where a word does."""
    summary: str

    @property
    def needs_somebody(self) -> bool:
        """Whether an alarm of it holds or it is not known to be good."""
        return self.severity is not None or self.status != "good"

    @cached_property
    def words(self) -> str:
        """What a search looks through, in one case."""
        return f"{self.title}\n{self.key}\n{self.place}\n{self.kind}".casefold()

    @property
    def urgent_first(self) -> list[PointRow]:
        """The points with an alarm, the worst first, then those that are not good, then the others in profile order."""
        rank = {name: n for n, name in enumerate(SEVERITIES)}
        return sorted(self.points, key=lambda row: (rank.get(row.severity or "", len(rank)), _URGENT.index(row.status)))


@dataclass(frozen=True)
class AgentRow:
    """One agent with its lines and devices. `connected`: heard of within three heartbeats, and the gateway answers."""

    site: str
    agent: str
    title: str
    connected: bool
    heard_ms: int | None
    waiting: int
    lines: list[tuple[str, str, list[DeviceRow]]]
    more: int = 0
    """Devices beyond those in `lines`; only the board leaves some out."""


@dataclass(frozen=True)
class Board:
    """Everything the live board shows. `headline`: the worst thing that holds now or waits to be acknowledged.

    fires: fires that hold or wait, the first and the newest: shown large. more_fires: further ones, in one line each.
    rows: the rest that speaks, worst first, fires beyond those among them, folded. held: what a person or a cause keeps
    still. tests: what a drill made. `devices["good"]` counts the devices without an active alarm.
    """

    headline: str
    fires: list[AlarmCard]
    more_fires: list[AlarmCard]
    rows: list[Row]
    held: list[Row]
    tests: list[Row]
    agents: list[AgentRow]
    devices: Counter[str] = field(default_factory=Counter)
    severities: Counter[str] = field(default_factory=Counter)
    waiting: int = 0

    @property
    def alarms(self) -> list[AlarmCard]:
        """What speaks beside the fires, row by row."""
        return [card for row in self.rows for card in (row.head, *row.episodes)]

    @property
    def top(self) -> AlarmCard | None:
        """The alarm the headline is about, where no fire holds or waits."""
        if self.headline == "critical_over":
            return next((card for card in self.alarms if card.severity == "critical" and card.waiting), None)
        return next((row.head for row in self.rows if row.head.active), None)


def board(picture: Picture, inventory: Inventory, texts: Texts, now_ms: int) -> Board:
    """The live board."""
    book = _book(picture, inventory, texts, now_ms)
    agents = _agents(book, picture, inventory, texts, now_ms)
    unseen = book.unseen
    found = (
        alarm_card(alarm, inventory, texts, picture.told, below=unseen[node_of(alarm.subject)] if alarm.active else 0)
        for alarm in picture.alarms.values()
    )
    cards = sorted(found, key=alarm_order)
    speaking = [card for card in cards if card.speaks]
    devices = +book.devices
    large, small = _fires(speaking)
    shown = {card.id for card in (*large, *small)}
    folded = fold([card for card in cards if card.id not in shown and not card.is_drill])
    headline = _headline(picture, speaking, devices, agents)
    held = [row for row in folded if not row.head.speaks]
    return Board(
        headline="held" if headline == "normal" and (devices["out"] or any(r.head.active for r in held)) else headline,
        fires=large,
        more_fires=small,
        rows=[row for row in folded if row.head.speaks],
        held=held,
        tests=fold([card for card in cards if card.is_drill]),
        agents=agents if len(book.at) <= MOST_TILES else _most_urgent(agents, book),
        devices=devices,
        severities=Counter(card.severity for card in speaking if card.active),
        waiting=sum(card.waiting for card in speaking),
    )


def _most_urgent(agents: list[AgentRow], book: RowBook) -> list[AgentRow]:
    """Of a large station: the devices that need somebody, worst first up to MOST_TILES; the others are counted."""
    places = book.worst(MOST_TILES, lambda row: (SEVERITIES.index(row.severity or "info"), _URGENT.index(row.status)))
    found = []
    for agent in agents:
        lines = places.get((agent.site, agent.agent), {})
        more = sum(len(rows) for _, _, rows in agent.lines) - sum(map(len, lines.values()))
        found.append(replace(agent, lines=[(*line, rows) for line, rows in lines.items()], more=more))
    return found


def _fires(cards: list[AlarmCard]) -> tuple[list[AlarmCard], list[AlarmCard]]:
    """Fires shown large and fires shown in a line: the first says where it began, the newest where it goes."""
    fires = [card for card in cards if card.severity == "fire" and (card.active or card.waiting)]
    told = sorted([card for card in fires if card.active] or fires, key=lambda card: card.raised_ms)
    large = [told[0], told[-1]] if len(told) > 1 else told
    return large, [card for card in fires if card not in large][:MORE_FIRES]


def _headline(picture: Picture, cards: list[AlarmCard], devices: Counter[str], agents: list[AgentRow]) -> str:
    active = {card.severity for card in cards if card.active}
    waiting = {card.severity for card in cards if card.waiting}
    if "fire" in active:
        return "fire"
    if "fire" in waiting:
        return "fire_over"
    if not picture.connected:
        return "unknown"
    if "critical" in active:
        return "critical"
    if devices["unknown"] or devices["bad"] or devices["stale"] or not all(a.connected for a in agents):
        return "unknown"
    if "critical" in waiting:
        return "critical_over"
    return "warning" if "warning" in active else "normal"


def agent_rows(picture: Picture, inventory: Inventory, texts: Texts, now_ms: int) -> list[AgentRow]:
    """Every agent with its lines and devices, in the order of the site files."""
    return _agents(_book(picture, inventory, texts, now_ms), picture, inventory, texts, now_ms)


def _book(picture: Picture, inventory: Inventory, texts: Texts, now_ms: int) -> RowBook:
    """The rows of all devices as they are now."""
    now = Situation(picture, now_ms)

    def make(device: Device) -> tuple[DeviceRow, int | None]:
        row = device_row(device, picture, texts, now_ms, now)
        return row, picture.rows.until_ms(texts.language, row.key)

    book = picture.rows.book(texts.language, inventory)
    book.turn_to(picture, inventory, now, now_ms, make)
    return book


def _agents(book: RowBook, picture: Picture, inventory: Inventory, texts: Texts, now_ms: int) -> list[AgentRow]:
    rows = []
    for site, agent in book.agents:
        known = picture.agents.get((site, agent))
        outbox = known.state.get("outbox") if known else None
        waiting = sum(int(outbox.get(lane) or 0) for lane in ("alarm", "telemetry")) if isinstance(outbox, dict) else 0
        rows.append(
            AgentRow(
                site,
                agent,
                inventory.agent_title(site, agent).get(texts.language),
                agent_connected(picture, site, agent, now_ms),
                known.heard_ms if known else None,
                waiting,
                [(line, kind, found) for (line, kind), found in book.lines.get((site, agent), {}).items()],
            )
        )
    return rows


def device_row(device: Device, picture: Picture, texts: Texts, now_ms: int, now: Situation | None = None) -> DeviceRow:
    """A device: its worst point decides, and one cause above it overrides them all.

    Rows are kept with the picture and made anew when something they are made of moved, or a value of theirs gets stale.
    """
    now = now or Situation(picture, now_ms)
    about = now.subjects.get(device.key, {})
    out = picture.standing.out_of_service.get(device.key) is not None
    basis = (picture.versions.get(device.key, 0), now.cause(device), about, out, device.key in now.drilled)
    kept: DeviceRow | None = picture.rows.find(texts.language, device, basis, now_ms)
    if kept is None:
        kept = _make_row(device, picture, texts, now_ms, now)
        picture.rows.keep(texts.language, device, basis, now_ms, _stale_ms(device, kept), kept)
    return kept


def _stale_ms(device: Device, row: DeviceRow) -> int | None:
    """When the first of its values that are fresh now is too old; None: never."""
    fresh = [p.observed_ms for p in row.points if p.observed_ms is not None and p.status == "good" and not p.is_text]
    return min(fresh) + int(STALE_FACTOR * device.profile.max_silence_s * 1000) if fresh else None


def _make_row(device: Device, picture: Picture, texts: Texts, now_ms: int, now: Situation) -> DeviceRow:
    subjects = now.subjects.get(device.key, {})
    cause, node = now.cause(device)
    names = dict(device.points)
    if device.profile.is_listened_to or device.line is None:
        # Printed addresses, and what an approved device sends beyond its profile's default size.
        names |= _points_that_reported(device, picture)
    points = [point_row(device, point, picture, texts, now_ms, cause, subjects) for point in names.values()]
    shown = [row for row in points if row.name != ONLINE]
    judged = [row for row in shown if not (row.is_text and row.observed_ms is None)]
    online = picture.values.get(f"{device.key}/{ONLINE}")
    # A panel's printer port has no points until it prints; that its line is open is all there is to know.
    empty: Status = "good" if online is not None and online.value is True else "unknown"
    status: Status = min((row.status for row in judged), key=_WORST.index, default=empty)
    severities = [row.severity for row in points if row.severity] + [subjects.get(device.key)]
    heard = [row.observed_ms for row in points if row.observed_ms is not None]
    worst = next((row for row in judged if row.status == status), None)
    main = _main(shown)
    own: Status | None = None
    if picture.standing.out_of_service.get(device.key) is not None:
        own = "out"
    elif status == "good" and cause is None and device.key in now.drilled:
        own = "test"
    return DeviceRow(
        key=device.key,
        id=device.id,
        title=device.title.get(texts.language),
        place=device.place.get(texts.language) if device.place else "",
        kind=device.profile.title.get(texts.language),
        category=device.profile.category,
        status="unknown" if cause else own or status,
        reason=_reason(cause, worst if status != "good" else None, own, texts),
        severity=min((s for s in severities if s), key=SEVERITIES.index, default=None),
        cause=node,
        points=shown,
        heard_ms=max(heard, default=None),
        main=main,
        summary=_summary(shown, texts),
    )


def health_rows(device: Device, picture: Picture, texts: Texts, now_ms: int) -> list[PointRow]:
    """How the agent sees a polled device and its line; empty until it said so for the first time."""
    cause, _ = Situation(picture, now_ms).cause(device)
    if cause in ("no_answer", "line_lost"):  # that it does not answer is what the figures are about
        cause = None
    places = [] if device.profile.modbus is None else [(device, HEALTH_POINTS)]
    if device.line is not None:
        places.append((device._replace(id=line_device(device.line)), LINE_POINTS))
    return [
        point_row(place._replace(profile=LINE_PROFILE), point, picture, texts, now_ms, cause, {})
        for place, points in places
        for point in points
        if f"{place.key}/{point.name}" in picture.values
    ]


def _main(points: list[PointRow]) -> PointRow | None:
    """The number with an alarm, else the first number of a device that is about numbers."""
    alarming = next((row for row in points if row.severity), None)
    if alarming is not None:
        return alarming if alarming.is_number else None
    first = next(iter(points), None)
    return first if first is not None and first.is_number else None


def _summary(points: list[PointRow], texts: Texts) -> str:
    """A word or two for a device without a leading number: what is not normal, else that all is."""
    alarming = [row for row in points if row.severity]
    if alarming:
        worst = min(alarming, key=lambda row: SEVERITIES.index(row.severity or "info"))
        more = f" +{len(alarming) - 1}" if len(alarming) > 1 else ""
        return f"{worst.title} {worst.text}{more}"
    states = [row for row in points if row.point.states is not None]
    odd = Counter(row.text for row in states if row.status == "good" and row.text != texts.word("state", "normal"))
    if len(states) > 1 and odd:
        return " · ".join(f"{text} {count}" for text, count in odd.most_common(3))
    if len(states) > 1:
        return texts("%(n)s points normal", n=sum(row.status == "good" for row in states))
    if points and not points[0].is_text:
        return f"{points[0].title} {points[0].text}"
    return texts.word("status", "good")


def point_row(
    device: Device,
    point: Point,
    picture: Picture,
    texts: Texts,
    now_ms: int,
    cause: str | None,
    subjects: dict[str, str],
) -> PointRow:
    """A point with its value, or the last one known and why it is not the present one."""
    key = f"{device.key}/{point.name}"
    current = picture.values.get(key)
    status, reason = judge(device, current, now_ms, cause, texts, is_text=point.text)
    unit = unit_of(point.name)
    return PointRow(
        key=key,
        name=point.name,
        title=point.title.get(texts.language),
        text=_value_text(device, point, current, texts) if current else "—",
        unit=unit.symbol if unit and point.is_number else "",
        is_number=point.is_number,
        is_text=point.text,
        is_event=point.text and point.name == EVENT,
        observed_ms=current.observed_ms if current else None,
        status=status,
        reason=reason,
        severity=subjects.get(key),
        point=point,
    )


def _value_text(device: Device, point: Point, current: Current, texts: Texts) -> str:
    if point.text and point.name == EVENT and isinstance(current.value, str):
        row = event_row(device, current.observed_ms, current.value, current.quality, texts)
        if row is not None:
            return row.line
    return texts.value(point, current.value)


def judge(
    device: Device, current: Current | None, now_ms: int, cause: str | None, texts: Texts, *, is_text: bool = False
) -> tuple[Status, str]:
    """Whether a value may be taken for the present state, and if not, why."""
    if cause:
        return "unknown", texts.word("cause", cause)
    if current is None:
        # A printer that has not printed has nothing to report; a measurement that never came is unknown.
        return ("good", "") if is_text else ("unknown", texts("never reported"))
    if current.quality != q.GOOD:
        kind = q.kind(current.quality)
        status: Status = kind if kind in ("uncertain", "bad", "test", "unknown") else "bad"  # type: ignore[assignment]  # narrowed by the tuple
        return status, texts.quality(current.quality)
    if not is_text and now_ms - current.observed_ms > STALE_FACTOR * device.profile.max_silence_s * 1000:
        return "stale", texts("silent for longer than expected")
    return "good", ""


def _reason(cause: str | None, worst: PointRow | None, own: Status | None, texts: Texts) -> str:
    if cause:
        return texts.word("cause", cause)
    if own == "out":
        return texts.word("hold", "out_of_service")
    if own == "test":
        return texts("drill: what it reports is a test")
    return worst.reason if worst else ""


def _points_that_reported(device: Device, picture: Picture) -> dict[str, Point]:
    found = {}
    for name in picture.names.get(device.key, ()):
        point = device.profile.point(name) if name not in device.points and name not in BUILT_IN else None
        if point is not None:
            found[name] = point
    return found
