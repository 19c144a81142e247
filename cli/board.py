"""A person at the board, for measuring: signs in over HTTP, keeps the live stream open, notes when each alarm shows."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from typing import Any, NamedTuple

import httpx

from contract.errors import StartError

_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


class Seen(NamedTuple):
    """An alarm as the board showed it for the first time in this state."""

    rule: str
    subject: str
    active: bool
    raised_ms: int
    shown_ms: int


class Board:
    """`async with Board(url, user, one_time_password) as board`: `board.seen` grows as alarms come and go."""

    def __init__(self, url: str, user: str, one_time_password: str) -> None:
        self.seen: list[Seen] = []
        self._user = user
        self._password = one_time_password
        self._client = httpx.AsyncClient(base_url=url, timeout=httpx.Timeout(10, read=30))
        self._reading: asyncio.Task[None] | None = None
        self._open = asyncio.Event()

    async def __aenter__(self) -> Board:
        await self._sign_in()
        self._reading = asyncio.create_task(self._read(), name="board stream")
        async with asyncio.timeout(10):
            await self._open.wait()
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._client.aclose()

    async def _sign_in(self) -> None:
        """As a person does: the one-time password, then one of their own."""
        page = await self._client.get("/sign-in")
        form = {"name": self._user, "password": self._password, "csrf": _token(page)}
        answer = await self._client.post("/sign-in", data=form)
        if answer.headers.get("location") != "/first-password":
            raise StartError(f"sign-in of {self._user}: got {answer.status_code}, want the page for a new password.")
        page = await self._client.get("/first-password")
        own = secrets.token_urlsafe(15)
        answer = await self._client.post("/first-password", data={"password": own, "again": own, "csrf": _token(page)})
        if answer.status_code != 303:
            raise StartError(f"new password of {self._user}: got {answer.status_code}, want to be signed in.")

    async def _read(self) -> None:
        while True:
            try:
                async with self._client.stream("GET", "/api/v1/stream") as answer:
                    answer.raise_for_status()
                    self._open.set()
                    name = ""
                    async for line in answer.aiter_lines():
                        if line.startswith("event:"):
                            name = line[6:].strip()
                        elif line.startswith("data:") and name == "alarm":
                            self._note(json.loads(line[5:]))
            except httpx.HTTPError:
                await asyncio.sleep(0.2)  # as a browser does

    def _note(self, alarm: dict[str, Any]) -> None:
        shown_ms = time.time_ns() // 1_000_000
        self.seen.append(Seen(alarm["rule"], alarm["subject"], alarm["active"], alarm["raised_ms"], shown_ms))


def _token(page: httpx.Response) -> str:
    found = _CSRF.search(page.text)
    if found is None:
        raise StartError(f"{page.url}: got {page.status_code} without a form, want the page with its form.")
    return found[1]
