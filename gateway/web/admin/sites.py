"""Site files: those in force, taken out, put in anew after a look at what changes, brought back."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import APIRouter
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from contract.errors import ConfigError
from contract.site import Site, load_site
from gateway.control.client import ControlError
from gateway.exports.document import guard
from gateway.sites.checking import MOST_BYTES, check_text
from gateway.sites.compare import compare_sites
from gateway.sites.register import APPLYING, IN_FORCE, SITE_VERSION, SiteVersion, sha256_of, version_path
from gateway.sites.table import COLUMNS, device_lines, take_devices
from gateway.web import commands
from gateway.web.access import Refused
from gateway.web.admin.desk import Staged
from gateway.web.api import PROBLEMS
from gateway.web.api_models import Answer
from gateway.web.context import Web, person_of, web_of
from gateway.web.listing import Page, Turned, cut
from gateway.web.refusals import SITE_FAULTS, in_words
from gateway.web.registers.staff_import import Kind, faults_page, table_file
from gateway.web.render import page
from gateway.web.texts import Language, msgid

router = APIRouter()
api = APIRouter()
_API: dict[str, Any] = {"responses": PROBLEMS}
_PLACE = re.compile(r"[^:\n]*:(?P<line>\d+): (?:[\w.\[\]()-]+: )?")
"""`file:line: key: ` before what is wrong there."""
VERSIONS = 20
"""Versions of a site that are listed."""


class SiteRow(NamedTuple):
    """A site and its file. since_ms: when this version came into force, as far as that is known."""

    id: str
    title: str
    file: Path
    devices: int
    hash: str
    since_ms: int | None
    by: str
    versions: list[SiteVersion]


@router.get("/admin/sites")
async def sites_page(request: Request) -> Response:
    """Every site file in force, and what can be done with it."""
    web = web_of(request)
    return page(
        request, "admin_sites.html", fragment="_admin_sites.html",
        rows=await site_rows(web, web.texts(request).language), fault=web.picture.configuration_fault,
        file=web.configured.file,
    )  # fmt: skip


async def site_rows(web: Web, language: str) -> list[SiteRow]:
    """Every site."""
    rows = []
    for name, site in web.inventory.sites.items():
        versions = await web.read(web.ledger.entries, SITE_VERSION, sites=(name,), limit=VERSIONS)
        current = next((row for row in versions if row.state == IN_FORCE), None)
        rows.append(
            SiteRow(
                name, site.title.zh if language == "zh" else site.title.en, web.inventory.files[name],
                sum(1 for _ in site.placed()), site.content_hash, current.from_ms if current else None,
                current.by if current else "", [row for row in versions if row.state != APPLYING],
            )
        )  # fmt: skip
    return rows


@router.get("/admin/sites/{site}/file")
async def site_file(request: Request, site: str) -> Response:
    """The file as it is."""
    web = web_of(request)
    path = _file_of(web, site)
    data = await asyncio.to_thread(_read, path)
    return Response(data, media_type="application/yaml", headers=_attachment(path.name))


@router.get("/admin/sites/{site}/devices.{kind}")
async def site_devices(request: Request, site: str, kind: Kind) -> Response:
    """The devices as a table, to be filled in and taken back."""
    web = web_of(request)
    texts = web.texts(request)
    loaded = await asyncio.to_thread(_loaded, web, site, _file_of(web, site))
    titles = [column.zh if texts.language == "zh" else column.en for column in COLUMNS]
    lines = [titles, *([guard(cell) for cell in line] for line in device_lines(loaded))]
    notes = [[profile.id, profile.title.get(texts.language)] for profile in web.inventory.library]
    return await table_file(kind, f"devices-{site}", lines, notes, texts)


@router.get("/admin/sites/{site}/versions/{version_id}/file")
async def version_file(request: Request, site: str, version_id: int) -> Response:
    """The text of an earlier version."""
    row, data = await _version(web_of(request), site, version_id)
    return Response(data, media_type="application/yaml", headers=_attachment(f"{site}-{row.sha256[:12]}.yaml"))


@router.post("/admin/sites/{site}/file")
async def upload_file(request: Request, site: str) -> Response:
    """Take a new version, check it, and show what it changes; nothing is in force yet."""
    return await _stage(request, site, await _uploaded(request))


@router.post("/admin/sites/{site}/devices")
async def upload_devices(request: Request, site: str) -> Response:
    """Take a table of the devices, whole or not at all, and show what it changes."""
    web = web_of(request)
    path, data = _file_of(web, site), await _uploaded(request)
    text = (await asyncio.to_thread(_read, path)).decode("utf-8", "replace")
    made, faults = await asyncio.to_thread(take_devices, data, text, await asyncio.to_thread(_loaded, web, site, path))
    if faults:
        return faults_page(request, faults, COLUMNS, "/admin/sites")
    return await _stage(request, site, made.encode())


@router.post("/admin/sites/{site}/versions/{version_id}")
async def bring_back(request: Request, site: str, version_id: int) -> Response:
    """Show what bringing an earlier version back changes. A field `before`: the one before it."""
    wants_before = bool((await request.form()).get("before"))
    _, data = await _version(web_of(request), site, version_id, before=wants_before)
    return await _stage(request, site, data)


@router.get("/admin/sites/{site}/change/{token}")
async def change_page(request: Request, site: str, token: str) -> Response:
    """What a checked version changes, and the button that puts it in force."""
    staged = web_of(request).site_desk.find(token)
    if staged is None or staged.site != site:
        raise Refused(404, msgid("This change is no longer waiting. Upload the file again."))
    title = web_of(request).inventory.site_title(site)
    return page(request, "admin_site_change.html", staged=staged, token=token, site=site, title=title)


@router.post("/admin/sites/{site}/change/{token}")
async def apply_change(request: Request, site: str, token: str) -> Response:
    """Put it in force."""
    web = web_of(request)
    staged = web.site_desk.find(token)
    if staged is None or staged.site != site:
        raise Refused(404, msgid("This change is no longer waiting. Upload the file again."))
    try:
        await commands.do(web, person_of(request), "site.apply", site=site, text=staged.text, base=staged.base)
    except ControlError as exc:
        if exc.code == "conflict":
            web.site_desk.drop(token)
            raise Refused(409, msgid("The site file changed meanwhile. Upload yours again.")) from exc
        return _told(request, site, str(exc))
    web.site_desk.drop(token)
    return RedirectResponse("/admin/sites", 303)


async def _stage(request: Request, site: str, data: bytes) -> Response:
    web, who = web_of(request), person_of(request)
    path = _file_of(web, site)
    try:
        staged = await asyncio.to_thread(_checked, web, site, path, data, who.name)
    except ConfigError as exc:
        return _told(request, site, str(exc))
    if staged is None:
        raise Refused(422, msgid("This file is the one in force: nothing would change."))
    return RedirectResponse(f"/admin/sites/{site}/change/{web.site_desk.keep(staged)}", 303)


def _checked(web: Web, name: str, path: Path, data: bytes, person: str) -> Staged | None:
    """A text that may come into force; None when it is the one in force. Raises ConfigError."""
    inventory, old = web.inventory, _read(path)
    if data == old:
        return None
    known = {site: (inventory.files[site], loaded) for site, loaded in inventory.sites.items()}
    new: Site = check_text(data, path, name, inventory.library, inventory.rules, known, inventory.grid_file)
    text = data.decode("utf-8")
    what = compare_sites(_loaded(web, name, path), new, old.decode("utf-8", "replace"), text)
    return Staged(name, text, sha256_of(old), what, sum(1 for _ in new.placed()), person)


def _loaded(web: Web, name: str, path: Path) -> Site:
    """The site as its file says now: the pages may not have heard of a change a moment ago."""
    try:
        return load_site(path, web.inventory.library)
    except ConfigError:
        return web.inventory.sites[name]


def _told(request: Request, site: str, text: str) -> Response:
    """What is wrong with a file, line by line; nothing was changed."""
    language = web_of(request).texts(request).language
    return page(request, "admin_site_wrong.html", status=422, lines=faults_in_words(text, language), site=site)


def faults_in_words(text: str, language: Language) -> list[tuple[str, str, bool]]:
    """Each line of a ConfigError, in the order of the file: where, what is wrong, whether it is in the language."""
    found = [(_PLACE.match(line), line) for line in text.splitlines()]
    found.sort(key=lambda each: int(each[0]["line"]) if each[0] else 0)
    told = []
    for place, line in found:
        where, what = (place[0], line[place.end() :]) if place else ("", line)
        words = in_words(what, language, SITE_FAULTS)
        told.append((where, words or what, words is not None))
    return told


async def _version(web: Web, site: str, version_id: int, *, before: bool = False) -> tuple[SiteVersion, bytes]:
    _file_of(web, site)
    row = await web.read(web.ledger.entry, SITE_VERSION, version_id) if 0 < version_id < 2**62 else None
    if row is None or row.site != site:
        raise Refused(404, msgid("There is no such version."))
    digest = row.before if before else row.sha256
    try:
        data = await asyncio.to_thread(version_path(web.ledger.path.parent, site, digest).read_bytes)
    except OSError as exc:
        raise Refused(404, msgid("The text of this version is not kept any more.")) from exc
    if sha256_of(data) != digest:
        raise Refused(404, msgid("The text of this version was altered and is not used."))
    return row, data


def _file_of(web: Web, site: str) -> Path:
    path = web.inventory.files.get(site)
    if path is None:
        raise Refused(404, msgid("There is no such site."))
    return path


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConfigError(f"{path.name}: {exc.strerror}. The pages must be able to read it.") from exc


async def _uploaded(request: Request) -> bytes:
    file = (await request.form()).get("file")
    if not isinstance(file, UploadFile) or not file.filename:
        raise Refused(422, msgid("Choose a file."))
    try:
        data = await file.read(8 * MOST_BYTES + 1)
    finally:
        await file.close()
    if len(data) > 8 * MOST_BYTES:
        raise Refused(413, msgid("The file is too large."))
    return data


def _attachment(name: str) -> dict[str, str]:
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
    return {"Content-Disposition": f'attachment; filename="{safe}"'}


class SiteFileAnswer(Answer):
    """A site file in force."""

    site: str
    title: str
    file: str
    devices: int
    hash: str
    since_ms: int | None
    """When this version came into force; null: it was there before versions were kept."""
    by: str


@api.get("/api/v1/site-files", **_API)
async def list_site_files(request: Request, turn: Turned) -> Page[SiteFileAnswer]:
    """The site files in force."""
    web = web_of(request)
    rows, after = cut(await site_rows(web, web.texts(request).language), turn, lambda row: (row.id,))
    return Page(
        items=[
            SiteFileAnswer(
                site=row.id, title=row.title, file=row.file.name, devices=row.devices, hash=row.hash,
                since_ms=row.since_ms, by=row.by,
            )
            for row in rows
        ],
        next=after,
    )  # fmt: skip
