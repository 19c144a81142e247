"""The whole life of a device as one line of time: alarms and what was done about them, work, hazards, duty, rules."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from gateway.control.protocol import AlarmView
from gateway.duty.checks import CHECKS, DutyCheck
from gateway.duty.readiness_rows import ANSWERING
from gateway.duty.shifts import SHIFT, Shift
from gateway.ledger.life_rows import LATEST, Place
from gateway.ledger.records import RuleVersion, TransitionRow
from gateway.web import decision
from gateway.web.alarm_cards import alarm_card
from gateway.web.context import Web
from gateway.web.firmware import firmware_changes
from gateway.web.inventory import Device
from gateway.web.listing import Key, Turn, cut, foreign
from gateway.web.records.former import Former
from gateway.web.records.site_changes import site_changes
from gateway.web.registers.staff import people_names, post_titles
from gateway.web.rule_words import rule_words
from gateway.web.texts import Texts
from gateway.work.order_life import ORDER
from gateway.work.rectification import HAZARD
from rules.model import Rule

Kind = Literal["identity", "alarm", "work", "hold", "hazard", "order", "rule"]
KINDS: tuple[Kind, ...] = ("alarm", "work", "hold", "hazard", "order", "rule", "identity")
AT_ONCE = 500
"""Alarms that are read at a time."""
ALL = -1
"""No limit: what is left out in silence reads as if it had never been."""
CHECKED_MS = 7 * 86_400_000
"""A duty check so long before an alarm still says something of it."""


class Event(NamedTuple):
    """Something in its life. until_ms: when it ended; who: by whom. lines: what belongs to it, one below the other.

    ref: tells it from others of its kind at the same moment; of an alarm its number, negative: the latest is first.
    """

    at_ms: int
    kind: Kind
    ref: int | str
    title: str
    link: str = ""
    severity: str = ""
    until_ms: int | None = None
    who: str = ""
    lines: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """What a life is ordered by, ascending: the latest first, alarms before the rest of the same moment."""
        return -self.at_ms, KINDS.index(self.kind), self.ref


class Life(NamedTuple):
    """What is known. first_ms: of the ledger, of what was before nothing is known. counts: of each kind in all.

    next: cursor of the page with older ones; None: there are none.
    """

    events: list[Event]
    first_ms: int
    counts: dict[str, int]
    next: str | None = None


async def life(
    web: Web,
    texts: Texts,
    device: Device,
    gone: Former | None = None,
    turn: Turn | None = None,
    kind: Kind | None = None,
) -> Life:
    """A page of the life of a device, the latest first. gone: that it was taken out; nothing came after.

    turn: None: all of it. kind: None: all kinds.

    Raises:
        Refused: the cursor is none of a life (422).
    """
    until_ms = LATEST[0] if gone is None else gone.removed_ms
    others = await _others(web, texts, device, gone)
    counts = Counter[str](event.kind for event in others)
    counts["alarm"] = await web.read(web.ledger.device_alarm_count, device.site, device.id, until_ms)
    first_ms = min(await web.read(web.all.ledger.first_ms), web.now_ms())
    events = [event for event in others if kind in (None, event.kind)]
    most = AT_ONCE if turn is None else turn.limit + 1
    before = min((until_ms, 2**62), LATEST if turn is None or turn.after is None else _place(turn.after))
    while kind in (None, "alarm"):
        alarms = await web.read(web.ledger.device_alarms, device.site, device.id, most, before)
        events += await _alarm_events(web, texts, device, alarms)
        if turn is not None or len(alarms) < most:
            break
        before = (alarms[-1].raised_ms, alarms[-1].id)
    if turn is None:
        return Life(sorted(events, key=lambda event: event.key), first_ms, dict(counts))
    events, after = cut(events, turn, lambda event: event.key)
    return Life(events, first_ms, dict(counts), after)


def _place(after: Key) -> Place:
    """Where the alarms of the next page begin."""
    if len(after) != 3 or not isinstance(after[0], int) or not isinstance(after[1], int):
        raise foreign()
    if abs(after[0]) >= LATEST[0]:
        raise foreign()
    if after[1] != KINDS.index("alarm"):
        return -after[0], 0
    if not isinstance(after[2], int) or abs(after[2]) >= LATEST[0]:
        raise foreign()
    return -after[0], -after[2]


async def _others(web: Web, texts: Texts, device: Device, gone: Former | None) -> list[Event]:
    """Everything but its alarms."""
    found = [
        *await _work_events(web, texts, device),
        *await _register_events(web, texts, device),
        *await _rule_events(web, texts, device),
        *await _identity_events(web, texts, device),
    ]
    if gone is None:
        return found
    found = [event for event in found if event.at_ms <= gone.removed_ms]
    if not any(event.kind == "identity" and event.at_ms == gone.removed_ms for event in found):
        title = texts.word("site_entry", "removed")
        found.append(Event(gone.removed_ms, "identity", "removed", title, who=gone.by))
    return found


async def _alarm_events(web: Web, texts: Texts, device: Device, alarms: Sequence[AlarmView]) -> list[Event]:
    if not alarms:
        return []
    numbers = [alarm.id for alarm in alarms]
    span = (device.site, device.id, min(numbers), max(numbers))
    steps: dict[int, list[TransitionRow]] = defaultdict(list)
    for row in await web.read(web.ledger.device_steps, *span):
        steps[row.alarm_id].append(row)
    kept = {(row.id, row.version): row for row in await web.read(web.ledger.rule_versions)}
    decided = await web.read(web.ledger.device_versions, *span)
    duty = await Duty.of(web, texts, device.site, alarms[-1].raised_ms)
    found, test = [], texts("TEST")
    for alarm in alarms:
        card = alarm_card(alarm, web.inventory, texts)
        lines = [line for row in steps[alarm.id] if (line := _step_line(row, web, texts))]
        then = limits_then(web, texts, alarm, kept.get((alarm.rule, decided.get(alarm.id, ""))))
        lines += [texts("Rule then in force: %(rule)s", rule=then)] if then else []
        lines.append(texts("On duty then: %(people)s", people=duty.at(alarm.raised_ms)))
        where = f"{card.title} · {card.spot or card.point}" if card.spot or card.point else card.title
        title = f"{where} · {test}" if alarm.drill is not None else where
        found.append(
            Event(
                alarm.raised_ms, "alarm", -alarm.id, title, f"/alarms/{alarm.id}", alarm.severity, alarm.cleared_ms,
                lines=tuple(lines),
            )
        )  # fmt: skip
    return found


def _step_line(row: TransitionRow, web: Web, texts: Texts) -> str:
    """What somebody or a hold did to an alarm; nothing for what the rule itself did."""
    if row.event in ("raise", "flap"):
        return ""
    step = decision.step(row, web.inventory, texts)
    parts = [texts.stamp(row.event_ms), step.word, step.who, step.detail, step.note]
    return " · ".join(part for part in parts if part)


def limits_then(web: Web, texts: Texts, alarm: AlarmView, kept: RuleVersion | None) -> str:
    """The rule that decided, as it read then; empty when nothing is kept of it."""
    rule = None
    if kept is not None and kept.json:
        try:
            rule = Rule.model_validate_json(kept.json)
        except ValidationError:
            rule = None
    if rule is None or kept is None:
        return ""
    return f"{_rule_text(web, texts, rule, alarm.subject)} [{alarm.rule} {kept.version}]"


def _rule_text(web: Web, texts: Texts, rule: Rule, subject: str) -> str:
    titles = {key: known.title for key, known in web.inventory.rules.items()}
    said = rule_words(rule, texts, web.inventory.point_names(rule, texts, subject), titles)
    return " ".join(line.text for line in said.when)


class Duty:
    """Who was on duty when, at the stations that answer for a site; and how they answered."""

    def __init__(
        self,
        texts: Texts,
        shifts: Iterable[Shift],
        checks: Iterable[DutyCheck],
        names: dict[int, str],
        posts: dict[tuple[str, str], str],
    ) -> None:
        self._texts = texts
        self._shifts = sorted(shifts, key=lambda row: row.from_ms)
        self._checks = sorted(checks, key=lambda row: row.from_ms)
        self._names = names
        self._posts = posts
        """Title of each (site, post)."""

    @classmethod
    async def of(cls, web: Web, texts: Texts, site: str, from_ms: int) -> Duty:
        """Shifts and checks since then."""
        answering = await web.read(web.ledger.entries, ANSWERING, from_ms=from_ms)
        sites = (site, *sorted({row.site for row in answering if site in row.covers}))
        # All of them: with a limit, who was on duty at an older alarm would be told as nobody.
        shifts = await web.read(web.ledger.entries, SHIFT, sites=sites, from_ms=from_ms)
        # The latest one before the first alarm too, which was over by then.
        checks = await web.read(web.ledger.entries, CHECKS, sites=sites, from_ms=from_ms - CHECKED_MS)
        posts = {(each, post): title for each in sites for post, title in post_titles(web.all, each, texts).items()}
        return cls(texts, shifts, checks, await people_names(web), posts)

    def at(self, at_ms: int) -> str:
        """The people at their posts at a moment and the latest check before it, in words."""
        texts = self._texts
        there = [
            f"{self._names.get(stay.person) or texts('Person no. %(n)s', n=stay.person)}"
            f" ({self._posts.get((shift.site, stay.post), stay.post)})"
            for shift in self._shifts
            for stay in shift.stays
            if stay.from_ms <= at_ms and (stay.until_ms is None or at_ms < stay.until_ms)
        ]
        said = ", ".join(there) if there else texts("nobody on record")
        check = next((row for row in reversed(self._checks) if row.from_ms <= at_ms), None)
        if check is None:
            return said
        word = texts.word("check", check.state)
        return texts(
            "%(people)s; duty check of %(time)s: %(result)s", people=said, time=texts.stamp(check.from_ms), result=word
        )


async def _work_events(web: Web, texts: Texts, device: Device) -> list[Event]:
    found = [
        Event(
            row.at_ms,
            "work",
            f"work/{row.id}",
            texts.word("work", row.work),
            who=row.by,
            lines=(row.note,) if row.note else (),
        )
        for row in await web.read(web.ledger.work, device.site, device.id, ALL)
    ]
    for window in await web.read(web.ledger.maintenance, device.site, ALL):
        if _in_scope(device, window.scope):
            end = window.closed_ms if window.closed_ms is not None else window.until_ms
            found.append(
                Event(
                    window.from_ms, "hold", f"maintenance/{window.id}", texts.word("standing", "maintenance"),
                    "/maintenance", until_ms=end,
                    who=window.by, lines=tuple(line for line in (window.reason, window.note) if line),
                )
            )  # fmt: skip
    for drill in await web.read(web.ledger.drills, device.site, ALL):
        if _in_scope(device, drill.scope):
            end = drill.closed_ms if drill.closed_ms is not None else drill.until_ms
            found.append(
                Event(
                    drill.from_ms, "hold", f"drill/{drill.id}", texts.word("standing", "drill"),
                    f"/drills/{drill.id}", until_ms=end,
                    who=drill.leader, lines=tuple(line for line in (drill.reason, drill.note) if line),
                )
            )  # fmt: skip
    for out in await web.read(web.ledger.service_periods, device.site, device.id):
        lines = [] if out.subject == device.key else [decision.subject_title(out.subject, web.inventory, texts)]
        lines.append(out.reason)
        if out.until_ms is not None:
            back = (texts.stamp(out.until_ms), texts("Returned to service"), texts.who(out.returned_by), out.note)
            lines.append(" · ".join(part for part in back if part))
        word = texts.word("hold", "out_of_service")
        found.append(
            Event(
                out.from_ms,
                "hold",
                f"out/{out.subject}",
                word,
                until_ms=out.until_ms,
                who=out.by,
                lines=tuple(x for x in lines if x),
            )
        )
    return found


async def _register_events(web: Web, texts: Texts, device: Device) -> list[Event]:
    found = []
    for row in await web.read(web.ledger.device_entries, HAZARD, device.site, device.id):
        lines = [texts.word("hazard_state", row.state)]
        if row.order is not None:
            lines.append(
                texts(
                    "%(owner)s by %(time)s: %(what)s",
                    owner=row.order.owner,
                    time=texts.stamp(row.order.deadline_ms),
                    what=row.order.measure,
                )
            )
        if row.fix is not None:
            lines.append(f"{texts.stamp(row.fix.at_ms)} · {texts.who(row.fix.by)} · {row.fix.note}")
        if row.confirmed_ms is not None:
            who = texts("the data") if row.confirmed_by == "data" else texts.who(row.confirmed_by)
            lines.append(texts("%(time)s confirmed by %(who)s", time=texts.stamp(row.confirmed_ms), who=who))
        title = row.text or decision.subject_title(row.subject, web.inventory, texts)
        found.append(
            Event(
                row.from_ms,
                "hazard",
                f"hazard/{row.id}",
                title,
                f"/hazards/{row.id}",
                until_ms=row.until_ms,
                who=row.by,
                lines=tuple(lines),
            )
        )
    for order in await web.read(web.ledger.device_entries, ORDER, device.site, device.id):
        done = (
            (f"{texts.stamp(order.done.at_ms)} · {texts.who(order.done.by)} · {order.done.note}",) if order.done else ()
        )
        title = order.title or decision.subject_title(order.subject, web.inventory, texts)
        found.append(
            Event(order.from_ms, "order", f"order/{order.id}", title, until_ms=order.until_ms, who=order.by, lines=done)
        )
    return found


async def _rule_events(web: Web, texts: Texts, device: Device) -> list[Event]:
    """Every version of the rules that watch it, from when it was in force."""
    found = []
    seen: set[str] = set()
    for kept in await web.read(web.ledger.rule_versions):
        try:
            rule = Rule.model_validate_json(kept.json)
        except ValidationError:
            continue
        if not any(rule.applies(device.profile.id, point) for point in device.points):
            continue
        what = texts("changed") if kept.id in seen else texts("in force")
        seen.add(kept.id)
        title = f"{rule.title.get(texts.language)} · {what}"
        lines = (f"{_rule_text(web, texts, rule, device.key)} [{kept.id} {kept.version}]",)
        found.append(
            Event(
                kept.first_ms,
                "rule",
                f"{kept.id} {kept.version}",
                title,
                f"/rules/{kept.id}",
                rule.severity,
                lines=lines,
            )
        )
    return found


async def _identity_events(web: Web, texts: Texts, device: Device) -> list[Event]:
    found = [
        Event(row.approved_ms, "identity", "approved", texts("Approved"), who=row.approved_by, lines=(row.profile,))
        for row in await web.read(web.ledger.approved_devices)
        if (row.site, row.device) == (device.site, device.id)
    ]
    found += [
        Event(
            change.at_ms,
            "identity",
            f"entry/{change.version}",
            texts.word("site_entry", change.what),
            who=change.by,
            lines=tuple(f"{name}: {old or '—'} → {new or '—'}" for name, old, new in change.fields),
        )
        for change in (await site_changes(web, device.site)).changes.get(device.id, ())
    ]
    for told in await firmware_changes(device, web):
        words = [
            f"{point.title.get(texts.language)}: {text if before is None else f'{before} → {text}'}"
            for point, before, text in told.told
        ]
        is_first = all(before is None for _, before, _ in told.told)
        title = texts("Told who it is") if is_first else texts("Firmware or device changed")
        found.append(
            Event(told.at_ms, "identity", "told", title, f"/devices/{device.key}#firmware", lines=tuple(words))
        )
    tested: Any = (await web.read(web.ledger.tested)).get(device.key)
    if tested is not None:
        found.append(Event(tested.at_ms, "work", "tested", texts("Seen to work in a test"), who=tested.by))
    return found


def _in_scope(device: Device, scope: Iterable[str]) -> bool:
    return any(pattern == "*" or pattern.partition("/")[0] == device.id for pattern in scope)
