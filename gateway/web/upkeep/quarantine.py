"""Quarantine: devices that report and stand in no site file, and messages nobody could take. Looked at, let in, thrown
out, also many at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from contract.messages import Value
from contract.profile import BUILT_IN, Profile
from contract.topics import is_ident
from contract.units import unit_of
from gateway.control.client import ControlError
from gateway.ledger.records import QuarantineRow, UnknownDevice
from gateway.web.access import Refused
from gateway.web.context import Web, person_of, web_of
from gateway.web.render import page
from gateway.web.texts import Texts, msgid

router = APIRouter()
SAMPLES = 40
"""Readings of an unknown device that are looked at; the latest of each point is shown."""
MOST = 200
"""Rows that may be chosen at once."""
HEX_BYTES = 256
Chosen = Annotated[list[str], Form(max_length=MOST)]


class Sample(NamedTuple):
    """The latest reading of a point of an unknown device, in words."""

    point: str
    title: str
    text: str
    unit: str
    observed_ms: int
    quality: str


class Stranger(NamedTuple):
    """An unknown device. profiles: (id, title, share of its points the profile knows, 0..100), the best first."""

    row: UnknownDevice
    samples: list[Sample]
    profiles: list[tuple[str, str, int]]

    @property
    def key(self) -> str:
        """site/device"""
        return f"{self.row.site}/{self.row.device}"


class Refusal(NamedTuple):
    """A refused message. shown: its sample as text; form: json | text | hex."""

    row: QuarantineRow
    shown: str
    form: str


@router.get("/upkeep/quarantine")
async def quarantine(request: Request, done: int = 0, left: int = 0) -> Response:
    """What waits to be let in or thrown out. done, left: how the last choice went."""
    web, texts = web_of(request), web_of(request).texts(request)
    unknown = await web.read(web.ledger.unknown_devices)
    return page(
        request,
        "upkeep/quarantine.html",
        strangers=[await _stranger(web, row, texts) for row in unknown],
        refused=[refusal(row) for row in await web.read(web.ledger.quarantine)],
        site_titles={key: web.inventory.site_title(key).get(texts.language) for key in web.inventory.sites},
        done=done,
        left=left,
    )


@router.post("/upkeep/quarantine/approve")
async def approve(request: Request, device: Chosen = []) -> Response:  # noqa: B006  # FastAPI copies defaults
    """Let the chosen devices in, each with the profile and the names beside it."""
    web, form = web_of(request), await request.form()
    if not device:
        raise Refused(422, msgid("Choose at least one row."))
    asked = []
    for key in dict.fromkeys(device):
        site, _, name = key.partition("/")
        texts_of = {
            field: str(form.get(f"{field}:{key}") or "").strip() for field in ("profile", "title_zh", "title_en")
        }
        if not is_ident(site) or not is_ident(name) or not all(1 <= len(text) <= 80 for text in texts_of.values()):
            raise Refused(422, msgid("Give every chosen device a profile and both names."))
        asked.append({"site": site, "device": name, **texts_of})
    done, left = await _each(web, person_of(request).name, "device.approve", asked)
    for args in asked:
        web.all.picture.unknown_devices.pop((args["site"], args["device"]), None)
    await web.refresh_approvals(anew=True)
    return RedirectResponse(f"/upkeep/quarantine?done={done}&left={left}", 303)


@router.post("/upkeep/quarantine/forget")
async def forget(request: Request, device: Chosen = []) -> Response:  # noqa: B006  # FastAPI copies defaults
    """Throw away what the chosen devices said; one that speaks again is here again."""
    web = web_of(request)
    if not device:
        raise Refused(422, msgid("Choose at least one row."))
    asked = [{"site": key.partition("/")[0], "device": key.partition("/")[2]} for key in dict.fromkeys(device)]
    done, left = await _each(web, person_of(request).name, "device.forget", asked)
    return RedirectResponse(f"/upkeep/quarantine?done={done}&left={left}", 303)


@router.post("/upkeep/quarantine/dismiss")
async def dismiss(request: Request, row: Annotated[list[int], Form(max_length=MOST)] = []) -> Response:  # noqa: B006  # FastAPI copies defaults
    """Take the chosen refused messages off the list; they stay in the audit trail."""
    web = web_of(request)
    if not row:
        raise Refused(422, msgid("Choose at least one row."))
    mine = {each.id for each in await web.read(web.ledger.quarantine)}
    if not mine.intersection(row):
        raise Refused(404, msgid("These messages are not there any more."))
    asked = [{"id": each} for each in dict.fromkeys(row) if each in mine]
    done, left = await _each(web, person_of(request).name, "quarantine.dismiss", asked)
    return RedirectResponse(f"/upkeep/quarantine?done={done}&left={left}", 303)


async def _each(web: Web, who: str, op: str, asked: list[dict[str, Any]]) -> tuple[int, int]:
    """Give one command a row; (how many were taken, how many not). Raises ControlError when none was."""
    refused: list[ControlError] = []
    for args in asked:
        try:
            await web.link.ask(op, who, **args)
        except ControlError as exc:
            refused.append(exc)
    if len(refused) == len(asked):
        raise refused[0]
    return len(asked) - len(refused), len(refused)


async def _stranger(web: Web, row: UnknownDevice, texts: Texts) -> Stranger:
    kept = await web.read(web.ledger.unknown_readings, row.site, row.device, SAMPLES)
    latest: dict[str, Any] = {}
    for reading in kept:
        latest.setdefault(reading.point.rpartition("/")[2], reading)
    profiles = suggest(latest, web.inventory.library, texts)
    best = web.inventory.library[profiles[0][0]] if profiles and profiles[0][2] else None
    samples = [
        _sample(name, reading.value, reading.observed_ms, reading.quality, best, texts)
        for name, reading in sorted(latest.items())
    ]
    return Stranger(row, samples, profiles)


def suggest(points: Iterable[str], library: Iterable[Profile], texts: Texts) -> list[tuple[str, str, int]]:
    """(profile, title, share of these points it knows, 0..100): the best first, then those with fewer others."""
    names = [name for name in points if name not in BUILT_IN]
    found = []
    for profile in library:
        known = sum(profile.point(name) is not None for name in names)
        share = round(100 * known / len(names)) if names else 0
        found.append((-share, len(profile.points_for(None)), profile.id, profile.title.get(texts.language)))
    return [(profile_id, title, -share) for share, _, profile_id, title in sorted(found)]


def _sample(name: str, value: Value, at_ms: int, quality: str, profile: Profile | None, texts: Texts) -> Sample:
    point = profile.point(name) if profile else None
    unit = unit_of(name)
    title = point.title.get(texts.language) if point else ""
    return Sample(name, title, texts.value(point, value), unit.symbol if unit else "", at_ms, texts.quality(quality))


def refusal(row: QuarantineRow) -> Refusal:
    """A refused message made readable: JSON with its lines, text as it is, anything else as hex."""
    try:
        text = row.sample.decode("utf-8")
    except UnicodeDecodeError:
        return Refusal(row, row.sample[:HEX_BYTES].hex(" "), "hex")
    try:
        return Refusal(row, json.dumps(json.loads(text), ensure_ascii=False, indent=1), "json")
    except (ValueError, RecursionError):
        return Refusal(row, text, "text" if text.isprintable() or "\n" in text else "hex")
