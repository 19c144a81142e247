"""Backups: those there are, one made now with its progress, one read through, one taken away by an administrator."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

from contract.errors import ConfigError
from gateway.backup.register import BACKUP, DONE, FAILED, RUNNING, Backup
from gateway.backup.restore import check_backup
from gateway.backup.sealing import load_key
from gateway.web import commands
from gateway.web.access import Person, Refused
from gateway.web.admin.jobs import Job
from gateway.web.api import PROBLEMS
from gateway.web.api_models import Answer, Done
from gateway.web.context import Web, person_of, web_of
from gateway.web.listing import Page, Turned, newest
from gateway.web.render import page
from gateway.web.texts import msgid

router = APIRouter()
api = APIRouter()
_API: dict[str, Any] = {"responses": PROBLEMS}
MOST = 200
"""Backups that are listed."""


class Progress(NamedTuple):
    """How far the one that is being made is, bytes. total 0: not known yet."""

    id: int
    done: int
    total: int


def job_name(number: int) -> str:
    """Name of the background job that reads one through."""
    return f"backup-verify-{number}"


async def backup_rows(web: Web) -> list[Backup]:
    """Those there are, and latest ones that failed; newest first."""
    rows = await web.read(web.ledger.entries, BACKUP, limit=MOST)
    return [row for row in rows if row.state in (RUNNING, DONE, FAILED)]


def progress_of(web: Web) -> Progress | None:
    """How far the one that is being made is; None while none is."""
    told = web.picture.backup
    return None if told.get("id") is None else Progress(told["id"], told["done"], told["total"])


@router.get("/admin/backups")
async def backups_page(request: Request) -> Response:
    """The list, and a button that makes one."""
    web = web_of(request)
    rows = await backup_rows(web)
    return page(
        request, "admin_backups.html", fragment="_admin_backups.html", rows=rows, progress=progress_of(web),
        running=any(row.state == RUNNING for row in rows), settings=web.configured.backup,
        folder=web.configured.backup.folder_in(web.ledger.path.parent), jobs={
            row.id: job for row in rows if (job := web.jobs.find(job_name(row.id))) is not None
        }, checking=any(job.is_running for row in rows if (job := web.jobs.find(job_name(row.id))) is not None),
    )  # fmt: skip


@router.post("/admin/backups")
async def make_backup_now(request: Request) -> Response:
    """Have the gateway make one. Pressed twice it is one."""
    await commands.do(web_of(request), person_of(request), "backup.make")
    return RedirectResponse("/admin/backups", 303)


@router.post("/admin/backups/{backup_id}/verify")
async def verify_backup(request: Request, backup_id: int) -> Response:
    """Read one through in the background."""
    await start_check(web_of(request), person_of(request), backup_id)
    return RedirectResponse("/admin/backups", 303)


@router.get("/admin/backups/{backup_id}/file")
async def download_backup(request: Request, backup_id: int) -> Response:
    """The backup itself; that somebody took it is written down."""
    web = web_of(request)
    path = await _file_of(web, backup_id)
    await commands.do(web, person_of(request), "exported", what=f"backup/{backup_id}", range={"file": path.name})
    return FileResponse(path, media_type="application/zip", filename=path.name)


async def start_check(web: Web, who: Person, backup_id: int) -> Job[str]:
    """Begin reading one through, or give the reading that runs. Raises Refused (404)."""
    path = await _file_of(web, backup_id)
    key_file = web.configured.backup.key_in(web.ledger.path.parent)

    def check(job: Job[str]) -> str:
        try:
            check_backup(path, load_key(key_file), job.tell)
        except ConfigError as exc:
            return str(exc)
        return ""

    async def tell(problem: str) -> None:
        await commands.do(web, who, "backup.verified", id=backup_id, problem=problem[:2000])

    return web.jobs.start(job_name(backup_id), check, tell)


async def _file_of(web: Web, backup_id: int) -> Path:
    row = await web.read(web.ledger.entry, BACKUP, backup_id)
    if row is None or row.state != DONE:
        raise Refused(404, msgid("There is no such backup."))
    path: Path = web.configured.backup.folder_in(web.ledger.path.parent) / row.file
    if not await asyncio.to_thread(path.is_file):
        raise Refused(404, msgid("The file of this backup is no longer where it was put."))
    return path


class BackupAnswer(Answer):
    """A backup. Times ms UTC."""

    id: int
    state: str
    """running, done or failed."""
    by: str
    from_ms: int
    until_ms: int | None
    file: str
    bytes: int
    files: int
    covers_ms: int | None
    """Everything committed before it is in the backup."""
    head: int
    head_hash: str
    why: str
    """Why one was not made."""
    verified_ms: int | None
    problem: str
    """What reading it through found; empty: nothing."""
    done_pct: int | None
    """How far the one that is being made is."""


@api.get("/api/v1/backups", **_API)
async def list_backups(request: Request, turn: Turned) -> Page[BackupAnswer]:
    """The backups there were, newest first."""
    web = web_of(request)
    rows, after = newest(await web.read(web.ledger.entries, BACKUP, before=turn.before, limit=turn.limit + 1), turn)
    progress = progress_of(web)

    def pct(row: Backup) -> int | None:
        if row.state != RUNNING:
            return None
        mine = progress is not None and progress.id == row.id and progress.total
        return min(100, 100 * progress.done // progress.total) if mine and progress else 0

    return Page(items=[BackupAnswer(**msgspec.to_builtins(row), done_pct=pct(row)) for row in rows], next=after)


@api.post("/api/v1/backups", **_API)
async def make_one(request: Request) -> Done:
    """Have a backup made; its number. One that is being made already is given instead."""
    done = await commands.do(web_of(request), person_of(request), "backup.make")
    return Done(id=int(done["id"]))


@api.post("/api/v1/backups/{backup_id}/verify", **_API)
async def verify_one(request: Request, backup_id: int) -> Done:
    """Read a backup through in the background; ask the list again for what was found."""
    await start_check(web_of(request), person_of(request), backup_id)
    return Done(id=backup_id)
