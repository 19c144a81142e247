"""The rule lab: a proposed change on the stored history, and what it would have made of the alarms, drawn."""

from __future__ import annotations

import re
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, File, Form, Query, UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from contract.topics import is_ident
from gateway.web.access import Refused
from gateway.web.alarm_cards import SEVERITIES
from gateway.web.context import Web, person_of, web_of
from gateway.web.decision import subject_title
from gateway.web.render import page
from gateway.web.texts import Texts, msgid
from gateway.web.upkeep.lab_desk import ERRORS
from rules.model import Rule

router = APIRouter()
DAYS = (1, 7, 30, 90)
DAY_MS = 86_400_000
PACK_BYTES = 256 * 1024
WIDTH = 900
LIMITS = (
    "for_s",
    "clear_for_s",
    "after_s",
    "below",
    "above",
    "clear",
    "at_least",
    "within_s",
    "window_s",
    "longer_than_s",
)
"""What may be changed of a rule (contract.equipment.Limits)."""
_PACK = re.compile(r"^pack:\s*([a-z0-9_-]{1,40})\s*$", re.MULTILINE)


class Bar(NamedTuple):
    """When an alarm stood, in units of the drawing."""

    x: float
    width: float
    told: str


class DeviceRow(NamedTuple):
    """Both runs of one device."""

    key: str
    title: str
    before: list[Bar]
    after: list[Bar]
    kinds: dict[str, int]


@router.get("/upkeep/lab")
async def lab(request: Request, rule: Annotated[str, Query(max_length=60)] = "") -> Response:
    """Choose what to change, and see what was compared lately."""
    web, texts, who = web_of(request), web_of(request).texts(request), person_of(request)
    chosen = web.inventory.rules.get(rule)
    rules = sorted(
        web.inventory.rules.values(), key=lambda r: (SEVERITIES.index(r.severity), r.title.get(texts.language))
    )
    return page(
        request,
        "upkeep/lab.html",
        rules=[(each.id, each.title.get(texts.language), each.severity) for each in rules],
        chosen=chosen,
        title=chosen.title.get(texts.language) if chosen else "",
        fields=list(changeable(chosen).items()) if chosen else [],
        sites=[(key, web.inventory.site_title(key).get(texts.language)) for key in web.inventory.sites],
        days=DAYS,
        is_open=web.lab.is_open,
        latest=web.lab.latest(who.name, web.sites_of(who)),
    )


@router.post("/upkeep/lab")
async def compare(
    request: Request,
    rule: Annotated[str, Form(max_length=60)] = "",
    days: Annotated[int, Form()] = 7,
    site: Annotated[str, Form(max_length=60)] = "",
    pack: Annotated[UploadFile | None, File()] = None,
) -> Response:
    """Begin a comparison."""
    web, form = web_of(request), await request.form()
    if site and site not in web.inventory.sites:
        raise Refused(404, msgid("There is no such site."))
    asked: dict[str, Any] = {"until_ms": web.now_ms(), "from_ms": web.now_ms() - (days if days in DAYS else 7) * DAY_MS}
    if pack is not None and pack.filename:
        asked |= await _pack(pack)
    else:
        known = web.inventory.rules.get(rule)
        if known is None:
            raise Refused(404, msgid("There is no such rule."))
        asked |= {"rule": rule, "limits": _limits(known, {name: str(form.get(name) or "") for name in LIMITS})}
    whole = web.sites_of(person_of(request))
    sites = frozenset({site}) if site else None if whole is None else frozenset(web.inventory.sites)
    made = web.lab.start(person_of(request).name, sites, web.now_ms(), **asked)
    return RedirectResponse(f"/upkeep/lab/{made.token}", 303)


