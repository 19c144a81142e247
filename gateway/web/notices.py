"""Who was told of what, on which way, and whether it arrived: messages in the reader's words."""

from __future__ import annotations

from typing import NamedTuple

from gateway.ledger.records import NoticeRow
from gateway.web.context import Web
from gateway.web.ledger import Message
from gateway.web.picture import Picture
from gateway.web.texts import Texts


class Notice(NamedTuple):
    """A message for people. far: failed, stopped, planned, sent, delivered, read - how far it came; at_ms: when."""

    id: int
    person: str
    channel: str
    kind: str
    far: str
    at_ms: int
    error: str
    title: str = ""
    severity: str = ""
    alarms: tuple[int, ...] = ()
    attempts: int = 0


async def notices_of(web: Web, alarm_id: int, texts: Texts) -> list[Notice]:
    """Every message about an alarm, oldest first."""
    del texts
    names = person_names(web.picture)
    return [_notice(row, names) for row in await web.read(web.ledger.notices_of, alarm_id)]


def message_rows(rows: list[Message], picture: Picture, texts: Texts) -> list[Notice]:
    """The outbox."""
    names = person_names(picture)
    return [
        _notice(row, names)._replace(
            title=row.title_zh if texts.language == "zh" else row.title_en,
            severity=row.severity,
            alarms=tuple(row.alarms),
            attempts=row.attempts,
        )
        for row in rows
    ]


def person_names(picture: Picture) -> dict[str, str]:
    """Id of a person who is told -> name."""
    return {str(way.get("person")): str(way.get("name")) for way in picture.notices.get("ways", [])}


def _notice(row: NoticeRow | Message, names: dict[str, str]) -> Notice:
    far, at_ms = row.state, row.sent_ms or row.due_ms
    if row.read_ms is not None:
        far, at_ms = "read", row.read_ms
    elif row.delivered_ms is not None:
        far, at_ms = "delivered", row.delivered_ms
    return Notice(row.id, names.get(row.person, row.person), row.channel, row.kind, far, at_ms, row.error or "")
