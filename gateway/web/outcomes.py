"""What became of a command whose answer did not come: looked up until it is known, for pages and API.

The gateway is asked first, which remembers a quarter of an hour. What it does not know it has not done, unless it was
started anew since: then the audit chain says it, where each row of a command holds its mark.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, NamedTuple

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from contract.errors import RetryLater
from gateway.control.client import ControlError
from gateway.control.deeds import KEEP_S
from gateway.sites.register import APPLYING, SITE_VERSION, UNDONE
from gateway.web.access import Person, Refused
from gateway.web.api import PROBLEMS
from gateway.web.api_models import Answer
from gateway.web.context import Web, person_of, web_of
from gateway.web.refusals import in_words
from gateway.web.render import local_path, page
from gateway.web.texts import msgid

router = APIRouter()
api = APIRouter()
HEADER = "x-weizhan-outcome"
"""Of an answer that does not know yet: the mark."""
_MARK = re.compile(r"([0-9a-f]{9,12})\.[A-Za-z0-9_-]{16}")
State = Literal["open", "done", "refused", "undone", "lost"]


class Outcome(NamedTuple):
    """What became of it. why: what the gateway said when it refused; at_ms: when it was asked.

    state: open (not known yet) | done | refused | undone (it never came to it) | lost (too long ago to say).
    """

    state: State
    at_ms: int
    why: str = ""


async def look_up(web: Web, who: Person, mark: str) -> Outcome:
    """What became of a command of this person. Raises Refused for what is no mark."""
    found = _MARK.fullmatch(mark)
    if found is None:
        raise Refused(404, msgid("There is no such page."))
    at_ms = int(found[1], 16)
    try:
        told = await web.link.ask("outcome", who.name, mark=mark)
        if told["state"] == "unknown":
            return Outcome(await _kept(web, who, mark, at_ms), at_ms)
    except (RetryLater, ControlError):
        return Outcome("open", at_ms)
    if told["state"] == "refused":
        return Outcome("refused", at_ms, told["error"]["text"])
    return Outcome("done" if told["state"] == "done" else "open", at_ms)


async def _kept(web: Web, who: Person, mark: str, at_ms: int) -> State:
    """What the ledger has of it. Raises RetryLater."""
    row = await web.read(web.all.ledger.audit_of, who.name, mark, at_ms)
    if row is None:
        return "undone" if web.now_ms() < at_ms + KEEP_S * 1000 else "lost"
    kind, _, number = row.partition("/")
    if kind != SITE_VERSION.name:
        return "done"
    # The row is written before the file is put in its place; the next start says whether it was.
    version = await web.read(web.all.ledger.entry, SITE_VERSION, int(number))
    if version is None or version.state == APPLYING:
        return "open"
    return "undone" if version.state == UNDONE else "done"


@router.get("/outcome/{mark}")
async def outcome_page(
    request: Request,
    mark: str,
    back: Annotated[str, Query(max_length=500)] = "/",
    part: Annotated[str, Query(max_length=1)] = "",
) -> Response:
    """What became of what this person asked for, until it is known. part: other parts of it were done before."""
    web = web_of(request)
    found = await look_up(web, person_of(request), mark)
    said = in_words(found.why, web.texts(request).language) if found.why else None
    return page(
        request,
        "outcome.html",
        fragment="_outcome.html",
        found=found,
        said=said,
        back=local_path(back),
        is_part=bool(part),
    )


class OutcomeAnswer(Answer):
    """What became of a command."""

    mark: str = Field(examples=["19ad1f2c400.Jv3kQ0cW8sYb1_xZ"])
    state: State = Field(examples=["done"])
    """open (not known yet: ask again) | done | refused | undone (it was never begun) | lost (longer ago than a quarter
    of an hour, and not in the audit trail)"""
    asked_ms: int
    why: str
    """What the gateway said when it refused."""


@api.get("/api/v1/outcomes/{mark}", responses=PROBLEMS)
async def get_outcome(request: Request, mark: str) -> OutcomeAnswer:
    """What became of a command that was answered with 504; `Location` of that answer leads here."""
    found = await look_up(web_of(request), person_of(request), mark)
    return OutcomeAnswer(mark=mark, state=found.state, asked_ms=found.at_ms, why=found.why)
