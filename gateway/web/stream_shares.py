"""Who may have a live stream: a fair share for each sign-in and account, and places kept for the duty desk.

Streams are bounded. Without shares one person's tabs, or one program with a token, could take them all, and the desk
would be told late of a fire.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gateway.web.texts import msgid

FULL = msgid("Too many screens are open. Close one, or raise web.stream_clients.")
KEPT = msgid(
    "The live streams that are left are kept for duty desks and walls. Close a screen, or raise web.stream_clients."
)
SESSION = msgid("Too many screens are open with this sign-in or token. Close one.")
ACCOUNT = msgid("Too many screens are open with this account. Close one.")


class Listener(NamedTuple):
    """Who has a stream. key: hash of the session. account: '' for a wall. desk: a duty account's browser, or a wall."""

    key: str = ""
    account: str = ""
    desk: bool = False


class No(NamedTuple):
    """Why there is none: HTTP status and a msgid."""

    status: int
    text: str


class Shares(NamedTuple):
    """How many streams there are. kept: of all, for desks alone; half of all at most."""

    clients: int
    each_session: int = 20
    each_account: int = 60
    kept: int = 0

    def refusal(self, who: Listener, others: Iterable[Listener]) -> No | None:
        """Why somebody gets no further stream beside those that are open; None: they get one."""
        total = strangers = of_session = of_account = 0
        for each in others:
            total += 1
            strangers += not each.desk
            of_session += bool(who.key) and each.key == who.key
            of_account += bool(who.account) and each.account == who.account
        if of_session >= self.each_session:
            return No(429, SESSION)
        if of_account >= self.each_account:
            return No(429, ACCOUNT)
        if total >= self.clients:
            return No(503, FULL)
        if not who.desk and strangers >= self.clients - min(self.kept, self.clients // 2):
            return No(503, KEPT)
        return None
