"""The page behind the link in a message: whoever has the link says that they have read it. No account.

Loading the page confirms nothing, because mail servers and chat services load links by themselves; the button does.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gateway.control.client import ControlError
from gateway.web.access import Refused
from gateway.web.context import web_of
from gateway.web.render import page
from gateway.web.texts import msgid

router = APIRouter()
TOKEN_CHARS = 80
ACTOR = "receipt"


@router.get("/r/{token}")
async def show_receipt(request: Request, token: str) -> Response:
    """The page with the button."""
    _check(request, token)
    return page(request, "receipt.html", token=token, done=False, said=None)


@router.post("/r/{token}")
async def confirm(request: Request, token: str) -> Response:
    """Tell the gateway that the message was read; again has no effect."""
    _check(request, token)
    web = web_of(request)
    try:
        await web.link.ask("notice.receipt", ACTOR, token=token)
    except ControlError:
        # Why is nobody's business: an expired link and a made-up one look the same.
        said = msgid("This link is not valid any more.")
        return page(request, "receipt.html", status=404, token=token, done=False, said=said)
    return page(request, "receipt.html", token=token, done=True, said=None)


def _check(request: Request, token: str) -> None:
    address = request.client.host if request.client else ""
    if not web_of(request).receipts.allows(address):
        raise Refused(429, msgid("Too many requests from this address. Wait a minute."))
    if not 8 <= len(token) <= TOKEN_CHARS or not token.isascii():
        raise Refused(404, msgid("This link is not valid any more."))
