"""Is it alive, can it serve, how does it go: for supervisors, load balancers and Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from contract.errors import RetryLater
from gateway.control.client import ControlError
from gateway.web.context import Web, web_of
from gateway.web.latency import Sample
from gateway.web.metrics import exposition, gateway_samples, web_samples

router = APIRouter()
PATIENCE_S = 2.0
"""A part that takes longer counts as away."""


class Check(NamedTuple):
    """A part the pages need. reason: why it is not there; empty: it is."""

    part: str
    reason: str


@router.get("/healthz", include_in_schema=False)
async def healthz(request: Request) -> Response:
    """ok when pages are served; the gateway's own state stands on the second line."""
    away = "" if web_of(request).picture.connected else "not "
    return PlainTextResponse(f"ok\ngateway {away}answering\n")


@router.get("/readyz", include_in_schema=False)
async def readyz(request: Request) -> Response:
    """200 when the ledger is read and the gateway answers; else 503 with what is missing."""
    checks = await _checks(web_of(request))
    ready = not any(check.reason for check in checks)
    body = {"ready": ready, "checks": [{"part": c.part, "ok": not c.reason, "reason": c.reason} for c in checks]}
    return JSONResponse(body, 200 if ready else 503, headers={} if ready else {"Retry-After": "2"})


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    web = web_of(request)
    samples: list[Sample] = []
    try:
        async with asyncio.timeout(PATIENCE_S):
            samples += gateway_samples(await web.link.ask("status", "local"))
    except (RetryLater, ControlError, TimeoutError):
        pass  # weizhan_gateway_connected says so
    try:
        async with asyncio.timeout(PATIENCE_S):
            history = await web.history.status()
    except TimeoutError:
        history = None
    samples += web_samples(web, history)
    return PlainTextResponse(exposition(samples), media_type="text/plain; version=0.0.4")


async def _checks(web: Web) -> Sequence[Check]:
    ledger = ""
    try:
        async with asyncio.timeout(PATIENCE_S):
            await web.read(web.ledger.first_ms)
    except RetryLater:
        ledger = "the ledger cannot be read"
    except TimeoutError:
        ledger = f"the ledger did not answer within {PATIENCE_S:g} s"
    gateway = "" if web.picture.connected else "the gateway does not answer"
    return Check("ledger", ledger), Check("gateway", gateway)
