"""Commands about duty checks: asked by a monitoring centre, answered at the post."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from gateway.commands_form import Command, Form, Name, refuse
from gateway.duty.checks import Answered, view
from gateway.turn import Turn


class _Ask(Form):
    site: str
    origin: Name
    minutes: Annotated[int, msgspec.Meta(ge=1, le=255)]


class _Answer(Form):
    id: int


def _ask(args: _Ask, actor: str, turn: Turn, _: None) -> Any:  # noqa: ARG001  # the same call for every command
    if args.site not in turn.state.installation.sites:
        raise refuse("not_found", f"site {args.site[:100]!r}: got no such site.")
    return msgspec.to_builtins(view(turn.state.duty.ask(turn.pen, args.site, args.origin, args.minutes)))


def _answer(args: _Answer, actor: str, turn: Turn, _: None) -> Any:
    check = turn.state.duty.shown.get(args.id)
    if check is None:
        if 0 < args.id < turn.state.duty.next_id:
            raise refuse("conflict", f"duty check {args.id}: was answered already.")
        raise refuse("not_found", f"duty check {args.id}: got no such check.")
    return msgspec.to_builtins(view(turn.state.duty.answer(turn.pen, check, Answered(actor))))


COMMANDS = {"duty.ask": Command(_Ask, _ask), "duty.answer": Command(_Answer, _answer)}
