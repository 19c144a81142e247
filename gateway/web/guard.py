"""The one check before every route: who asks, whether the table lets them, whether their own page sent it."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.requests import Request

from gateway.web.access import (
    ALL_AREAS,
    ANYONE,
    COOKIELESS,
    IN_PERSON,
    PROBES,
    ROUTES,
    SAFE,
    STREAMS,
    Person,
    Refused,
    SignInNeeded,
    csrf_of,
)
from gateway.web.texts import msgid

BROWSERS = frozenset({"browser", "wall"})
TOKENS = frozenset({"token"})
"""Kinds of session that a cookie, and an Authorization header, may stand for."""


class Cookies(NamedTuple):
    """Names of our cookies. With HTTPS the `__Host-` prefix ties them to this host and path."""

    session: str
    before: str
    pending: str
    secure: bool
    head: str = ""
    """Before the name of every further cookie."""

    @classmethod
    def named(cls, secure: bool) -> Cookies:
        """The names to use with or without HTTPS."""
        head = "__Host-" if secure else ""
        return cls(f"{head}weizhan", f"{head}weizhan_before", f"{head}weizhan_pending", secure, head)


class Guard:
    """The one check before every route.

    Args:
        people: gives who a token stands for, among these kinds of session; None for one that holds no more.
        hosts: names this site is reached by, beside the one a request was sent to.
    """

    def __init__(
        self,
        cookies: Cookies,
        people: Callable[[str, frozenset[str]], Awaitable[Person | None]],
        hosts: frozenset[str] = frozenset(),
    ) -> None:
        self._cookies = cookies
        self._people = people
        self._hosts = hosts

    async def check(self, request: Request, path: str) -> Person | None:
        """The person who asks; None on a route open to anyone without a sign-in.

        Raises:
            SignInNeeded: the route needs a session and there is none that holds.
            Refused: the role does not fit (403), or the CSRF token is missing or wrong (403).
        """
        method = "GET" if request.method == "HEAD" else request.method
        roles = ROUTES.get((method, path))
        if roles is None:
            raise Refused(403, msgid("This address is not open to anybody."))
        if path in PROBES or path in COOKIELESS:
            # The first are asked by machines, and must answer when the ledger does not.
            return None
        person = await self.person(request)
        if roles is not ANYONE:
            if person is None:
                raise SignInNeeded
            if not person.may(roles):
                raise Refused(403, msgid("Your role does not allow this."))
            if person.area and path in ALL_AREAS:
                raise Refused(404, msgid("This is for administrators of all areas."))
        if person is not None and person.via:
            self._check_token(request, person, path)
            return person  # no browser sends a token by itself, so no other site's page can have it sent
        if path in STREAMS:
            self._check_origin(request)
        if request.method not in SAFE:
            await self._check_csrf(request, person)
        return person

    async def person(self, request: Request) -> Person | None:
        """Who the token of the request belongs to, or the session cookie where there is none.

        None for neither, an ended or an expired one.
        """
        said = request.headers.get("authorization")
        if said is not None:
            scheme, _, token = said.partition(" ")
            return await self._find(token.strip(), TOKENS) if scheme.lower() == "bearer" else None
        return await self._find(request.cookies.get(self._cookies.session), BROWSERS)

    async def _find(self, token: str | None, kinds: frozenset[str]) -> Person | None:
        return None if not token or len(token) > 128 else await self._people(token, kinds)

    def _check_token(self, request: Request, person: Person, path: str) -> None:
        if path.startswith(IN_PERSON):
            raise Refused(403, msgid("This is for a person at a browser, not for a token."))
        if person.reads_only and request.method not in SAFE:
            raise Refused(403, msgid("This token may only read."))

    def _check_origin(self, request: Request) -> None:
        """A page of another site may not listen, although the browser would send the cookie along."""
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        here = {request.headers.get("host", ""), *self._hosts}
        if site not in (None, "same-origin", "none") or (origin is not None and urlsplit(origin).netloc not in here):
            raise Refused(403, msgid("This address is not open to pages of another site."))

    async def _check_csrf(self, request: Request, person: Person | None) -> None:
        given = request.headers.get("x-csrf-token")
        if given is None and "form" in request.headers.get("content-type", ""):
            value = (await request.form()).get("csrf")
            given = value if isinstance(value, str) else None
        wanted = person.csrf if person else None
        if wanted is None:
            before = request.cookies.get(self._cookies.before)
            wanted = csrf_of(before) if before else None
        if wanted is None or given is None or not hmac.compare_digest(_bytes(given), wanted.encode()):
            raise Refused(403, msgid("This form is out of date. Load the page again."))


def _bytes(given: str) -> bytes:
    """Whatever was sent: in an odd encoding it may hold halves of characters, which no text in UTF-8 has."""
    return given.encode(errors="surrogatepass")
