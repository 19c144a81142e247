"""Who was told of what, on which way, and whether it arrived: messages in the reader's words."""

from __future__ import annotations

import re
from typing import NamedTuple

from gateway.ledger.records import NoticeRow
from gateway.web.context import Web
from gateway.web.ledger import Message
from gateway.web.picture import Picture
from gateway.web.texts import Texts, msgid


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
    names = person_names(web.picture)
    return [_notice(row, names, texts) for row in await web.read(web.ledger.notices_of, alarm_id)]


def message_rows(rows: list[Message], picture: Picture, texts: Texts) -> list[Notice]:
    """The outbox."""
    names = person_names(picture)
    return [
        _notice(row, names, texts)._replace(
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


def _notice(row: NoticeRow | Message, names: dict[str, str], texts: Texts) -> Notice:
    far, at_ms = row.state, row.sent_ms or row.due_ms
    if row.read_ms is not None:
        far, at_ms = "read", row.read_ms
    elif row.delivered_ms is not None:
        far, at_ms = "delivered", row.delivered_ms
    why = plain_failure(row.error, texts) if row.error else ""
    return Notice(row.id, names.get(row.person, row.person), row.channel, row.kind, far, at_ms, why)


_REASONS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (r"name of the server", msgid("The name of the server is not known. Check the address, and the network.")),
        (r"private network", msgid("The server is in a private network; notify.private_addresses would allow it.")),
        (r"address is (link-local|not of this)", msgid("The address may not be used.")),
        (r"^no answer within", msgid("The service did not answer in time.")),
        (r"^no connection", msgid("The service cannot be reached.")),
        (r"a redirect", msgid("The service sends elsewhere, which is not followed. Enter its final address.")),
        (r"^got (401|403)", msgid("The service does not accept our secret. Renew it in its file.")),
        (r"^got \d+", msgid("The service answered with an error.")),
        (r"still hang", msgid("The service hangs; earlier messages wait for it.")),
        (r"no page server", msgid("No page is open anywhere, so no screen could show it.")),
        (r"mode 0|no readable|want a readable|exactly one line", msgid("The file with the secret cannot be used.")),
        (r"not sent in time", msgid("It could not be sent in time.")),
        (r"^a later message", msgid("A later message says the same.")),
        (r"^acknowledged", msgid("The alarm was acknowledged.")),
        (r"^held", msgid("The alarm is kept still.")),
        (r"^answered", msgid("The duty check was answered.")),
        (r"form|service's plug-in|service '", msgid("The address does not fit the service. Check the file.")),
    )
)  # fmt: skip


def plain_failure(error: str | None, texts: Texts) -> str:
    """Why a message did not go or was stopped, in the reader's words; empty while nothing is wrong."""
    if not error:
        return ""
    for pattern, said in _REASONS:
        if pattern.search(error):
            return texts(said)
    return texts("The service did not take the message.")
