"""Why an alarm is what it is, in words: what decided, the rule then in force, each step, what keeps things still."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import ValidationError

from contract.units import unit_of
from gateway.control.protocol import AlarmView
from gateway.ledger.records import TransitionRow
from gateway.web.alarm_cards import node_title
from gateway.web.context import Web
from gateway.web.inventory import Inventory
from gateway.web.picture import Picture
from gateway.web.rule_words import RuleWords, rule_words, span
from gateway.web.texts import Texts
from rules.model import Rule

_LEVELS = ("below", "above", "clear", "limit", "min", "max", "mean", "rise", "fall", "range", "figure", "at_20c")
"""Inputs that are in the unit of the alarm's own point."""
OURS = frozenset({"rule", "gateway"})
"""Actors who are no people."""
WHY = {
    "its cause is over": "cause_over",
    "still true": "still_true",
    "rule removed": "rule_removed",
    "no rule watches it any more": "unwatched",
}
"""Reasons that rules and gateway write into a step, as the ledger has them, and their code words."""


class Step(NamedTuple):
    """One step of an alarm's life. who: empty for the rule. detail: what was decided, in words."""

    event: str
    word: str
    who: str
    note: str
    detail: str
    event_ms: int
    recorded_ms: int


class Still(NamedTuple):
    """Something kept still. id: of the window or drill, or of the shelved alarm. link: where more stands."""

    kind: str
    id: int | None
    subject: str
    what: str
    where: str
    who: str
    why: str
    from_ms: int
    until_ms: int | None
    link: str


class Banner(NamedTuple):
    """A drill or a window of maintenance in force, as the board says it."""

    id: int
    where: str
    what_scope: str
    who: str
    why: str
    until_ms: int
    ticked: int = 0
    expected: int = 0


class InForce(NamedTuple):
    """The rule that decided. former: its text was changed since."""

    words: RuleWords
    version: str
    former: bool


def step(row: TransitionRow, inventory: Inventory, texts: Texts) -> Step:
    """A step in the reader's language."""
    given = row.inputs
    said: list[str] = []
    if row.event == "assign":
        said.append(texts("to %(person)s", person=given["person"]) if given.get("person") else texts("to nobody"))
    if row.event == "find" and given.get("finding"):
        said.append(texts.word("finding", str(given["finding"])))
    if given.get("hold") and row.event not in ("suppress", "release"):  # the event says it
        said.append(texts.word("hold", str(given["hold"])))
    if isinstance(given.get("cause"), str):
        said.append(texts("cause: %(node)s", node=node_title(given["cause"], inventory, texts)))
    if isinstance(given.get("until_ms"), int):
        said.append(texts("until %(time)s", time=texts.stamp(given["until_ms"])))
    if isinstance(given.get("count"), int) and given["count"] > 1:
        said.append(texts("%(n)s times", n=given["count"]))
    if given.get("reason") and given["reason"] != row.note:
        why = str(given["reason"])
        # What the rules and the gateway say themselves has words; what people wrote stays as they wrote it.
        said.append(texts.word("step_why", WHY[why]) if row.actor in OURS and why in WHY else why)
    who = "" if row.actor in OURS else row.actor
    return Step(
        row.event, texts.word("event", row.event), who, row.note, " · ".join(said), row.event_ms, row.recorded_ms
    )


def inputs(given: dict[str, Any], alarm: AlarmView, inventory: Inventory, texts: Texts) -> list[tuple[str, str]]:
    """The readings and limits a decision rests on, as label and text."""
    found = inventory.point(alarm.subject) if alarm.subject.count("/") == 2 else None
    device = inventory.find("/".join(alarm.subject.split("/")[:2]))
    points = device.points if device is not None else {}

    def text(key: str, value: Any) -> str:
        if isinstance(value, dict):
            return " · ".join(f"{label(k)} {text(k, v)}" for k, v in value.items() if k != "kind" or k in points)
        if isinstance(value, list):
            return ", ".join(text(key, one) for one in value)
        if key == "of" and given.get("kind") == "due":
            return texts.word("due", str(value))
        if key == "quality":
            return texts.quality(str(value)) or texts("good")
        if key.endswith("_ms") and isinstance(value, int | float) and not isinstance(value, bool):
            return texts.stamp(int(value)) if value > 10**11 else span(value / 1000, texts)
        if key.endswith("_s") and isinstance(value, int | float) and key not in points:
            return span(float(value), texts)
        own = found[1] if found and key in ("value", *_LEVELS) else None
        point = own or points.get(key)
        if point is None:
            return texts.value(None, value) if isinstance(value, float | bool | str | None) else str(value)
        unit = unit_of(point.name)
        shown = texts.value(point, value)
        return f"{shown} {unit.symbol}".strip() if unit and value is not None else shown

    def label(key: str) -> str:
        if key in points:
            return points[key].title.get(texts.language)
        return texts.word("input", key)

    # What sort of condition it was is said by the rule beside it.
    return [(label(key), text(key, value)) for key, value in given.items() if key != "kind" or key in points]


