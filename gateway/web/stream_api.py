"""The event stream, and the same news by asking for whom there is no stream."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gateway.web import api_models as m
from gateway.web.access import Person, Refused
from gateway.web.api import PROBLEMS
from gateway.web.context import person_of, web_of
from gateway.web.sessions import MANNED, Rights
from gateway.web.stream_shares import Listener

router = APIRouter()
_EVENTS = {
    "description": "Server-sent events: docs/api.md, Events",
    "content": {
        "text/event-stream": {
            "schema": {"type": "string"},
            "example": 'event: heartbeat\ndata: {"now_ms":1764460800000,"connected":true,"changes":41}\n\n',
        }
    },
}
_TOO_MANY = {
    "model": m.Problem,
    "description": "Too many streams of one session or account",
    "content": {"application/problem+json": {}},
}


_Two = Annotated[list[int], Field(min_length=2, max_length=2)]
"""Two numbers: tools that read descriptions do not all know positions within a list."""


class HeartbeatAnswer(m.Answer):
    """What a heartbeat of the stream tells."""

    now_ms: int
    connected: bool
    """Whether the gateway answers; while it does not, nothing is current."""
    since_ms: int
    fires: list[int] = Field(examples=[[12]])
    """Numbers of fires nobody acknowledged."""
    duty: list[_Two] = Field(examples=[[[3, 1_764_460_860_000]]])
    """Number and end of duty checks nobody answered."""
    changes: int = Field(examples=[41])
    """Counts everything that was told beside readings: with another number than before, ask again for what you show."""
    faults: _Two = Field(examples=[[0, 2]])
    """Critical alarms and warnings nobody acknowledged."""
    version: str
    """Of the pages' scripts."""
    refused: str | None = Field(examples=[None])
    """Why a stream would be refused now; null: it would be given."""


@router.get("/api/v1/stream", response_class=StreamingResponse, responses={**PROBLEMS, 200: _EVENTS, 429: _TOO_MANY})
async def stream(
    request: Request,
    device: Annotated[str | None, Query(description="Readings of this site/device only; empty for none")] = None,
) -> Response:
    """Server-sent events: alarm, agent, reading, gateway, unknown_device, heartbeat every two seconds."""
    hub, who = web_of(request).hub, person_of(request)
    if (no := hub.refusal(_listener(who))) is not None:
        hub.refused += 1
        raise Refused(no.status, no.text)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    frames = hub.follow(device, web_of(request).sites_of(who), _listener(who), Rights(who.role, who.area))
    return StreamingResponse(frames, media_type="text/event-stream", headers=headers)


@router.get("/api/v1/heartbeat", responses=PROBLEMS)
async def heartbeat(request: Request) -> HeartbeatAnswer:
    """What the stream's heartbeat tells, for whoever has no stream. Ask every two seconds."""
    web, who = web_of(request), person_of(request)
    no = web.hub.refusal(_listener(who))
    told = web.hub.state_for(web.sites_of(who))
    return HeartbeatAnswer(**told, refused=None if no is None else web.texts(request)(no.text))


def _listener(who: Person) -> Listener:
    """A program with a token of the duty role is no desk."""
    return Listener(who.key, "" if who.role == "wall" else who.name, who.role in MANNED and not who.via)
