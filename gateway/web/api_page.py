"""The reference of the API as a page: drawn from its OpenAPI document by our own template, nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gateway.web.openapi import described
from gateway.web.problems import KINDS
from gateway.web.render import page

router = APIRouter()


class Shown(NamedTuple):
    """An operation as the page shows it. asked, answered: examples as JSON text, or None."""

    id: str
    method: str
    path: str
    summary: str
    roles: list[str]
    parameters: list[dict[str, Any]]
    asked: str | None
    answered: str | None
    errors: list[str]


@router.get("/api")
async def reference(request: Request) -> Response:
    """Every operation with its parameters, an example of request and answer, and its errors."""
    document = described(request.app)
    groups: dict[str, list[Shown]] = {tag["name"]: [] for tag in document["tags"]}
    for tag, shown in _operations(document):
        groups[tag].append(shown)
    texts = {tag["name"]: tag.get("description", "") for tag in document["tags"]}
    return page(
        request,
        "api.html",
        groups=[(name, texts[name], shown) for name, shown in groups.items()],
        about=document["info"]["description"].replace("`", "").split("\n\n"),
        kinds=KINDS,
    )


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, Shown]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            answers = operation["responses"]
            shown = Shown(
                operation["operationId"],
                method.upper(),
                path,
                operation.get("description") or operation.get("summary", ""),
                operation.get("x-roles", []),
                [_parameter(each) for each in operation.get("parameters", ())],
                _example(operation.get("requestBody", {})),
                next((_example(answer) for code, answer in answers.items() if code.startswith("2")), None),
                [code for code in answers if code[0] in "45"],
            )
            yield operation["tags"][0], shown


def _parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    schema = parameter["schema"]
    kinds = [each.get("type", "") for each in schema.get("anyOf", (schema,))]
    limits = [f"{word} {schema[key]}" for key, word in (("minimum", "≥"), ("maximum", "≤")) if key in schema]
    return {
        "name": parameter["name"],
        "where": parameter["in"],
        "required": parameter.get("required", False),
        "type": " | ".join(kind for kind in kinds if kind and kind != "null"),
        "choices": schema.get("enum", []),
        "limits": limits,
        "text": parameter.get("description", ""),
        "example": parameter.get("example"),
    }


def _example(part: dict[str, Any]) -> str | None:
    for kind, content in part.get("content", {}).items():
        if "example" in content:
            value = content["example"]
            return value if "json" not in kind else json.dumps(value, ensure_ascii=False, indent=2)
    return None