async def rule_in_force(web: Web, alarm: AlarmView, texts: Texts) -> InForce | None:
    """The rule that decided, as it read then; None when nothing is known of it any more."""
    current = web.inventory.rules.get(alarm.rule)
    kept = await web.read(web.ledger.deciding_rule, alarm.id)
    rule, version = current, kept.version if kept else ""
    if kept is not None and kept.json:
        try:
            rule = Rule.model_validate_json(kept.json)
        except ValidationError:  # kept by a product whose rules had another form; today's words are the best there are
            rule = current
    if rule is None:
        return None
    titles = {key: known.title for key, known in web.inventory.rules.items()}
    names = web.inventory.point_names(rule, texts, alarm.subject)
    former = current is None or bool(version and version != current.version)
    return InForce(rule_words(rule, texts, names, titles), version or rule.version, former)


def standing(picture: Picture, inventory: Inventory, texts: Texts, now_ms: int) -> dict[str, list[Still]]:
    """Everything that is kept still now or soon: shelf, service, maintenance, drill."""

    def title(rule: str) -> str:
        known = inventory.rules.get(rule)
        return known.title.get(texts.language) if known else rule

    rows = picture.standing
    return {
        "shelf": [
            Still(
                *("shelf", row.alarm_id, row.subject, title(row.rule), subject_title(row.subject, inventory, texts)),
                *(row.by, row.reason, row.from_ms, row.until_ms, f"/alarms/{row.alarm_id}"),
            )
            for row in sorted(rows.shelves.values(), key=lambda row: row.until_ms)
        ],
        "service": [
            Still(
                *("service", None, row.subject, "", subject_title(row.subject, inventory, texts)),
                *(row.by, row.reason, row.from_ms, None, "/devices/" + "/".join(row.subject.split("/")[:2])),
            )
            for row in sorted(rows.out_of_service.values(), key=lambda row: row.from_ms)
        ],
        "maintenance": [
            Still(
                *("maintenance", row.id, "", scope_text(row.site, row.scope, inventory, texts)),
                *(inventory.site_title(row.site).get(texts.language), row.by, row.reason),
                *(row.from_ms, row.until_ms, "/maintenance"),
            )
            for row in sorted(rows.maintenance.values(), key=lambda row: row.from_ms)
            if row.until_ms > now_ms
        ],
        "drill": [
            Still(
                *("drill", row.id, "", scope_text(row.site, row.scope, inventory, texts)),
                *(inventory.site_title(row.site).get(texts.language), row.leader, row.reason),
                *(row.from_ms, row.until_ms, f"/drills/{row.id}"),
            )
            for row in sorted(rows.drills.values(), key=lambda row: row.from_ms)
        ],
    }


def drill_banners(picture: Picture, inventory: Inventory, texts: Texts) -> list[Banner]:
    """Drills in force."""
    return [
        Banner(
            row.id,
            inventory.site_title(row.site).get(texts.language),
            scope_text(row.site, row.scope, inventory, texts),
            row.leader,
            row.reason,
            row.until_ms,
            row.ticked,
            row.expected,
        )
        for row in picture.standing.drills.values()
    ]


def window_banners(picture: Picture, inventory: Inventory, texts: Texts, now_ms: int) -> list[Banner]:
    """Windows of maintenance in force now."""
    return [
        Banner(
            row.id,
            inventory.site_title(row.site).get(texts.language),
            scope_text(row.site, row.scope, inventory, texts),
            row.by,
            row.reason,
            row.until_ms,
        )
        for row in picture.standing.windows(now_ms)
    ]


def subject_title(subject: str, inventory: Inventory, texts: Texts) -> str:
    """Device and point of a subject in the reader's words."""
    return node_title(subject, inventory, texts)


def scope_text(site: str, scope: list[str], inventory: Inventory, texts: Texts) -> str:
    """A scope in words: titles where a pattern is a device or point, else the pattern itself."""
    if "*" in scope:
        return texts("the whole site")
    shown = [p if "*" in p else subject_title(f"{site}/{p}", inventory, texts) for p in scope[:6]]
    more = f" +{len(scope) - 6}" if len(scope) > 6 else ""
    return ", ".join(shown) + more
