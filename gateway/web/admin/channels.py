"""Every way to every person: what the configuration says of it, how it does, and a test whose receipt is shown live.

The configuration file stays the one source: the page names file and line, and changes nothing. No address that may
carry a secret is shown whole.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.notify.settings import AppriseChannel, ScreenChannel, WebhookChannel
from gateway.web import commands
from gateway.web.api import PROBLEMS
from gateway.web.api_models import Answer, Done
from gateway.web.context import Web, person_of, web_of
from gateway.web.listing import Page, Turned, cut
from gateway.web.notices import plain_failure
from gateway.web.proofs import channels as ways_of
from gateway.web.render import page
from gateway.web.texts import Texts

router = APIRouter()
api = APIRouter()
_API: dict[str, Any] = {"responses": PROBLEMS}
Key = tuple[str, str]
"""Person and way."""
STEPS = ("planned", "sent", "delivered", "read")
"""How far a message comes, in order."""


class Test(NamedTuple):
    """The latest test by hand of a way. far: a step of STEPS, or failed; at_ms: when it came so far."""

    id: int
    far: str
    at_ms: int
    asked_ms: int
    why: str
    steps: tuple[tuple[str, int | None], ...]
    """Each step with when it was reached; the first is when it was asked for."""


class WayRow(NamedTuple):
    """A way to a person. state: ok | failing | unknown; place: file and line; address: never a secret."""

    person: str
    name: str
    channel: str
    kind: str
    address: str
    place: str
    state: str
    why: str
    pending: int
    last_sent_ms: int | None
    last_receipt_ms: int | None
    failing_ms: int | None
    proven_ms: int | None
    test: Test | None

    @property
    def is_testing(self) -> bool:
        """Whether a test is on its way."""
        return self.test is not None and self.test.far in ("planned", "sent") and not self.test.why


class _Facts(NamedTuple):
    sent_ms: int | None
    receipt_ms: int | None
    test: tuple[Any, ...] | None


def way_facts(connection: sqlite3.Connection) -> dict[Key, _Facts]:
    """What the ledger knows of each way: latest sent, latest receipt, latest test by hand."""
    last = {
        (row[0], row[1]): (row[2], row[3])
        for row in connection.execute(
            "SELECT person, channel, max(sent_ms), max(max(coalesce(delivered_ms, 0), coalesce(read_ms, 0))) "
            "FROM notice WHERE state = 'sent' GROUP BY person, channel"
        )
    }
    tests = {
        (row[0], row[1]): tuple(row[2:])
        for row in connection.execute(
            "SELECT person, channel, max(id), state, due_ms, sent_ms, delivered_ms, read_ms, error FROM notice "
            "WHERE kind = 'test' GROUP BY person, channel"
        )
    }
    return {
        key: _Facts(last.get(key, (None, 0))[0], last.get(key, (None, 0))[1] or None, tests.get(key))
        for key in last.keys() | tests.keys()
    }


async def way_rows(web: Web, texts: Texts) -> list[WayRow]:
    """Every way of the configuration, in its order, then any the gateway knows beyond it."""
    facts: Mapping[Key, _Facts] = await web.read(web.ledger.question, way_facts)
    live = {(str(way["person"]), str(way["channel"])): way for way in ways_of(web.picture)}
    proven = {str(row.get("target")): row.get("proven_ms") for row in web.picture.proofs}
    rows, seen = [], set()
    for p, person in enumerate(web.configured.notify.people):
        for c, channel in enumerate(person.channels):
            key = (person.id, channel.id)
            seen.add(key)
            place = web.configured.place("notify", "people", p, "channels", c)
            told = address_of(channel)
            rows.append(_row(key, person.name, channel.kind, told, place, live, facts, proven, texts))
    for key, way in live.items():
        if key not in seen:
            rows.append(_row(key, str(way["name"]), str(way["kind"]), "", "", live, facts, proven, texts))
    return rows


def _row(
    key: Key,
    name: str,
    kind: str,
    address: str,
    place: str,
    live: Mapping[Key, dict[str, Any]],
    facts: Mapping[Key, _Facts],
    proven: Mapping[str, Any],
    texts: Texts,
) -> WayRow:
    way, known = live.get(key, {}), facts.get(key, _Facts(None, None, None))
    target = f"channel/{key[0]}/{key[1]}"
    return WayRow(
        person=key[0], name=name, channel=key[1], kind=kind, address=address, place=place,
        state=str(way.get("state", "unknown")), why=plain_failure(way.get("error"), texts),
        pending=int(way.get("pending", 0)), last_sent_ms=way.get("last_sent_ms") or known.sent_ms,
        last_receipt_ms=known.receipt_ms, failing_ms=way.get("since_ms"), proven_ms=proven.get(target),
        test=None if known.test is None else _test(known.test, texts),
    )  # fmt: skip


def _test(row: tuple[Any, ...], texts: Texts) -> Test:
    number, state, due_ms, sent_ms, delivered_ms, read_ms, error = row
    far, at_ms = ("failed" if state in ("failed", "expired", "stopped") else "planned"), due_ms
    for step, done_ms in (("sent", sent_ms), ("delivered", delivered_ms), ("read", read_ms)):
        if done_ms is not None:
            far, at_ms = step, done_ms
    times = (due_ms, sent_ms, delivered_ms, read_ms)
    why = plain_failure(error, texts) if sent_ms is None else ""
    return Test(number, far, at_ms, due_ms, why, tuple(zip(STEPS, times, strict=True)))


def address_of(channel: ScreenChannel | AppriseChannel | WebhookChannel) -> str:
    """Where a way leads, without anything that may be a secret: a host, or the file the address stands in."""
    if isinstance(channel, WebhookChannel):
        parts = urlsplit(channel.url)
        host = parts.hostname or ""
        port = "" if parts.port is None else f":{parts.port}"
        # A path of a webhook is often its key.
        return f"{parts.scheme}://{host}{port}/{'…' if parts.path.strip('/') else ''}"
    return channel.url_file.name if isinstance(channel, AppriseChannel) else ""


@router.get("/admin/channels")
async def channels_page(request: Request) -> Response:
    """Ways to people, their state, a button for each that sends a test."""
    web = web_of(request)
    texts = web.texts(request)
    return page(
        request, "admin_channels.html", fragment="_admin_channels.html", ways=await way_rows(web, texts),
        file=web.configured.file, steps=STEPS,
    )  # fmt: skip


@router.post("/admin/channels/{person}/{channel}/test")
async def send_test(request: Request, person: str, channel: str) -> Response:
    """Send a marked test by one way; the page then shows how far it comes."""
    await _ask_test(request, person, channel)
    return RedirectResponse("/admin/channels", 303)


class TestAnswer(Answer):
    """The latest test by hand of a way."""

    id: int
    far: str
    """planned, sent, delivered, read or failed."""
    at_ms: int
    asked_ms: int
    why: str
    """In the language of the request; empty while nothing is wrong."""


class WayAnswer(Answer):
    """A way to a person."""

    person: str
    name: str
    channel: str
    kind: str
    state: str
    """ok, failing or unknown."""
    why: str
    pending: int
    last_sent_ms: int | None
    last_receipt_ms: int | None
    proven_ms: int | None
    place: str
    """File and line of the configuration."""
    test: TestAnswer | None


@api.get("/api/v1/channels", **_API)
async def list_channels(request: Request, turn: Turned) -> Page[WayAnswer]:
    """Every way to every person."""
    web = web_of(request)
    rows, after = cut(await way_rows(web, web.texts(request)), turn, lambda row: (row.person, row.channel))
    ways = [
        WayAnswer(
            **{name: getattr(row, name) for name in WayAnswer.model_fields if name != "test"},
            test=None
            if row.test is None
            else TestAnswer(**{name: getattr(row.test, name) for name in TestAnswer.model_fields}),
        )
        for row in rows
    ]
    return Page(items=ways, next=after)


@api.post("/api/v1/channels/{person}/{channel}/test", **_API)
async def test_channel(request: Request, person: str, channel: str) -> Done:
    """Send a marked test by one way; its number. Again within ten seconds: the same test."""
    return Done(id=await _ask_test(request, person, channel))


async def _ask_test(request: Request, person: str, channel: str) -> int:
    web = web_of(request)
    done = await commands.do(web, person_of(request), "notify.test", person=person, channel=channel)
    return int(done["id"])
