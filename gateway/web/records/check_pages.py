"""Whether an export is ours, whole and unchanged: by the code that is printed on it, or by the file itself.

What `weizhan export verify FILE --data-dir ...` says, for whoever has a browser. A file that is sent is read by a
process of its own (gateway/exports/checking_job.py) and nothing of it is kept.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from fastapi import APIRouter, File, Query, UploadFile
from starlette.requests import Request
from starlette.responses import Response

from gateway.exports.checking import Checked
from gateway.exports.checking_desk import Full, TooMuch
from gateway.exports.document import BadExport
from gateway.web.access import Refused
from gateway.web.context import Web, web_of
from gateway.web.render import page
from gateway.web.texts import msgid

router = APIRouter()
MOST_BYTES = 8 * 1024 * 1024
Handed = list[tuple[int, int, str, str]]
"""Audit rows: (number, at_ms, who, what)."""


class Verdict(NamedTuple):
    """What was found of a file. handed: audit rows with its code, or with the one that it states where it was changed;
    head: whether the end of the audit chain that it names stands there: None for an empty chain.

    drawn: ours, but its pages were drawn by another version, so that nobody compared them with the content."""

    word: Literal["ours", "drawn", "stranger", "changed"]
    checked: Checked
    handed: Handed
    head: bool | None


@router.get("/records/check")
async def check(request: Request, code: Annotated[str, Query(max_length=80)] = "") -> Response:
    """Whether the audit chain knows an export with this code; where its QR code leads."""
    plain = "".join(code.split()).lower()
    rows = await _handed(web_of(request), plain)
    return page(request, "records_check.html", code=plain, is_code=_is_code(plain), rows=rows, verdict=None, wrong="")


@router.post("/records/check")
async def check_file(request: Request, file: Annotated[UploadFile | None, File()] = None) -> Response:
    """Whether a file is an export of this system, whole and unchanged; who asked for it, and when it was made."""
    web, texts = web_of(request), web_of(request).texts(request)
    data, name = b"", ""
    if file is not None:
        data, name = await file.read(MOST_BYTES + 1), (file.filename or "")[:120]
        await file.close()
    if not data:
        raise Refused(422, msgid("Choose a file."))
    if len(data) > MOST_BYTES:
        raise Refused(
            413, msgid("The file is larger than 8 MB. Check it on the machine: `weizhan export verify FILE`.")
        )
    status, wrong, verdict = 200, "", None
    try:
        verdict = await _judge(web, await web.checking.check(data))
    except BadExport:
        wrong = texts(
            "This is no export of Weizhan, or it is torn or rewritten so that it cannot be read. Want a CSV, XLSX or "
            "PDF as it was downloaded: one that was opened and saved again is another file."
        )
        status = 422
    except TooMuch:
        wrong = texts(
            "This file takes too much to be read here. Check it on the machine: `weizhan export verify FILE`."
        )
        status = 422
    except Full:
        raise Refused(429, msgid("Many files are being checked. Try again in a minute.")) from None
    return page(
        request, "records_check.html", status=status, code="", is_code=False, rows=[], verdict=verdict, wrong=wrong,
        name=name,
    )  # fmt: skip


async def _judge(web: Web, found: Checked) -> Verdict:
    head = await _stands(web, found.header.head)
    if not found.is_whole:
        return Verdict("changed", found, await _handed(web, found.stated), head)
    handed = await _handed(web, found.found)
    known: Literal["ours", "drawn"] = "ours" if found.drawing is None else "drawn"
    return Verdict(known if handed else "stranger", found, handed, head)


async def _handed(web: Web, code: str) -> Handed:
    return await web.read(web.ledger.export_rows, code) if _is_code(code) else []


async def _stands(web: Web, head: str) -> bool | None:
    """Whether a row `ID:HASH` stands in the audit chain."""
    number, _, digest = head.partition(":")
    if not number.isdigit() or len(number) > 18:
        return False
    if int(number) == 0:
        return None
    rows = await web.read(web.all.ledger.audit, before=int(number) + 1, limit=1)
    return bool(rows) and (rows[0].id, rows[0].hash) == (int(number), digest)


def _is_code(text: str) -> bool:
    return len(text) == 64 and all(char in "0123456789abcdef" for char in text)
