"""Who stands at the screen: the person of the login, or one who gives their PIN."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from gateway.ledger.records import User
from gateway.web.access import Refused
from gateway.web.context import web_of
from gateway.web.texts import msgid

_SAID = {
    "braked": (429, msgid("Too many failed tries from this address. Wait 15 minutes.")),
    "busy": (429, msgid("Too many requests from this address. Wait a minute.")),
}


async def prove(request: Request, person: int | None, pin: str) -> dict[str, Any]:
    """What a command is to be told of who acts: nothing for the person of the login, else whose PIN that was.

    Raises:
        Refused: 403 for a wrong PIN or a person without one, 429 after too many.
    """
    if person is None:
        return {}
    web = web_of(request)
    found = (await web.read(web.ledger.identities)).get(person)
    pin_hash = found.pin_hash if found is not None else None
    # As a user who has the PIN for a password: the same work, the same brake, the same answer for nobody.
    name = f"person/{person}"
    user = User(name, "duty", pin_hash, None, 0) if pin_hash is not None else None
    result = await web.sign_in.attempt(user, name, pin[:64], request.client.host if request.client else "")
    if result.outcome == "ok":
        return {"person": person, "proof": "pin"}
    if result.outcome == "wrong":
        address = request.client.host if request.client else ""
        await web.link.ask("person.pin_failed", "local", id=person, address=address)
    status, said = _SAID.get(result.outcome, (403, msgid("The PIN is not right.")))
    raise Refused(status, said)
