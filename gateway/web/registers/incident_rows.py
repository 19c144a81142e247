"""An incident in words: its clocks, its crews, and the timeline, which is worked out from the ledger's rows each time.

Nothing of the timeline is kept: what people did stands in the incident's history (audit chain), what alarms did in
their transitions, who was told in the messages, what was written in the control-room log.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from gateway.alarms.holds import FIRE
from gateway.control.protocol import AlarmView
from gateway.duty.log import LOG
from gateway.incidents.rows import CLOCKS, INCIDENT, Crew, Incident, is_met, missing, waits_for
from gateway.web.access import Refused
from gateway.web.alarm_cards import node_title
from gateway.web.context import Web
from gateway.web.decision import subject_title
from gateway.web.notices import Notice, notices_of
from gateway.web.registers.staff import people_names
from gateway.web.texts import Texts, msgid

RESPONSE = "response-late"
"""The rule of rules/packs/incident.yaml that speaks when a clock runs over."""
ALARMS = 200
"""Alarms of one incident that are told one by one."""
LOG_ROWS = 500
EARLIER_MS = 86_400_000
"""A fire that an agent kept for so long is still found by when it was recorded."""
_decode = msgspec.json.Decoder().decode


class Line(NamedTuple):
    """One line of the timeline. source: incident | alarm | notice | log."""

    at_ms: int
    source: str
    what: str
    who: str
    text: str


class ClockRow(NamedTuple):
    """A clock in words. state: met | late | waits | none (nobody is to come by it)."""

    clock: str
    due_ms: int
    state: str
    at_ms: int | None


class CrewRow(NamedTuple):
    """A station on its way. told: whether anybody there was sent a message."""

    site: str
    title: str
    people: list[str]
    distance_m: int | None
    called_ms: int | None
    answered_ms: int | None
    departed_ms: int | None
    arrived_ms: int | None
    is_own: bool


class IncidentRow(NamedTuple):
    """An incident in words."""

    row: Incident
    site: str
    what: str
    where: str
    clocks: list[ClockRow]
    crews: list[CrewRow]
    lacks: list[str]


class Story(NamedTuple):
    """An incident with everything that happened."""

    incident: IncidentRow
    alarms: list[AlarmView]
    lines: list[Line]
    notices: list[Notice]


def open_incidents(web: Web) -> list[Incident]:
    """Those that are open, real ones first, the latest first."""
    rows = [msgspec.convert(row, Incident) for row in web.picture.entries.get(INCIDENT.name, {}).values()]
    return sorted(rows, key=lambda row: (row.drill is not None, -row.id))


async def find_incident(web: Web, number: int) -> Incident:
    """One incident, open or closed. Raises Refused (404)."""
    found: Incident | None = await web.read(web.ledger.entry, INCIDENT, number)
    if found is None:
        raise Refused(404, msgid("There is no such incident."))
    return found


def incident_row(web: Web, row: Incident, names: dict[int, str], texts: Texts) -> IncidentRow:
    """An incident in words."""
    rule = web.all.inventory.rules.get(row.rule)
    crews = [row.own or Crew(site=row.site), *row.calls]
    return IncidentRow(
        row,
        web.all.inventory.site_title(row.site).get(texts.language),
        row.text or (rule.title.get(texts.language) if rule else row.rule),
        subject_title(row.subject, web.all.inventory, texts) if row.subject else "",
        [_clock(row, clock) for clock in CLOCKS],
        [_crew(web, row, crew, names, texts) for crew in crews],
        missing(row),
    )


def _clock(row: Incident, clock: str) -> ClockRow:
    times = {
        "station": [row.own.arrived_ms if row.own else None],
        "neighbours": [crew.arrived_ms for crew in row.calls],
        "brigade": [row.brigade_arrived_ms],
    }[clock]
    at_ms = min((at for at in times if at is not None), default=None)
    if clock in row.late:
        state = "late"
    elif at_ms is not None:
        state = "met"
    else:
        state = "waits" if waits_for(row, clock) and row.until_ms is None and not is_met(row, clock) else "none"
    return ClockRow(clock, row.due[clock], state, at_ms)


def _crew(web: Web, row: Incident, crew: Crew, names: dict[int, str], texts: Texts) -> CrewRow:
    return CrewRow(
        crew.site,
        web.all.inventory.site_title(crew.site).get(texts.language),
        [names.get(number, texts("No. %(n)s", n=number)) for number in crew.people],
        crew.distance_m,
        crew.called_ms,
        crew.answered_ms,
        crew.departed_ms,
        crew.arrived_ms,
        crew.site == row.site,
    )


async def story_of(web: Web, row: Incident, texts: Texts) -> Story:
    """The incident with its timeline, from the rows as they are now."""
    until_ms = row.until_ms if row.until_ms is not None else web.now_ms() + 1
    alarms = await _alarms(web, row, until_ms)
    names = await people_names(web)
    lines = [_step_line(web, each, texts) for each in await web.read(web.ledger.entry_history, INCIDENT.name, row.id)]
    notices: dict[int, Notice] = {}
    for alarm in alarms:
        lines += await _alarm_lines(web, alarm, texts)
        notices |= {notice.id: notice for notice in await notices_of(web, alarm.id, texts)}
    lines += [
        Line(
            notice.at_ms,
            "notice",
            texts("Told: %(kind)s", kind=texts.word("notice", notice.kind)),
            notice.person,
            _far(notice, texts),
        )
        for notice in notices.values()
    ]
    log = await web.read(
        web.ledger.entries, LOG, sites=(row.site,), from_ms=row.from_ms, until_ms=until_ms, limit=LOG_ROWS
    )
    lines += [Line(entry.from_ms, "log", texts("Control-room log"), entry.by, entry.text) for entry in log]
    lines.sort(key=lambda line: line.at_ms)
    return Story(incident_row(web, row, names, texts), alarms, lines, list(notices.values()))


async def _alarms(web: Web, row: Incident, until_ms: int) -> list[AlarmView]:
    """Its fires, and what spoke because somebody was late."""
    raised = await web.read(web.ledger.alarms_raised, row.from_ms - EARLIER_MS, until_ms, row.site)
    return [
        alarm
        for alarm in raised
        if (alarm.severity == FIRE or alarm.rule == RESPONSE)
        and alarm.drill == row.drill
        and (alarm.id == row.alarm or row.from_ms <= alarm.recorded_ms < until_ms)
    ][:ALARMS]


async def _alarm_lines(web: Web, alarm: AlarmView, texts: Texts) -> Iterable[Line]:
    rule = web.all.inventory.rules.get(alarm.rule)
    title = rule.title.get(texts.language) if rule else alarm.rule
    where = subject_title(alarm.subject, web.all.inventory, texts)
    return [
        Line(
            step.event_ms, "alarm", f"{title}: {texts.word('event', step.event)}", _who(step.actor), step.note or where
        )
        for step in await web.read(web.ledger.transitions, alarm.id)
    ]


def _who(actor: str) -> str:
    return "" if actor in ("rule", "gateway") else actor


def _far(notice: Notice, texts: Texts) -> str:
    said = texts.word("notice_state", notice.far)
    return f"{said}: {notice.error}" if notice.error else said


def _step_line(web: Web, step: Any, texts: Texts) -> Line:
    """A line of the incident's own history: what was done, with what it was about."""
    detail: dict[str, Any] = _decode(step.detail)
    verb = step.action.partition(".")[2]
    row: dict[str, Any] = detail.get("row", {})
    parts = []
    at_ms = step.at_ms
    if station := detail.get("station"):
        parts.append(web.all.inventory.site_title(station).get(texts.language))
        crew: dict[str, Any] = next(
            (c for c in [row.get("own") or {}, *row.get("calls", [])] if c.get("site") == station), {}
        )
        # What was written down afterwards stands where it happened.
        at_ms = (
            crew.get({"arrive": "arrived_ms", "depart": "departed_ms", "answer": "answered_ms"}.get(verb, "")) or at_ms
        )
    if clock := detail.get("clock"):
        parts.append(texts.word("incident_clock", clock))
        at_ms = row.get("due", {}).get(clock, at_ms)
    if how := detail.get("how"):
        parts.append(texts.word("incident_how", how))
    if what := detail.get("what"):
        parts.append(texts.word("incident_brigade", what))
        at_ms = row.get({"called": "brigade_called_ms", "arrived": "brigade_arrived_ms"}.get(what, "")) or at_ms
    if text := detail.get("text"):
        parts.append(text)
    if verb == "find":
        parts += [texts.word("finding", str(row.get("finding"))), str(row.get("found", ""))]
    if verb == "open":
        parts.append(
            row.get("text") or node_title("/".join(row.get("subject", "").split("/")[:2]), web.all.inventory, texts)
        )
    if verb == "close":
        parts.append(row.get("note", ""))
    return Line(at_ms, "incident", texts.word("incident_step", verb), _who(step.actor), " · ".join(filter(None, parts)))
