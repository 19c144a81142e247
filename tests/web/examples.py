"""Examples of everything a route can name: one in the reader's own area, one in an area that is not theirs.

A new route is covered by tests/web/test_matrix.py by itself. What it names must be known here:

- a path parameter stands in MAKERS (something that belongs to a site: made once for each of the two sites) or in
  ANYWHERE (it belongs to no area);
- a body that names something of a site stands in BODIES, a valid one; required query parameters stand in QUERIES.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fastapi.routing import APIRoute
from PIL import Image

from contract.messages import Batch, Reading
from gateway.app import Gateway
from gateway.control.protocol import Ask
from gateway.web.access import ANYONE, ROUTES
from gateway.web.app import APIS, PAGES
from gateway.web.board.plan_pictures import FOLDER, store_plan
from tests.gateway.harness import arrival, until
from tests.web.station import HOUR_MS, now_ms

OWN, FOREIGN = "shuiye", "zq7site"
MARK = "zq7mark"
"""Stands in every text of the foreign site: nobody of another area may read it anywhere."""
PHONE = "13800138000"
"""Of the people of both sites: nobody but an administrator reads it whole."""
GRID = f"""\
areas:
  - id: town
    kind: city
    title: {{zh: 城, en: Town}}
    areas:
      - {{id: west-side, kind: street, title: {{zh: 西街道, en: West side}}}}
      - id: east-side
        kind: street
        title: {{zh: {MARK} 东街道, en: {MARK} East side}}
        people: [{{name: {MARK} head, role: head}}]
        units: [{{id: {MARK}-market, kind: key, title: {{zh: {MARK} 市场, en: {MARK} Market}}, site: {FOREIGN}}}]
"""
SITE = """\
site: NAME
title: {zh: TITLE, en: TITLE}
area: AREA
location: {lat: LAT, lon: 114.1}
station:
  grade: 3
  crew: 2
  posts: [{id: room, title: {zh: TITLE 控制室, en: TITLE room}, crew: 1}]
  equipment: [{id: hoses, title: {zh: TITLE 水带, en: TITLE hoses}, kind: hose, count: 2}]
place: key_unit
patrols:
  - id: hall
    title: {zh: TITLE 大厅, en: TITLE hall}
    kind: patrol
    walk_s: 0
    stops: [{device: panel-01}, {id: exit, title: {zh: TITLE 出口, en: TITLE exit}}]
trainings: [{kind: unit_drill}]
agents:
  - id: edge1
    lines:
      - id: tcp1
        kind: modbus_tcp
        host: 192.0.2.1
        port: 1502
        devices:
          - {id: panel-01, profile: panel-modbus, unit_id: 2, points: 4, title: {zh: TITLE 主机, en: TITLE panel}}
