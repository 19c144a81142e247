"""The API describes itself: every operation with examples that fit, errors with stable types, ETags, a page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from docs import generate
from gateway.web.access import ROUTES
from gateway.web.openapi import HEAD
from gateway.web.problems import KINDS, kind_of
from tests.web.station import Browser, Station, serving


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The description of the product's routes."""
    made: dict[str, Any] = json.loads(generate.api_document())
    return made


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def _faults(document: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    whole = {**schema, "components": document["components"]}
    return [f"{list(e.instance_path)}: {e.message}" for e in jsonschema_rs.validator_for(whole).iter_errors(value)]


def test_every_route_of_the_api_is_described_with_a_tag_and_an_id_of_its_own(document: dict[str, Any]) -> None:
    """None is left out; ids are unique, because clients are made from them."""
    described = {tuple(name.split(" ")) for name, _ in _operations(document)}
    wanted = {(method, path) for method, path in ROUTES if path.startswith(HEAD) and not path.endswith(".json")}
    assert described == wanted
    ids = [operation["operationId"] for _, operation in _operations(document)]
    assert len(set(ids)) == len(ids)
    assert {operation["tags"][0] for _, operation in _operations(document)} == {t["name"] for t in document["tags"]}


def test_every_request_and_answer_has_an_example_that_fits_its_schema(document: dict[str, Any]) -> None:
    """An example nobody could send, or that would never come, is worse than none."""
    wrong: dict[str, Any] = {}
    for name, operation in _operations(document):
        asked = [(p["name"], p) for p in operation.get("parameters", ())]
        asked += [("body", c) for c in operation.get("requestBody", {}).get("content", {}).values()]
        answered = [(code, c) for code, a in operation["responses"].items() for c in a.get("content", {}).values()]
        assert any(code.startswith("2") for code, _ in answered), f"{name}: says nothing of its answer"
        for part, content in (*asked, *answered):
            if "example" not in content:
                wrong[f"{name} {part}"] = "no example"
            elif faults := _faults(document, content["schema"], content["example"]):
                wrong[f"{name} {part}"] = faults
    assert wrong == {}


def test_every_operation_says_which_problems_it_answers(document: dict[str, Any]) -> None:
    """Each by its type, and none by FastAPI's own form of errors."""
    for name, operation in _operations(document):
        problems = {code: a for code, a in operation["responses"].items() if code[0] in "45"}
        assert {"403", "404", "503"} <= set(problems), name
        for code, answer in problems.items():
            assert answer == {"$ref": f"#/components/responses/{kind_of(int(code)).name}"}
    for kind in KINDS:
        content = document["components"]["responses"][kind.name]["content"]["application/problem+json"]
        assert content["example"]["type"] == kind.type
        assert _faults(document, content["schema"], content["example"]) == []
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_the_file_for_clients_is_fresh_when_routes_stand_as_they_do(document: dict[str, Any]) -> None:
    """What a version changes is seen in docs/openapi.json."""
    assert json.loads((generate.ROOT / "docs/openapi.json").read_text("utf-8")) == document, "run `make docs`"


def test_types_of_problems_stay_as_they_are() -> None:
    """Clients compare with them: one may be added, none may change."""
    assert {kind.status: kind.type.rpartition(":")[2] for kind in KINDS} == {
        400: "bad-request", 401: "sign-in-needed", 403: "not-allowed", 404: "not-found", 405: "method-not-allowed",
        409: "conflict", 413: "too-large", 415: "wrong-content", 422: "invalid", 429: "too-many", 500: "internal",
        503: "unavailable", 504: "not-known-yet",
    }  # fmt: skip
    assert (kind_of(418).name, kind_of(599).name) == ("bad-request", "internal")


async def test_an_unchanged_answer_is_sent_without_its_body_when_its_tag_is_known(station: Station) -> None:
    """304 until something moves, then the new answer."""
    station.all_good()
    station.user("duty")
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("duty")
        path = "/api/v1/alarms"
        first = await browser.get(path)
        same = await browser.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (first.status_code, same.status_code, same.content) == (200, 304, b"")
        assert same.headers["etag"] == first.headers["etag"]
        station.alarm("hydrant-pressure-low", "shuiye/hydrant-01/pressure_kpa", "warning")
        other = await browser.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (other.status_code, len(other.json()["items"])) == (200, 1)


async def test_a_wrong_field_is_named_when_a_request_does_not_fit(station: Station) -> None:
    """With the stable type of the problem, and each field with its sentence."""
    station.user("inspector")
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        signed_out = (await browser.get("/api/v1/alarms")).json()
        assert (signed_out["type"], signed_out["status"]) == ("urn:weizhan:problem:sign-in-needed", 401)
        await browser.sign_in("inspector")
        wrong = (await browser.get("/api/v1/alarms", params={"limit": 0})).json()
        assert (wrong["type"], [e["field"] for e in wrong["errors"]]) == ("urn:weizhan:problem:invalid", ["limit"])
        missing = (await browser.get("/api/v1/nothing-here")).json()
        assert missing["type"] == "urn:weizhan:problem:not-found"


async def test_the_reference_shows_every_operation_without_a_script_of_others(station: Station) -> None:
    """One page from our own template; in Chinese its frame is Chinese."""
    station.user("inspector")
    async with station.gateway(), serving(station) as address, Browser(address, "zh") as browser:
        await browser.sign_in("inspector")
        text = (await browser.get("/api")).text
        served = (await browser.get("/api/v1/openapi.json")).json()
    ids = [operation["operationId"] for _, operation in _operations(served)]
    assert [name for name in ids if f'id="{name}"' not in text] == []
    assert "API 参考" in text
    assert "http://" not in text.replace("http://127.0.0.1", "")
