"""Security headers on every answer, and a limit on what is taken in.

No inline script or style anywhere, nothing from another host.
"""

from __future__ import annotations

from fastapi import HTTPException
from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.web.access import SAFE

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


class SecurityHeaders:
    """Adds the headers to whatever the app answers. Plain ASGI: streams pass through untouched."""

    def __init__(self, app: ASGIApp, secure: bool) -> None:
        self._app = app
        self._headers = {
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        }
        if secure:
            self._headers["Strict-Transport-Security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith("/static/"):
                    # Addresses carry a digest of the content; without one the browser asks again.
                    fixed = b"v=" in scope.get("query_string", b"")
                    headers["Cache-Control"] = "public, max-age=31536000, immutable" if fixed else "no-cache"
                else:
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers)


BODY_BYTES = 64 * 1024
"""Largest request body; every form and every API request is far below."""
UPLOAD_BYTES = 8 * 1024 * 1024 + BODY_BYTES
"""Largest request body of a form that takes a photo or a table."""
UPLOADS = (
    "/patrols/",
    "/map/plans",
    "/training",
    "/hazards",
    "/report",
    "/admin/sites/",
    "/api/v1/photos",
    "/people/import",
    "/roster/import",
    "/api/v1/people/import",
    "/api/v1/roster/import",
    "/upkeep/orders",
    "/upkeep/lines/",
    "/upkeep/lab",
    "/records/check",
)
"""Beginnings of the paths that take photos, tables or other files."""


async def _refusing() -> Message:
    raise HTTPException(413)


class BodyLimit:
    """Answers 413 to a larger body, whether its length was announced or not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = UPLOAD_BYTES if scope["path"].startswith(UPLOADS) else BODY_BYTES
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > limit:
            if scope["method"] in SAFE:
                await PlainTextResponse("too large\n", 413)(scope, receive, send)
            else:  # the app says it like every refusal, in the reader's language
                await self._app(scope, _refusing, send)
            return
        taken = 0

        async def limited() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > limit:
                raise HTTPException(413)
            return message

        await self._app(scope, limited, send)
