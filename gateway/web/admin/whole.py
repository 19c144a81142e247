"""Who these pages are for: administrators of everything. One of an area would see what lies in others."""

from __future__ import annotations

from starlette.requests import Request

from gateway.web.access import Refused
from gateway.web.context import Web, web_of
from gateway.web.texts import msgid


def whole_of(request: Request) -> Web:
    """The context of all areas. Raises Refused (404) for a person of one area."""
    web = web_of(request)
    if web.whole is not None:
        raise Refused(404, msgid("This is for administrators of all areas."))
    return web
