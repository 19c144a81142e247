"""Labels of devices: the sheets to print, and the page that a label opens for anybody."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import segno
from fastapi import APIRouter, Form
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.web import commands, views
from gateway.web.access import Refused
from gateway.web.context import Web, person_of, web_of
from gateway.web.inventory import Device
from gateway.web.records.record_pages import find
from gateway.web.records.search import states
from gateway.web.render import page
from gateway.web.texts import Texts, msgid
from gateway.work.device_labels import LABEL, MOST_DAYS, DeviceLabel, is_token, number_of, token_of

router = APIRouter()
DAYS = (30, 365, MOST_DAYS - 1)
TOKEN_CHARS = 60
LOOKED_AT = ("inspection", "maintenance", "test")
"""Kinds of work that count as having looked at a device."""
Days = Annotated[int, Form(ge=1, le=MOST_DAYS)]


class Printed(NamedTuple):
    """A label on a sheet."""

    label: DeviceLabel
    zh: str
    en: str
    place: str
    qr: Markup


@router.get("/records/labels/{site}")
async def site_labels(request: Request, site: str) -> Response:
    """The labels of a site's devices, to print."""
    web, texts = web_of(request), web_of(request).texts(request)
    await web.refresh_approvals()
    if site not in web.inventory.sites:
        raise Refused(404, msgid("There is no such site."))
    devices = [device for device in web.inventory.devices.values() if device.site == site]
    return await _sheet(request, devices, web.inventory.site_title(site).get(texts.language), f"/records/labels/{site}")


@router.post("/records/labels/{site}")
async def issue_all(request: Request, site: str, days: Days = 365) -> Response:
    """Make a label for every device of a site that has none."""
    web = web_of(request)
    await web.refresh_approvals()
    devices = [device.id for device in web.inventory.devices.values() if device.site == site]
    if site not in web.inventory.sites or not devices:
        raise Refused(404, msgid("There is no such site."))
    await commands.do(web, person_of(request), "label.issue", site=site, devices=devices, days=days)
    return RedirectResponse(f"/records/labels/{site}", 303)


@router.get("/records/{site}/{device}/label")
async def device_label(request: Request, site: str, device: str) -> Response:
    """The label of a device, to print."""
    web, texts = web_of(request), web_of(request).texts(request)
    known = await find(web, site, device)
    return await _sheet(request, [known], known.title.get(texts.language), f"/records/{known.key}/label")


@router.post("/records/{site}/{device}/label")
async def issue(request: Request, site: str, device: str, days: Days = 365) -> Response:
    """Make a label for a device; one that holds already stays."""
    web = web_of(request)
    known = await find(web, site, device)
    await commands.do(web, person_of(request), "label.issue", site=known.site, devices=[known.id], days=days)
    return RedirectResponse(f"/records/{known.key}/label", 303)


@router.post("/records/{site}/{device}/label/revoke")
async def revoke(request: Request, site: str, device: str, note: Annotated[str, Form(max_length=500)] = "") -> Response:
    """What hangs there opens nothing any more; a new one may be made."""
    web = web_of(request)
    known = await find(web, site, device)
    row = (await _labels(web, known.site)).get(known.id)
    if row is None:
        raise Refused(404, msgid("This device has no label that holds."))
    await commands.do(web, person_of(request), "label.revoke", id=row.id, note=note.strip())
    return RedirectResponse(f"/records/{known.key}/label", 303)


@router.get("/l/{token}")
async def scanned(request: Request, token: str) -> Response:
    """What a label opens: who the device is, how it is now, when it was last looked at. No account."""
    web = web_of(request)
    if not web.labels.allows(request.client.host if request.client else ""):
        raise Refused(429, msgid("Too many requests from this address. Wait a minute."))
    number = number_of(token) if len(token) <= TOKEN_CHARS else None
    row = await web.read(web.ledger.entry, LABEL, number) if number is not None else None
    if row is None or not is_token(await web.read(web.ledger.secret), token, row):
        raise Refused(404, msgid("This label is not one of ours. Ask the unit for a new one."))
    if row.state == "revoked":
        raise Refused(410, msgid("This label was taken back. Ask the unit for a new one."))
    if row.state == "expired" or row.expires_ms <= web.now_ms():
        raise Refused(410, msgid("This label has expired. Ask the unit for a new one."))
    await web.refresh_approvals()
    known = web.inventory.devices.get(f"{row.site}/{row.device}")
    if known is None:
        raise Refused(410, msgid("This device is not watched here any more."))
    return await _public(request, web, known, row)


async def _public(request: Request, web: Web, known: Device, row: DeviceLabel) -> Response:
    texts = web.texts(request)
    shown = views.device_row(known, web.picture, texts, web.now_ms())
    work = await web.read(web.ledger.work, known.site, known.id, 100)
    looked = next((each for each in work if each.work in LOOKED_AT), None)
    asset = known.asset
    return page(
        request, "label_open.html", title=known.title.get(texts.language), kind=known.profile.title.get(texts.language),
        place=known.place.get(texts.language) if known.place else "", key=known.key,
        site=web.inventory.site_title(known.site).get(texts.language),
        state=(await states(web, [known], None))[known.key], heard_ms=shown.heard_ms,
        looked=None if looked is None else (texts.word("work", looked.work), looked.at_ms),
        inspected=str(asset.inspected) if asset is not None and asset.inspected is not None else "",
        made=str(asset.made) if asset is not None and asset.made is not None else "", until_ms=row.expires_ms,
    )  # fmt: skip


async def _labels(web: Web, site: str) -> dict[str, DeviceLabel]:
    """Device -> the label that holds."""
    rows = await web.read(web.ledger.entries, LABEL, sites=(site,), is_open=True)
    return {row.device: row for row in rows if row.expires_ms > web.now_ms()}


async def _sheet(request: Request, devices: list[Device], title: str, action: str) -> Response:
    web, texts = web_of(request), web_of(request).texts(request)
    base = (web.settings.public_url or str(request.base_url)).rstrip("/")
    secret = await web.read(web.ledger.secret)
    held = await _labels(web, devices[0].site) if devices else {}
    printed = [_printed(secret, base, device, held[device.id], texts) for device in devices if device.id in held]
    return page(
        request, "record_labels.html", labels=printed, missing=len(devices) - len(printed), title=title, action=action,
        base=base, days=DAYS, single=devices[0].key if len(devices) == 1 and action.endswith("/label") else "",
    )  # fmt: skip


def _printed(secret: bytes, base: str, device: Device, row: DeviceLabel, texts: Texts) -> Printed:
    code = segno.make_qr(f"{base}/l/{token_of(secret, row)}", error="q", boost_error=False)
    drawn = Markup(code.svg_inline(border=4, omitsize=True, svgclass="qr", lineclass="qr-line"))  # noqa: S704 # made here
    place = device.place.get(texts.language) if device.place is not None else ""
    return Printed(row, device.title.zh, device.title.en, place, drawn)
