"""The API described: OpenAPI 3.1 with stable operation ids, tags, an example of every request and answer, all errors.

What a route says itself (models, docstring, `openapi_extra`) is taken from FastAPI; what holds for all of them is added
here, so that a new route is described like the others without a word of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from gateway.web.access import ANYONE, ROUTES, SAFE
from gateway.web.api_rows import add_rows
from gateway.web.api_samples import sample
from gateway.web.problems import KINDS, ProblemKind

HEAD = "/api/v1/"
VERSION = "1"
TEXT = """Monitoring gateway for micro fire stations: alarms, devices, values, history, and what people keep.

Times are milliseconds UTC. `null` is no value, never zero. Lists take `limit` and `after`, and answer `items` and
`next`. Errors are problem documents (RFC 9457) whose `type` is stable. GET answers carry an `ETag`; with
`If-None-Match` an unchanged one is 304 without a body. Requests that change something answer once they are durable."""
TAGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Stations": (
        "Sites, areas and how things stand.",
        ("session", "status", "sites", "grid", "users", "stream", "outcomes"),
    ),
    "Devices": ("Devices, last values, history.", ("devices", "values", "history", "charts", "service", "metrics")),
    "Alarms": (
        "Alarms, what keeps them still, the rules behind them.",
        ("alarms", "standing", "drills", "maintenance", "rules", "quality"),
    ),
    "Alarm path": (
        "Messages to people, proofs of the path, monitoring centres.",
        ("notices", "proofs", "path-receipt", "centres"),
    ),
    "Duty": (
        "Shifts, people, rosters, checks, readiness.",
        ("shifts", "duty-checks", "people", "roster", "readiness", "risks", "equipment", "assessment"),
    ),
    "Upkeep": (
        "Incidents, hazards, patrols, training.",
        ("incidents", "hazards", "hazard-counts", "patrols", "trainings", "photos", "orders", "causes"),
    ),
    "Records": ("Searches, lives of devices, exports.", ("search", "lives", "exports", "records", "completeness")),
    "Administration": (
        "People's accounts, tokens, ways to people, the audit trail, backups.",
        ("accounts", "tokens", "channels", "audit", "audit-chain", "backups"),
    ),
}
"""Tag -> what it is, and the first parts of the addresses that belong to it; others make a tag of their own."""
_ANSWERED = {401, 403, 404, 409, 413, 422, 429, 503}


def operation_id(route: APIRoute) -> str:
    """The first part of the address and the function's name: `alarms_acknowledge_alarm`.

    A function named like the address is its `list`, `get` (one thing) or `send`.
    """
    first = _first(route.path).replace("-", "_")
    name = route.name
    if name in (first, first.removesuffix("s")):
        # The model is not worked out yet when FastAPI asks for the id.
        is_list = str(route.endpoint.__annotations__.get("return", "")).startswith("Page[")
        name = "list" if is_list else "get" if "GET" in (route.methods or ()) else "send"
    return f"{first}_{name}"


def _first(path: str) -> str:
    return path.removeprefix(HEAD).partition("/")[0]


def _tag(path: str) -> str:
    first = _first(path)
    return next((tag for tag, (_, parts) in TAGS.items() if first in parts), first.replace("-", " ").capitalize())


def describe(routes: Sequence[BaseRoute], title: str = "Weizhan") -> dict[str, Any]:
    """The whole document of the routes below /api/v1/."""
    made = get_openapi(title=title, version=VERSION, description=TEXT, routes=routes)
    made["paths"] = {path: methods for path, methods in sorted(made["paths"].items()) if path.startswith(HEAD)}
    parts = made.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        parts.pop(unused, None)
    made["components"]["securitySchemes"] = {
        "session": {
            "type": "apiKey", "in": "cookie", "name": "weizhan",
            "description": "Session of a sign-in (`__Host-weizhan` with HTTPS). Requests that change something carry "
            "`X-CSRF-Token` too: `csrf` of GET /api/v1/session.",
        },
        "token": {"type": "http", "scheme": "bearer", "description": "An API token; needs no CSRF token."},
    }  # fmt: skip
    add_rows({each["operationId"]: each for methods in made["paths"].values() for each in methods.values()}, parts)
    made["components"]["responses"] = {kind.name: _problem(kind, parts) for kind in KINDS}
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            _complete(path, method.upper(), operation, parts)
    used = {operation["tags"][0] for methods in made["paths"].values() for operation in methods.values()}
    known = [{"name": tag, "description": text} for tag, (text, _) in TAGS.items() if tag in used]
    made["tags"] = known + [{"name": tag} for tag in sorted(used - TAGS.keys())]
    return made


def described(app: FastAPI) -> dict[str, Any]:
    """The document of an app, made at the first call."""
    if app.openapi_schema is None:
        app.openapi_schema = describe(app.routes)
    return app.openapi_schema


def _complete(path: str, method: str, operation: dict[str, Any], parts: dict[str, Any]) -> None:
    operation["tags"] = [_tag(path)]
    roles = ROUTES.get((method, path), frozenset())
    open_to_all = roles is ANYONE
    operation["security"] = [] if open_to_all else [{"session": []}, {"token": []}]
    if not open_to_all:
        operation["x-roles"] = sorted(roles)
    for parameter in operation.get("parameters", ()):
        if "example" not in parameter:
            found = sample(parameter["schema"], parts, parameter["name"])
            if found is not None:
                parameter["example"] = found
    for content in operation.get("requestBody", {}).get("content", {}).values():
        content.setdefault("example", sample(content.get("schema", {}), parts))
    answers = operation["responses"] = {
        code: answer for code, answer in operation["responses"].items() if code.startswith(("2", "3"))
    }
    for answer in answers.values():
        for kind, content in answer.get("content", {}).items():
            if kind == "application/json":
                content.setdefault("example", sample(content.get("schema", {}), parts))
    if method == "GET" and any("application/json" in answer.get("content", {}) for answer in answers.values()):
        answers["304"] = {"description": "Unchanged since the answer with this ETag"}
    for kind in KINDS:
        if kind.status in _possible(method, operation, open_to_all):
            answers[str(kind.status)] = {"$ref": f"#/components/responses/{kind.name}"}


def _possible(method: str, operation: dict[str, Any], open_to_all: bool) -> set[int]:
    """Which errors an operation may answer."""
    found = set(_ANSWERED)
    if open_to_all:
        found -= {401}
    if method in SAFE:
        found -= {409, 413}
    else:
        found |= {504}
    if "requestBody" in operation:
        found |= {400, 415}
    return found


def _problem(kind: ProblemKind, parts: dict[str, Any]) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"} if "Problem" in parts else {"type": "object"}
    example = {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": kind.meaning,
        "instance": "/api/v1/alarms",
        "errors": [{"field": "limit", "text": "Input should be less than or equal to 500"}]
        if kind.status == 422
        else [],
    }
    content = {"application/problem+json": {"schema": schema, "example": example}}
    return {"description": f"{kind.title}: {kind.type}", "content": content}
