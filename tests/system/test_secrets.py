"""A canary in every secret setting: it is in no page, export, log, backup, database or process list."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from fastapi.routing import APIRoute
from pydantic import BaseModel

from cli.settings import Settings
from gateway.web.access import ADMINISTER, ROUTES
from gateway.web.app import APIS, PAGES
from tests.web.office import open_office
from tests.web.station import SITE

CANARY = "c4n4ry-0f-a-secret"
SECRET_FIELDS = {"password_file", "token_file", "secret_file", "url_file", "tls_key_file", "key_file"}
"""Settings that name a file with a secret."""


def _fields(model: type[BaseModel], seen: set[type] | None = None) -> Iterator[str]:
    seen = set() if seen is None else seen
    if model in seen:
        return
    seen.add(model)
    for name, field in model.model_fields.items():
        yield name
        for inner in _models(field.annotation):
            yield from _fields(inner, seen)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in getattr(annotation, "__args__", ()):
        yield from _models(each)


def test_every_setting_that_names_a_secret_is_known_here_and_none_holds_one_itself() -> None:
    """A new secret setting must come into this test; no setting takes a secret as text."""
    names = set(_fields(Settings))
    assert {
        name for name in names if re.search(r"(password|token|secret|_key|url)_file$|^key_file$", name)
    } == SECRET_FIELDS
    assert {name for name in names if re.search(r"password$|token$|secret$|api_key$", name)} == set()


def _secret(folder: Path, name: str, text: str = "") -> str:
    path = folder / f"{name}.secret"
    path.touch(mode=0o600)
    path.write_text(text or f"{CANARY}-{name}\n", "utf-8")
    return str(path)


def _notify(folder: Path) -> dict[str, Any]:
    channels = [
        {"kind": "webhook", "id": "hook", "url": "http://127.0.0.1:9/x", "secret_file": _secret(folder, "hook")},
        {"kind": "apprise", "id": "ntfy",
         "url_file": _secret(folder, "ntfy", f"ntfy://{CANARY}-user:{CANARY}-pass@127.0.0.1:9/{CANARY}-topic\n")},
    ]  # fmt: skip
    people = [{"id": "wang", "name": "王强", "channels": channels}]
    chains = [{"id": "all", "steps": [{"after_s": 0, "people": ["wang"]}]}]
    routes = [{"chain": "all", "severities": ["fire", "critical", "warning", "info"]}]
    return {"people": people, "chains": chains, "routes": routes, "private_addresses": True, "retry_s": 0.1}


async def test_no_secret_is_in_any_answer_log_backup_or_file_when_everything_is_searched(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every page and list of the administrator, the ledger's bytes, a backup, the log: 0 times."""
    secrets = tmp_path / "k"
    secrets.mkdir()
    async with open_office(tmp_path / "o", _notify(secrets)) as office:
        for way in ("hook", "ntfy"):
            await office.api("POST", f"/api/v1/channels/wang/{way}/test")
        await office.api("POST", "/api/v1/backups")
        async with asyncio.timeout(60):
            while (await office.browser.get("/api/v1/backups")).json()["items"][0]["state"] != "done":
                await asyncio.sleep(0.1)
            while not all(row["why"] for row in (await office.browser.get("/api/v1/channels")).json()["items"]):
                await asyncio.sleep(0.1)
        found = []
        paths = {
            route.path
            for router in (*PAGES, *APIS)
            for route in router.routes
            if isinstance(route, APIRoute) and "GET" in route.methods and "{" not in route.path
        }
        asked = [path for path in sorted(paths) if "stream" not in path and ROUTES["GET", path] & ADMINISTER]
        assert len(asked) > 40
        for path in [*asked, "/admin/backups/1/file", "/devices/shuiye/hydrant-01", "/api/v1/openapi.json"]:
            answer = await office.browser.get(path)
            assert answer.status_code < 500, path
            found += [path] if CANARY.encode() in answer.content else []
        status = str(office.gateway.status())
    found += ["status"] if CANARY in status else []
    found += ["log"] if CANARY in caplog.text else []
    for file in (tmp_path / "o").rglob("*"):
        if file.is_file() and CANARY.encode() in file.read_bytes():
            found.append(str(file))
    assert found == []


async def test_no_secret_is_in_the_process_list_or_the_output_when_the_gateway_runs(tmp_path: Path) -> None:
    """Command line, environment and everything the process writes."""
    (tmp_path / "shuiye.yaml").write_text(SITE, "utf-8")
    record = {
        "mqtt": {"port": 9, "username": "gateway", "password_file": _secret(tmp_path, "mqtt")},
        "gateway": {"sites": ["shuiye.yaml"], "data_dir": "d"},
        "notify": _notify(tmp_path),
    }
    (tmp_path / "weizhan.yaml").write_text(yaml.safe_dump(record, allow_unicode=True), "utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli.main", "gateway", "run", "-c", str(tmp_path / "weizhan.yaml"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        said = b""
        async with asyncio.timeout(30):
            while b"broker" not in said:
                said += await process.stdout.readline()
        shown = psutil.Process(process.pid)
        told = " ".join((*shown.cmdline(), *shown.environ().values()))
    finally:
        process.terminate()
        with contextlib.suppress(ProcessLookupError):
            said += (await process.communicate())[0] or b""
    assert CANARY not in told
    assert CANARY.encode() not in said
    files = [path for path in (tmp_path / "d").rglob("*") if path.is_file()]
    assert [path.name for path in files if CANARY.encode() in path.read_bytes()] == []