"""
AREAS = {OWN: "west-side", FOREIGN: "east-side"}


class Known:
    """What there is of one site, made when it is first asked for."""

    def __init__(self, gateway: Gateway, site: str) -> None:
        self.gateway = gateway
        self.site = site
        self._made = {"site": site, "now": str(now_ms()), "later": str(now_ms() + HOUR_MS), "area": AREAS[site]}
        begin = datetime.now(ZoneInfo("Asia/Shanghai"))
        self._made |= {"begin": f"{begin:%Y-%m-%dT%H:%M}", "end": f"{begin + timedelta(hours=1):%Y-%m-%dT%H:%M}"}

    async def get(self, name: str) -> str:
        """The example that stands for a path parameter."""
        if name in ANYWHERE:
            return ANYWHERE[name]
        if name not in self._made:
            self._made[name] = str(await MAKERS[name](self))
        return self._made[name]

    async def fill(self, text: str) -> str:
        """A path (or a text of a body) with the examples in place of its names."""
        for name in names_in(text):
            text = text.replace(f"{{{name}}}", await self.get(name))
        return text

    async def fill_all(self, given: Any) -> Any:
        """A body with the examples in place of its names; `#{name}` gives a number."""
        if isinstance(given, dict):
            return {key: await self.fill_all(value) for key, value in given.items()}
        if isinstance(given, list):
            return [await self.fill_all(value) for value in given]
        if isinstance(given, str):
            made = await self.fill(given)
            return int(made[1:]) if made.startswith("#") else made
        return given

    async def ask(self, op: str, **args: Any) -> Any:
        """A command of a shell on the machine."""
        return await self.gateway.pipeline.ask(Ask(id=1, op=op, actor="local", args=args))

    @property
    def text(self) -> str:
        """A text of this site."""
        return f"{MARK if self.site == FOREIGN else self.site} text"


class Nothing(Known):
    """What there is of no site: names and numbers that nothing has."""

    async def get(self, name: str) -> str:
        """What nothing has."""
        if name in ("site", "area"):
            return "nowhere"
        return ANYWHERE.get(name) or self._made.get(name, "999999")


def names_in(path: str) -> list[str]:
    """Path parameters, in order."""
    return [part.partition("}")[0] for part in path.split("{")[1:]]


async def _alarm(known: Known) -> int:
    book, site = known.gateway.pipeline.working.book, known.site
    reading = Reading("panel-01/p001", now_ms(), "fire", "good")
    fire = Batch(
        site=site, agent="edge1", epoch="e1", lane="alarm", seq=1, oldest=1, sent_ms=now_ms(), readings=[reading]
    )
    assert known.gateway.pipeline.offer(arrival(fire, now_ms()))
    await until(lambda: any(a.site == site and a.severity == "fire" for a in book.open.values()))
    number = next(a.id for a in book.open.values() if a.site == site and a.severity == "fire")
    await known.ask("alarm.note", alarm_id=number, note=known.text)  # answers once it is durable
    return number


async def _incident(known: Known) -> int:
    await known.get("alarm_id")  # a fire opens it
    rows = known.gateway.pipeline.working.registers.incidents.sheet.rows
    await until(lambda: any(row.site == known.site for row in rows.values()))
    return next(row.id for row in rows.values() if row.site == known.site)


async def _hazard(known: Known) -> int:
    return int((await known.ask("hazard.report", site=known.site, text=known.text, place=known.text))["id"])


async def _person(known: Known) -> int:
    made = await known.ask("person.add", site=known.site, name=known.text, phone=PHONE, roles=["attendant"])
    return int(made["id"])


async def _check(known: Known) -> int:
    return int((await known.ask("duty.ask", site=known.site, origin="station", minutes=200))["id"])


async def _handover(known: Known) -> int:
    person = int(await known.get("person_id"))
    await known.ask("shift.sign_on", site=known.site, post="room", person=person, proof="pin", takes_over=True)
    row = known.gateway.pipeline.working.registers.shifts.handover(known.site)
    assert row is not None
    return row.id


async def _round(known: Known) -> int:
    return int((await known.ask("round.start", site=known.site, plan="hall"))["id"])


async def _drill(known: Known) -> int:
    args = {"site": known.site, "scope": ["panel-01/p003"], "until_ms": now_ms() + HOUR_MS, "reason": known.text}
    return int((await known.ask("drill.open", **args))["id"])


async def _window(known: Known) -> int:
    args = {"site": known.site, "scope": ["panel-01/p004"], "from_ms": now_ms(), "until_ms": now_ms() + HOUR_MS}
    return int((await known.ask("maintenance.open", **args, reason=known.text))["id"])


async def _risk(known: Known) -> int:
    args = {"site": known.site, "rule": "crew-absent", "subject": f"{known.site}/panel-01/p002", "reason": known.text}
    return int((await known.ask("risk.accept", **args, until_ms=now_ms() + 24 * HOUR_MS))["id"])


async def _refused(known: Known) -> int:
    bad = arrival(Batch(site=known.site, agent="edge1", epoch="e1", lane="telemetry", seq=9, oldest=1, sent_ms=0,
                        readings=[]), now_ms())  # fmt: skip
    known.gateway.pipeline.offer(bad._replace(payload=b"not json " + known.text.encode()))
    rows = known.gateway.pipeline.working.quarantine
    await until(lambda: any(source.startswith(known.site) for source, _ in rows))
    await known.ask("sign_in.failed", name="nobody")  # answers once what came before is durable
    return next(number for (source, _), number in rows.items() if source.startswith(known.site))


async def _order(known: Known) -> int:
    args = {"site": known.site, "subject": f"{known.site}/panel-01", "title": known.text, "place": known.text}
    return int((await known.ask("order.open", **args))["id"])


async def _same(value: str) -> str:
    return value


async def _plan(known: Known) -> int:
    kept = store_plan(known.gateway.pipeline._store.path.parent / FOLDER, photo())
    args = {"title": known.text, "picture": kept.name, "width": kept.width, "height": kept.height}
    return int((await known.ask("floor_plan.add", site=known.site, **args))["id"])


MAKERS: dict[str, Callable[[Known], Awaitable[Any]]] = {
    "alarm_id": _alarm,
    "check_id": _check,
    "device": lambda _: _same("panel-01"),
    "drill_id": _drill,
    "hazard_id": _hazard,
    "incident_id": _incident,
    "item": lambda _: _same("hoses"),
    "number": _handover,
    "order_id": _order,
    "person_id": _person,
    "plan_id": _plan,
    "refused_id": _refused,
    "risk_id": _risk,
    "round_id": _round,
    "line": lambda _: _same("tcp1"),
    "site": lambda known: _same(known.site),
    "spot": lambda _: _same("exit"),
    "window_id": _window,
}
"""Path parameter -> makes an example of this site and gives what stands in the path."""
ANYWHERE = {
    "act": "enable",
    "name": "nobody-of-this-name",
    "wall_id": "0" * 16,
    "backup_id": "1",
    "version_id": "1",
    "channel": "screen",
    "person": "nobody",
    "code": "0" * 32,
    "kind": "csv",
    "mark": "19ad1f2c400.Jv3kQ0cW8sYb1_xZ",
    "post": "room",
    "profile_id": "water-level",
    "rule_id": "panel-fire",
    "token": "0" * 24,
}
"""Path parameter -> an example, of what belongs to no area (or is a secret that stands for itself)."""
ENDLESS = frozenset({"/api/v1/stream"})
"""Answers that never end: asked by tests of their own."""
LAST = frozenset({"/sign-out"})
"""What ends the session that asks."""
_EXPORT = "an export is there for whoever asked for it alone, under a number nobody can guess (test_records.py)"
FREE = {
    "/admin/sites/{site}/versions/{version_id}/file": "versions are looked at by administrators of everything alone",
    **{f"{at}/exports/{{job_id}}{end}": _EXPORT for at in ("/records", "/api/v1") for end in ("", "/file", "/drop")},
    "/admin/backups/{backup_id}/file": "a backup is of the whole installation; there is none here",
    "/photos/{name}": "a photo is found by the hash of what is in it, which nobody can guess",
    "/account/sessions/{session_id}/end": "one's own sessions; whatever is not among them is not there",
}
"""Paths whose objects belong to no area, and why that is right."""
NAMES_SITES = frozenset(
    {"site", "subject", "alarm_id", "station", "point", "device", "person", "people", "cells", "plan", "check"}
)
"""Fields of a body that name something of a site; a route that takes one stands in BODIES."""


def photo() -> bytes:
    """A small photo."""
    made = io.BytesIO()
    Image.new("RGB", (8, 8)).save(made, "PNG")
    return made.getvalue()


_ALARM = {"note": ""}
_STEP = {"step": "confirm"}
_FIX = {"step": "fix", "note": "done"}
_OUT = {"subject": "{site}/panel-01", "reason": "broken"}
_ACTS = (("note", {"note": "seen"}), ("assign", {"person": "duty"}), ("find", {"finding": "real"}))
_SPOTS = (("place", {"at": "panel-01", "x": 5000, "y": 5000}), ("unplace", {"at": "panel-01"}))
_PERSON = {"site": "{site}", "name": "Somebody"}

BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/devices/approve"): {"site": "{site}", "device": "new-01", "profile": "water-level", "title_zh": "新",
                                   "title_en": "New"},
    ("POST", "/alarms/acknowledge"): {"alarm_id": "{alarm_id}"},
    **{("POST", f"{at}/alarms/{{alarm_id}}/{act}"): body for at in ("", "/api/v1") for act, body in _ACTS},
    ("POST", "/alarms/{alarm_id}/advice"): {"step": "0", "done": "true"},
    ("POST", "/map/plans"): {"site": "{site}", "title": "floor"},
    ("POST", "/map/plans/{plan_id}"): {"title": "floor"},
    **{("POST", f"/map/plans/{{plan_id}}/{act}"): spot for act, spot in _SPOTS},
    ("POST", "/sound-check"): {"site": "{site}", "heard": "true"},
    ("POST", "/alarms/{alarm_id}/shelve"): {"reason": "dust", "minutes": "30"},
    ("POST", "/service/take-out"): _OUT,
    ("POST", "/service/return"): {"subject": "{site}/panel-01"},
    ("POST", "/drills"): {"site": "{site}", "reason": "test", "hours": "1", "scope": "panel-01"},
    ("POST", "/maintenance"): {"site": "{site}", "reason": "test", "begin": "{begin}", "end": "{end}",
                               "scope": "panel-01"},
    ("POST", "/devices/{site}/{device}/work"): {"work": "inspection", "note": "looked"},
    ("POST", "/duty/{check_id}/answer"): {"onward": "/"},
    ("POST", "/station/{site}/risks"): {"rule": "panel-fire", "subject": "{site}/panel-01/p001", "days": "1",
                                        "reason": "known"},
    ("POST", "/shift/sign-on"): {"site": "{site}", "post": "room"},
    ("POST", "/shift/sign-off"): {"site": "{site}"},
    ("POST", "/shift/sign"): {"site": "{site}", "side": "new", "seen": "0"},
    ("POST", "/shift/log"): {"site": "{site}", "text": "seen"},
    ("POST", "/equipment/{site}/{item}"): {"count": "2", "result": "ok"},
    ("POST", "/incidents"): {"site": "{site}", "text": "smoke"},
    ("POST", "/incidents/{incident_id}/steps"): _STEP,
    ("POST", "/patrols/start"): {"site": "{site}", "plan": "hall"},
    ("POST", "/patrols/rounds/{round_id}/tick"): {"spot": "exit", "proof": "AAAA-AAAA", "a0": "ok"},
    ("POST", "/patrols/rounds/{round_id}/judge"): {"verdict": "accept", "note": "right"},
    ("POST", "/training"): {"plan": "{site} unit_drill", "held": "2026-01-01T00:01", "count": "3"},
    ("POST", "/hazards"): {"site": "{site}", "text": "blocked"},
    ("POST", "/records/exports"): {"kind": "alarms", "file": "csv", "site": "{site}"},
    ("POST", "/api/v1/exports"): {"kind": "alarms", "file": "csv", "site": "{site}"},
    ("POST", "/hazards/{hazard_id}/steps"): _FIX,
    ("POST", "/upkeep/orders"): {"site": "{site}", "title": "mend it"},
    ("POST", "/upkeep/orders/{order_id}/steps"): {"step": "note", "note": "seen"},
    ("POST", "/api/v1/orders"): {"site": "{site}", "title": "mend it"},
    ("POST", "/api/v1/orders/{order_id}/steps"): {"step": "note", "note": "seen"},
    ("POST", "/upkeep/lab"): {"rule": "panel-fault", "for_s": "77", "days": "1", "site": "{site}"},
    ("POST", "/upkeep/quarantine/forget"): {"device": "{site}/new-02"},
    ("POST", "/upkeep/quarantine/approve"): {"device": "{site}/new-02", "profile:{site}/new-02": "water-level",
                                             "title_zh:{site}/new-02": "新", "title_en:{site}/new-02": "New"},
    ("POST", "/upkeep/quarantine/dismiss"): {"row": "{refused_id}"},
    ("POST", "/upkeep/lines/{site}/{line}/reports"): {},
    ("POST", "/api/v1/lines/{site}/{line}/reports"): {
        "counts": {"asked": 9, "answered": 9, "timeouts": 0}, "units": [], "timeout_s": 0.5, "findings": [],
    },
    ("POST", "/people"): {"site": "{site}", "name": "Somebody"},
    ("POST", "/people/{person_id}"): {"site": "{site}", "name": "Somebody else"},
    ("POST", "/people/{person_id}/erase"): {"sure": "yes"},
    ("POST", "/people/{person_id}/pin"): {"pin": ""},
    ("POST", "/roster"): {"site": "{site}"},
    ("POST", "/api/v1/alarms/{alarm_id}/acknowledge"): _ALARM,
    **{("POST", f"/api/v1/floor-plans/{{plan_id}}/{act}"): spot for act, spot in _SPOTS},
    ("POST", "/api/v1/alarms/{alarm_id}/advice"): {"step": 0},
    ("POST", "/api/v1/alarms/{alarm_id}/shelve"): {"until_ms": "#{later}", "reason": "dust"},
    ("POST", "/api/v1/alarms/{alarm_id}/unshelve"): _ALARM,
    ("POST", "/api/v1/service/take-out"): _OUT,
    ("POST", "/api/v1/service/return"): {"subject": "{site}/panel-01"},
    ("POST", "/api/v1/drills"): {"site": "{site}", "scope": ["panel-01"], "until_ms": "#{later}", "reason": "test"},
    ("POST", "/api/v1/drills/{drill_id}/close"): _ALARM,
    ("POST", "/api/v1/maintenance"): {"site": "{site}", "scope": ["panel-01"], "from_ms": "#{now}",
                                      "until_ms": "#{later}", "reason": "test"},
    ("POST", "/api/v1/maintenance/{window_id}/close"): _ALARM,
    ("POST", "/api/v1/devices/{site}/{device}/work"): {"work": "inspection", "note": "looked"},
    ("POST", "/api/v1/devices/{site}/{device}/duty-check"): {"minutes": 5},
    ("POST", "/api/v1/readiness/{site}/risks"): {"rule": "panel-fire", "subject": "{site}/panel-01/p001",
                                                 "reason": "known", "until_ms": "#{later}"},
    ("POST", "/api/v1/equipment/{site}/{item}/tick"): {"count": 2, "result": "ok"},
    ("POST", "/api/v1/shifts/{site}/log"): {"text": "seen"},
    ("POST", "/api/v1/shifts/{site}/sign-on"): {"post": "room"},
    ("POST", "/api/v1/shifts/{site}/sign-off"): {},
    ("POST", "/api/v1/shifts/{site}/sign"): {"side": "new", "seen": "0"},
    ("POST", "/api/v1/people"): _PERSON,
    ("PUT", "/api/v1/people/{person_id}"): _PERSON,
    ("POST", "/api/v1/people/{person_id}/leave"): {},
    ("POST", "/api/v1/people/{person_id}/pin"): {},
    ("POST", "/api/v1/roster"): {"cells": [{"site": "{site}", "day": "2090-01-01", "shift": "08:00", "post": "room",
                                            "people": []}]},
    ("POST", "/api/v1/incidents"): {"site": "{site}", "text": "smoke"},
    ("POST", "/api/v1/incidents/{incident_id}/steps"): _STEP,
    ("POST", "/api/v1/patrols/rounds"): {"site": "{site}", "plan": "hall"},
    ("POST", "/api/v1/patrols/rounds/{round_id}/tick"): {"spot": "exit", "proof": "AAAA-AAAA", "answers": ["ok"]},
    ("POST", "/api/v1/patrols/rounds/{round_id}/finish"): {},
    ("POST", "/api/v1/patrols/rounds/{round_id}/judge"): {"accept": True, "note": "right"},
    ("POST", "/api/v1/trainings"): {"site": "{site}", "plan": "unit_drill", "held_ms": "#{now}", "count": 3},
    ("POST", "/api/v1/hazards"): {"site": "{site}", "text": "blocked"},
    ("POST", "/api/v1/hazards/{hazard_id}/steps"): _FIX,
}  # fmt: skip
"""(method, path) -> a valid body, as a form (pages) or JSON (API)."""
TABLES = {
    path: "name,site\nSomebody,{site}\n" if "people" in path else "site,date,shift,post,people\n"
    for path in ("/people/import", "/api/v1/people/import", "/roster/import", "/api/v1/roster/import")
}
"""Paths that take a table: one with a line of the site."""
QUERIES: dict[str, dict[str, str]] = {
    "/api/v1/charts": {"point": "{site}/panel-01/p001", "from_ms": "{now}", "to_ms": "{later}"},
    "/api/v1/history": {"point": "{site}/panel-01/p001", "from_ms": "{now}", "to_ms": "{later}"},
    "/api/v1/patrols/completion": {"month": "2026-01"},
    "/api/v1/hazard-counts": {"from_ms": "0", "until_ms": "{later}"},
}
"""Path of a GET -> the query it cannot be asked without."""
NARROWING = {"site": "{site}", "area": "{area}", "unit": "{site}"}
"""Query parameters that narrow a list: they are given what belongs to the site."""
TELLS_NEIGHBOURS = {"/incidents/{incident_id}": "a station of another area may be called to a fire"}
"""Pages that name sites of other areas on purpose, and why."""
SAME_AS_NONE = {"/shift/answer/{check_id}": "a check that is over leads to the shift; so does one of another area"}
"""Pages that answer something else than 404, the same as for what never was."""


def site_text(site: str) -> str:
    """The site file of one of the two sites."""
    title, lat = (MARK, "36.4") if site == FOREIGN else ("水冶", "36.1")
    return SITE.replace("NAME", site).replace("TITLE", title).replace("AREA", AREAS[site]).replace("LAT", lat)


def every_route() -> list[tuple[str, APIRoute]]:
    """(method, route) of all pages and the API, in the order of the table."""
    found = {
        (method, route.path): route
        for router in (*PAGES, *APIS)
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    return [(method, found[method, path]) for method, path in ROUTES if path not in ENDLESS | LAST]


def fields_of(route: APIRoute) -> set[str]:
    """Names of everything a route takes in its body."""
    found: set[str] = set()
    for field in route.dependant.body_params:
        inner = getattr(field.field_info.annotation, "model_fields", None)
        found |= set(inner) if inner is not None else {field.name}
    return found


def lacking(route: APIRoute, method: str) -> str | None:
    """What must be added here before the matrix can ask a route; None when nothing is."""
    if ROUTES[method, route.path] is ANYONE:
        return None
    for name in names_in(route.path):
        if route.path not in FREE and name not in MAKERS and name not in ANYWHERE:
            return f"{route.path}: add {name!r} to MAKERS (of a site) or ANYWHERE (of no area) in tests/web/examples.py"
    if method in ("POST", "PUT", "PATCH"):
        named = fields_of(route) & NAMES_SITES
        if named and (method, route.path) not in BODIES:
            return f"{method} {route.path}: takes {sorted(named)}; add a valid body to BODIES in tests/web/examples.py"
    wanted = {q.alias for q in route.dependant.query_params if q.field_info.is_required()}
    if method == "GET" and wanted - set(QUERIES.get(route.path, {})):
        return f"{route.path}: needs the query {sorted(wanted)}; add it to QUERIES in tests/web/examples.py"
    return None
