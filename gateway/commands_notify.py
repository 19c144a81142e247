"""Commands by which somebody says that a message or a test of the path arrived. Repeating one has no further effect."""

from __future__ import annotations

import sqlite3
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from gateway.commands_form import Command, Form, Load, Name, refuse
from gateway.control.protocol import Event
from gateway.notify.proof import SCREEN
from gateway.notify.receipts import LONGEST, read_token
from gateway.turn import Turn

GATEWAY = "gateway"
"""Actor of what the gateway itself reports."""
_Token = Annotated[str, msgspec.Meta(min_length=8, max_length=LONGEST)]


class _PathReceipt(Form):
    token: _Token
    channel: Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
    hop: Literal["sent", "delivered", "read", "painted"]


class _Test(Form):
    person: Name
    channel: Name


class _NoticeReceipt(Form):
    token: _Token


class _Known(NamedTuple):
    """A message as the ledger has it."""

    person: str
    channel: str
    title_zh: str
    title_en: str
    proof: str
    read_ms: int | None


def _path_receipt(args: _PathReceipt, actor: str, turn: Turn, _: Any) -> Any:
    if args.hop == "sent" and actor != GATEWAY:
        raise refuse(
            "invalid", "hop: got 'sent', want delivered, read or painted. Only the gateway knows what it sent."
        )
    notification = turn.state.notification
    if args.hop != "sent" and args.channel == SCREEN and (number := notification.test_answered(args.token)) is not None:
        _read(turn, number)
        return {}
    if not notification.proofs.receipt(args.token, args.channel, args.hop, turn.now_ms):
        raise refuse("not_found", "token: got none of a test that waits for this. It is over, or was proven already.")
    return {}


def _notice_receipt(args: _NoticeReceipt, actor: str, turn: Turn, known: _Known | None) -> Any:
    notification = turn.state.notification
    number = read_token(notification.parts.key, args.token, turn.now_ms)
    if number is None or known is None:
        raise refuse("not_found", "token: got none of a message, or one that has expired.")
    if known.read_ms is None:
        _read(turn, number)
        turn.changes.add_audit(actor, "notice.receipt", known.person, notice=number, channel=known.channel)
        if known.proof:
            notification.proofs.receipt(known.proof, f"{known.person}/{known.channel}", "read", turn.now_ms)
    return {"id": number, "person": known.person, "title_zh": known.title_zh, "title_en": known.title_en}


def _read(turn: Turn, number: int) -> None:
    """Note that somebody has a message in front of them; the first time counts."""
    at_ms = turn.now_ms

    def write(connection: sqlite3.Connection) -> None:
        connection.execute(
            "UPDATE notice SET read_ms = ?, delivered_ms = coalesce(delivered_ms, ?) WHERE id = ? AND read_ms IS NULL",
            (at_ms, at_ms, number),
        )

    turn.changes.steps.append(write)
    turn.moves.events.append(Event(event="notice", data={"id": number, "state": "read", "at_ms": at_ms}))


def _test(args: _Test, actor: str, turn: Turn, _: None) -> Any:
    settings = turn.state.notification.parts.settings
    person = next((each for each in settings.people if each.id == args.person), None)
    if person is None:
        raise refuse("not_found", f"person: got {args.person!r}, want one of notify.people.")
    if all(channel.id != args.channel for channel in person.channels):
        ways = ", ".join(channel.id for channel in person.channels)
        raise refuse("not_found", f"channel: got {args.channel!r}, want one of {ways} ({args.person}).")
    test, is_new = turn.state.notification.test(args.person, args.channel, turn.now_ms)
    if is_new:
        turn.changes.add_audit(actor, "notify.test", f"{args.person}/{args.channel}", notice=test.notice)
    return {"id": test.notice}


def _find_notice(args: _NoticeReceipt) -> Load:
    number = args.token.partition(".")[0]

    def load(connection: sqlite3.Connection) -> _Known | None:
        if not (number.isascii() and number.isdigit() and len(number) < 19):
            return None
        row = connection.execute(
            "SELECT person, channel, title_zh, title_en, token, read_ms FROM notice WHERE id = ?", (int(number),)
        ).fetchone()
        return None if row is None else _Known(*row)

    return load


COMMANDS: dict[str, Command] = {
    "notify.test": Command(_Test, _test),
    "path.receipt": Command(_PathReceipt, _path_receipt),
    "notice.receipt": Command(_NoticeReceipt, _notice_receipt, _find_notice),
}
