"""Exports: asked for, followed, downloaded, checked by their code."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

from contract.errors import RetryLater
from gateway.control.client import ControlError
from gateway.exports.desk import FILE_KINDS, KEEP_MS, Busy, FileKind, Job
from gateway.web.access import Person, Refused
from gateway.web.context import Web, person_of, web_of
from gateway.web.records import documents
from gateway.web.records.former import find_device
from gateway.web.records.record_pages import areas, month_of
from gateway.web.render import page
from gateway.web.texts import msgid

router = APIRouter()
TYPES: dict[FileKind, str] = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
}
Ident = Annotated[str, Form(max_length=60)]
_BUSY = {
    "mine": msgid("You have four exports under way. Wait for one to be done."),
    "all": msgid("Too many exports are under way. Try again in a few minutes."),
}


@router.get("/records/exports")
async def exports(request: Request) -> Response:
    """Exports of this reader, and the form for another."""
    web, texts = web_of(request), web_of(request).texts(request)
    await web.refresh_approvals()
    return page(
        request, "records_exports.html", fragment="_records_exports.html",
        jobs=[job for job in web.desk.jobs() if _may_see(web, person_of(request), job)],
        kinds=documents.KINDS, files=FILE_KINDS, month=month_of(web, "").name, areas=areas(web, texts),
        sites=[(key, site.title.get(texts.language)) for key, site in web.inventory.sites.items()],
        keep_days=KEEP_MS // 86_400_000,
    )  # fmt: skip


@router.post("/records/exports")
async def ask(
    request: Request,
    kind: Annotated[str, Form(max_length=20)],
    file: Annotated[FileKind, Form()],
    month: Annotated[str, Form(max_length=7, pattern=r"^(\d{4}-\d{2})?$")] = "",
    site: Ident = "",
    device: Ident = "",
    area: Ident = "",
) -> Response:
    """Take an order; it is made in the background."""
    job = await order(request, kind, file, month, site, device, area)
    return RedirectResponse(f"/records/exports/{job.id}", 303)


async def order(request: Request, kind: str, file: FileKind, month: str, site: str, device: str, area: str) -> Job:
    """Put an order on the desk. Raises Refused for what there is none of, or when the desk is full."""
    web, texts, me = web_of(request), web_of(request).texts(request), person_of(request)
    if kind not in documents.KINDS:
        raise Refused(422, msgid("There is no such export."))
    wanted = documents.Wanted(kind, month_of(web, month), site, device, area)
    if kind == "life" or (kind == "completeness" and device):
        title = (await find_device(web, site, device))[0].title.get(texts.language)
    elif device:
        title = documents.device_of(web, wanted).title.get(texts.language)
    else:
        title = documents.scope_of(web, texts, wanted).title
    title = f"{texts.word('export', kind)} · {title}" + ("" if kind == "life" else f" · {wanted.month.name}")
    base = (web.settings.public_url or str(request.base_url)).rstrip("/")
    mine = None if web.whole is None else sorted(web.inventory.sites)
    try:
        return web.desk.ask(
            kind, title, file, me.name, mine, lambda: documents.build(web, texts, wanted, me.name),
            f"{base}/records/check?code=",
        )  # fmt: skip
    except Busy as exc:
        raise Refused(429, _BUSY[str(exc)]) from None


@router.get("/records/exports/{job_id}")
async def follow(request: Request, job_id: str) -> Response:
    """One export: how far it is, then the file."""
    web = web_of(request)
    job = find_job(web, person_of(request), job_id)
    return page(request, "records_export.html", fragment="_records_export.html", job=job)


@router.get("/records/exports/{job_id}/file")
async def download(request: Request, job_id: str) -> Response:
    """The file."""
    web = web_of(request)
    job = find_job(web, person_of(request), job_id)
    path = web.desk.path(job)
    if job.state != "done" or not path.is_file():
        raise Refused(404, msgid("This file is not there. Ask for the export again."))
    await web.desk.note(job)
    name = f"weizhan-{job.kind}-{job.code[:12]}.{job.file}"
    return FileResponse(path, media_type=TYPES[job.file], filename=name)


@router.post("/records/exports/{job_id}/drop")
async def drop(request: Request, job_id: str) -> Response:
    """Take an order back, or its file away."""
    web = web_of(request)
    web.desk.drop(find_job(web, person_of(request), job_id))
    return RedirectResponse("/records/exports", 303)


def find_job(web: Web, me: Person, job_id: str) -> Job:
    """An export of this reader. Raises Refused (404): also for that of another, or of more than they may see now."""
    job = web.desk.job(job_id)
    if job is None or not _may_see(web, me, job):
        raise Refused(404, msgid("There is no such export."))
    return job


def _may_see(web: Web, me: Person, job: Job) -> bool:
    """Whoever asked, or an administrator; and only what lies within what they may see now."""
    if job.owner != me.name and me.role != "administrator":
        return False
    return web.whole is None or (job.sites is not None and set(job.sites) <= set(web.inventory.sites))


async def record(web: Web, job: Job) -> bool:
    """Have the gateway write the code of a finished export into the audit chain."""
    try:
        await web.link.ask(
            "exported", job.owner, what=f"export/{job.code}", range=f"{job.kind} {job.file}: {job.title}"
        )
    except (RetryLater, ControlError):
        return False
    return True
