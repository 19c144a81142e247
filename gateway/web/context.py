"""What the routes work with, put together once in app.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import jinja2
from starlette.requests import Request

from contract.errors import RetryLater
from gateway.history.base import History
from gateway.ledger.records import Session, User
from gateway.web.access import Cookies, Guard, Person
from gateway.web.inventory import Inventory
from gateway.web.ledger import WebLedger
from gateway.web.link import Link
from gateway.web.picture import Picture
from gateway.web.receipts import Brake
from gateway.web.settings import WebSettings
from gateway.web.sign_in import SignIn
from gateway.web.stream import Hub
from gateway.web.texts import Language, Texts, choose_language

T = TypeVar("T")
LANGUAGE_COOKIE = "weizhan_language"
THEME_COOKIE = "weizhan_theme"


@dataclass(kw_only=True)
class Web:
    """Everything a route may need."""

    settings: WebSettings
    now_ms: Callable[[], int]
    inventory: Inventory
    ledger: WebLedger
    history: History
    picture: Picture
    hub: Hub
    link: Link
    sign_in: SignIn
    cookies: Cookies
    guard: Guard
    catalogues: dict[Language, dict[str, str]]
    pages: jinja2.Environment
    receipts: Brake = field(default_factory=Brake)
    ended: set[str] = field(default_factory=set)
    """Hashes of sessions signed out here. One entry a sign-out; gone with the process, as by then the ledger knows."""

    async def read(self, question: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Ask the ledger without holding up the loop. Raises RetryLater when there is none."""
        return await asyncio.to_thread(question, *args, **kwargs)

    async def session(self, token_hash: str) -> tuple[Session, User] | None:
        """A session and whose it is; None when there is no such session or user."""

        def both() -> tuple[Session, User] | None:
            session = self.ledger.session(token_hash)
            user = self.ledger.user(session.user) if session else None
            return (session, user) if session and user else None

        return None if token_hash in self.ended else await self.read(both)

    async def refresh_approvals(self) -> None:
        """Know the devices approved since; a ledger that cannot be read now changes nothing."""
        try:
            self.inventory.approve(await self.read(self.ledger.approved_devices))
        except RetryLater:
            return

    def texts(self, request: Request) -> Texts:
        """The reader's language."""
        language = choose_language(
            request.cookies.get(LANGUAGE_COOKIE), request.headers.get("accept-language"), self.settings.language
        )
        return Texts(language, self.catalogues[language], ZoneInfo(self.settings.timezone))


def web_of(request: Request) -> Web:
    """The context of the app that serves this request."""
    web: Web = request.app.state.web
    return web


def person_of(request: Request) -> Person:
    """Who is signed in, on a route that needs it."""
    person: Person = request.state.person
    return person
