"""How each way to a monitoring centre (监控中心) does, as the page of the notifications and the API tell it. Pure."""

from __future__ import annotations

from typing import NamedTuple

from gateway.web.ledger import Waiting
from gateway.web.picture import Picture


class CentreRow(NamedTuple):
    """A centre. connected None: the gateway does not answer. since_ms: when `connected` took its value.

    waiting: objects it has not confirmed, of which the oldest is from `oldest_ms`. repeated (frames), denied (objects):
    since the gateway was started; None while it does not answer.
    """

    id: str
    connected: bool | None
    since_ms: int | None
    waiting: int
    oldest_ms: int | None
    confirmed_ms: int | None
    repeated: int | None
    denied: int | None


def centre_rows(picture: Picture, waiting: dict[str, Waiting]) -> list[CentreRow]:
    """Every centre of the configuration, as the gateway told last."""
    rows = []
    for name, told in picture.centres.items():
        waits = waiting.get(name, Waiting(0, None))
        now = told if picture.connected else {}
        rows.append(
            CentreRow(
                name,
                bool(told.get("connected")) if picture.connected else None,
                now.get("since_ms"),
                waits.objects,
                waits.oldest_ms,
                told.get("last_confirm_ms"),
                now.get("repeated"),
                now.get("denied"),
            )
        )
    return rows