@router.get("/upkeep/lab/{token}")
async def comparison(request: Request, token: str) -> Response:
    """How far it is; then what it found, drawn device by device."""
    web, texts = web_of(request), web_of(request).texts(request)
    who = person_of(request)
    found = web.lab.find(token, who.name, web.sites_of(who))
    known = web.inventory.rules.get(found.job.rule)
    now = changeable(known) if known else {}
    span = found.job.from_ms, found.job.until_ms
    return page(
        request,
        "upkeep/lab_result.html",
        fragment="upkeep/_lab_result.html",
        found=found,
        is_known_error=found.error in ERRORS,
        rule=known,
        title=known.title.get(texts.language) if known else found.job.pack_name,
        changed=[(name, now.get(name), value) for name, value in found.job.limits.items()],
        devices=[_row(web, device, span, texts) for device in found.result.get("devices", ())],
        differences=[
            {**change, "where": subject_title(change["subject"], web.inventory, texts),
             "rule_title": _title(web, change["rule"], texts)}
            for change in found.result.get("changes", ())[:100]
        ],
        rules=[{**each, "title": _title(web, each["rule"], texts)} for each in found.result.get("rules", ())],
        yaml=_yaml(found.job.rule, found.job.limits),
        from_ms=span[0],
        until_ms=span[1],
    )  # fmt: skip


def changeable(rule: Rule) -> dict[str, float | None]:
    """Limits of a rule that can be changed, with what they are now: durations, and those that one condition has."""
    found: dict[str, float | None] = {"for_s": rule.for_s, "clear_for_s": rule.clear_for_s}
    leaves = list(rule.leaves())
    for name in LIMITS[2:]:
        values = [value for leaf in leaves if (value := getattr(leaf, name, None)) is not None]
        if len(values) == 1:
            found[name] = values[0]
    return found


def _limits(rule: Rule, given: dict[str, str]) -> dict[str, float]:
    """What was changed, as numbers. Raises Refused."""
    now, found = changeable(rule), {}
    for name, text in given.items():
        if name not in now or not text.strip():
            continue
        try:
            value = float(text)
        except ValueError as exc:
            raise Refused(422, msgid("A limit is a number. Check what you entered.")) from exc
        if abs(value) > 1e12 or value != value:
            raise Refused(422, msgid("A limit is a number. Check what you entered."))
        if value != now[name]:
            found[name] = int(value) if name == "at_least" else value
    if not found:
        raise Refused(422, msgid("Nothing was changed: there is nothing to compare."))
    return found


async def _pack(upload: UploadFile) -> dict[str, Any]:
    data = await upload.read(PACK_BYTES + 1)
    if len(data) > PACK_BYTES:
        raise Refused(413, msgid("The pack is too large: 256 KiB at most."))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise Refused(422, msgid("This is no pack of rules: want YAML text with `pack:` and `rules:`.")) from exc
    name = _PACK.search(text)
    if name is None or not is_ident(name[1]):
        raise Refused(422, msgid("This is no pack of rules: want YAML text with `pack:` and `rules:`."))
    return {"pack": text, "pack_name": name[1]}


def _row(web: Web, device: dict[str, Any], span: tuple[int, int], texts: Texts) -> DeviceRow:
    key = str(device["device"])
    bars = [[_bar(each, span, texts) for each in device[name]] for name in ("before", "after")]
    return DeviceRow(key, subject_title(key, web.inventory, texts), bars[0], bars[1], device["kinds"])


def _bar(stood: list[Any], span: tuple[int, int], texts: Texts) -> Bar:
    scale = WIDTH / max(1, span[1] - span[0])
    end_ms = span[1] if stood[1] is None else min(stood[1], span[1])
    x = max(0.0, (stood[0] - span[0]) * scale)
    return Bar(
        round(x, 1), round(max(2.0, (end_ms - stood[0]) * scale), 1), f"{texts.stamp(stood[0])} – {texts.stamp(end_ms)}"
    )


def _title(web: Web, rule: str, texts: Texts) -> str:
    known = web.inventory.rules.get(rule)
    return known.title.get(texts.language) if known else rule


def _yaml(rule: str, limits: dict[str, Any]) -> str:
    """What to write into the configuration to have it so."""
    inner = ", ".join(f"{name}: {value:g}" for name, value in limits.items())
    return f"gateway:\n  rule_overrides:\n    {rule}: {{{inner}}}" if limits else ""
