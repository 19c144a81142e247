"""The audit trail: searched, read in words, verified in the background, exported with its signed head."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from gateway.exports.document import guard
from gateway.ledger import audit
from gateway.ledger.heads import public_key, sign_head
from gateway.ledger.records import AuditRow
from gateway.ledger.verify import Checked, Damage, check_all
from gateway.web import commands
from gateway.web.access import Refused
from gateway.web.admin.audit_words import KINDS, audit_line
from gateway.web.admin.jobs import Job
from gateway.web.api import PROBLEMS
from gateway.web.api_models import Answer
from gateway.web.commands import local_ms
from gateway.web.context import Web, person_of, web_of
from gateway.web.listing import Page, Turned, newest
from gateway.web.render import page
from gateway.web.texts import msgid

router = APIRouter()
api = APIRouter()
_API: dict[str, Any] = {"responses": PROBLEMS}
PAGE_ROWS = 50
EXPORT_ROWS = 200_000
"""Rows of one CSV; narrower searches reach the rest."""
VERIFY = "audit-verify"
"""Name of the background job."""
CHAIN = "chain"
"""The element that asks for itself again while a verification runs (_admin_audit_chain.html)."""
SUBJECT = "audit/chain"
NAMED = 20
"""Wrong rows that are named."""
_COLUMNS = "id, at_ms, actor, action, subject, detail, previous, hash"
Words = Annotated[str, Query(max_length=100)]


class Search(NamedTuple):
    """What is looked for; empty: anything. what: a kind of action (`alarm`), or one whole (`alarm.acknowledge`)."""

    who: str = ""
    what: str = ""
    subject: str = ""
    from_ms: int | None = None
    until_ms: int | None = None


class Verified(NamedTuple):
    """The latest verification: when, of which head, how much, and what was wrong."""

    at_ms: int
    by: str
    head: int
    hash: str
    rows: int
    problem: str


class Found(NamedTuple):
    """What verifying found. problem: empty when everything is what was written."""

    head: audit.Head
    rows: int
    problem: str


def find_rows(search: Search, before: int | None, limit: int) -> Callable[[sqlite3.Connection], list[AuditRow]]:
    """A question for rows that fit, newest first, with numbers below `before`."""
    terms = ["id < ?"]
    values: list[Any] = [2**62 if before is None else before]
    given: tuple[tuple[str, Any], ...] = (
        ("actor = ?", search.who), ("at_ms >= ?", search.from_ms), ("at_ms < ?", search.until_ms),
        ("instr(lower(subject || ' ' || detail), lower(?)) > 0", search.subject),
    )  # fmt: skip
    for term, value in given:
        if value not in ("", None):
            terms.append(term)
            values.append(value)
    if search.what:
        terms.append("(action = ? OR substr(action, 1, ?) = ?)")
        values += [search.what, len(search.what) + 1, search.what + "."]
    query = f"SELECT {_COLUMNS} FROM audit WHERE {' AND '.join(terms)} ORDER BY id DESC LIMIT ?"  # noqa: S608 # terms are ours
    return lambda connection: [AuditRow(*row) for row in connection.execute(query, (*values, limit))]


def last_verified(connection: sqlite3.Connection) -> Verified | None:
    """When the chain was last verified, as the chain itself says; None: never."""
    row = connection.execute(
        "SELECT at_ms, actor, detail FROM audit WHERE subject = ? AND action = 'audit.verified' "
        "ORDER BY id DESC LIMIT 1",
        (SUBJECT,),
    ).fetchone()
    if row is None:
        return None
    told = msgspec.json.decode(row[2])
    return Verified(row[0], row[1], told["head"], told["hash"], told["rows"], told["problem"])


@router.get("/admin/audit")
async def audit_page(
    request: Request,
    who: Words = "",
    what: Words = "",
    subject: Words = "",
    begin: Words = "",
    end: Words = "",
    before: Annotated[int | None, Query(ge=1)] = None,
) -> Response:
    """Rows that fit, newest first."""
    web = web_of(request)
    texts = web.texts(request)
    search = _search(web, who, what, subject, begin, end)
    rows = await web.read(web.ledger.question, find_rows(search, before, PAGE_ROWS + 1))
    terms = {"who": who, "what": what, "subject": subject, "begin": begin, "end": end}
    return page(
        request,
        "admin_audit.html",
        fragment="_admin_audit_chain.html" if request.headers.get("hx-target") == CHAIN else "_admin_audit.html",
        lines=[audit_line(row, web, texts) for row in rows[:PAGE_ROWS]],
        next_before=rows[PAGE_ROWS - 1].id if len(rows) > PAGE_ROWS else None,
        older=before is not None,
        terms=terms,
        query=_query(terms),
        kinds=sorted(((kind, texts.word("audit_kind", kind)) for kind in KINDS), key=lambda pair: pair[1]),
        people=[user.name for user in await web.read(web.ledger.users)],
        verified=await web.read(web.ledger.question, last_verified),
        head=await web.read(web.ledger.question, audit.head),
        job=web.jobs.find(VERIFY),
    )


@router.post("/admin/audit/verify")
async def verify_now(request: Request) -> Response:
    """Verify chain and rows in the background; the page shows how far it is."""
    start_verify(request)
    return RedirectResponse("/admin/audit", 303)


def start_verify(request: Request) -> Job[Found]:
    """Begin verifying, or give the verification that runs."""
    web, who = web_of(request), person_of(request)

    async def tell(found: Found) -> None:
        told = {"head": found.head.id, "hash": found.head.hash, "rows": found.rows, "problem": found.problem}
        await commands.do(web, who, "audit.verified", **told)

    return web.jobs.start(VERIFY, lambda job: verify(web, job), tell)


def verify(web: Web, job: Job[Found]) -> Found:
    """Chain and rows of the ledger. Blocks. Raises RetryLater, Stopped."""

    def check(connection: sqlite3.Connection) -> Found:
        connection.execute("BEGIN")  # one moment of the ledger, however long it takes
        head = audit.head(connection)
        job.tell(0, 2 * head.id)
        wrong: list[str] = []
        rows = head.id
        for found in check_all(connection, job.tell):
            if isinstance(found, Checked):
                rows += sum(found)
            elif len(wrong) < NAMED:
                wrong.append(
                    f"{found.row}: {found.why}" if isinstance(found, Damage) else f"row {found.id}: {found.why}"
                )
        return Found(head, rows, "; ".join(wrong))

    connection = sqlite3.connect(f"file:{web.ledger.path}?mode=ro", uri=True, isolation_level=None)
    try:
        return check(connection)
    finally:
        connection.close()


@router.get("/admin/audit/head.json")
async def signed_head(request: Request) -> Response:
    """The head of the chain, signed, to be kept somewhere else."""
    web = web_of(request)
    head = await web.read(web.ledger.question, audit.head)
    signed = sign_head(await web.read(web.ledger.secret), head, web.now_ms())
    await commands.do(web, person_of(request), "exported", what="audit head", range={"id": head.id, "hash": head.hash})
    name = f"weizhan-audit-head-{head.id}.json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(msgspec.json.format(msgspec.json.encode(signed)), media_type="application/json", headers=headers)


@router.get("/admin/audit.csv")
async def audit_csv(
    request: Request, who: Words = "", what: Words = "", subject: Words = "", begin: Words = "", end: Words = ""
) -> Response:
    """The rows that fit, as the chain has them, with the hashes that hold them."""
    web = web_of(request)
    search = _search(web, who, what, subject, begin, end)
    rows = await web.read(web.ledger.question, find_rows(search, None, EXPORT_ROWS))
    await commands.do(web, person_of(request), "exported", what="audit", range={"rows": len(rows), **search._asdict()})
    headers = {"Content-Disposition": 'attachment; filename="weizhan-audit.csv"'}
    return StreamingResponse(_csv(rows), media_type="text/csv; charset=utf-8", headers=headers)


def _csv(rows: list[AuditRow]) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("id", "time_utc", *AuditRow._fields[1:]))
    yield text.getvalue().encode("utf-8-sig")
    for row in rows:
        text.seek(0)
        text.truncate()
        stamp = datetime.fromtimestamp(row.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
        writer.writerow((row.id, stamp, row.at_ms, *(guard(cell) for cell in row[2:])))
        yield text.getvalue().encode()


def _search(web: Web, who: str, what: str, subject: str, begin: str, end: str) -> Search:
    zone = web.settings.timezone
    from_ms = local_ms(begin, zone) if begin else None
    until_ms = local_ms(end, zone) if end else None
    if from_ms is not None and until_ms is not None and from_ms >= until_ms:
        raise Refused(422, msgid("The end must lie after the begin."))
    return Search(who.strip(), what.strip(), subject.strip(), from_ms, until_ms)


def _query(terms: dict[str, str]) -> str:
    return urlencode({name: value for name, value in terms.items() if value})


class AuditRowAnswer(Answer):
    """A row of the audit chain, as it was written."""

    id: int
    at_ms: int
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]
    previous: str
    hash: str


class ChainAnswer(Answer):
    """The chain: its head now, and the latest verification."""

    id: int
    hash: str
    public_key: str
    """Checks signed heads of this ledger (Ed25519, hex)."""
    verified_ms: int | None
    verified_head: int | None
    problem: str
    """What the latest verification found wrong; empty: nothing."""
    running: bool
    """Whether one is under way."""
    done_pct: int


@api.get("/api/v1/audit", **_API)
async def list_audit(
    request: Request,
    turn: Turned,
    actor: Words = "",
    action: Words = "",
    subject: Words = "",
    from_ms: int | None = None,
    until_ms: int | None = None,
) -> Page[AuditRowAnswer]:
    """Rows of the audit chain that fit, newest first."""
    web = web_of(request)
    bounds = [None if at is None else max(-(2**62), min(2**62, at)) for at in (from_ms, until_ms)]
    search = Search(actor, action, subject, bounds[0], bounds[1])
    rows, after = newest(await web.read(web.ledger.question, find_rows(search, turn.before, turn.limit + 1)), turn)
    shown = [AuditRowAnswer(**{**row._asdict(), "detail": msgspec.json.decode(row.detail)}) for row in rows]
    return Page(items=shown, next=after)


@api.get("/api/v1/audit-chain", **_API)
async def chain(request: Request) -> ChainAnswer:
    """The head of the chain and when it was last verified."""
    return await _chain(web_of(request))


@api.post("/api/v1/audit-chain/verify", **_API)
async def verify_chain(request: Request) -> ChainAnswer:
    """Verify chain and rows in the background; ask again for how far it is."""
    start_verify(request)
    return await _chain(web_of(request))


async def _chain(web: Web) -> ChainAnswer:
    head = await web.read(web.ledger.question, audit.head)
    last = await web.read(web.ledger.question, last_verified)
    job = web.jobs.find(VERIFY)
    running = job is not None and job.is_running
    return ChainAnswer(
        id=head.id, hash=head.hash, public_key=public_key(await web.read(web.ledger.secret)),
        verified_ms=None if last is None else last.at_ms, verified_head=None if last is None else last.head,
        problem="" if last is None else last.problem, running=running,
        done_pct=min(100, 100 * job.done // max(1, job.total)) if job is not None else 0,
    )  # fmt: skip
