"""Commands of administrators that are about the whole installation."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from gateway.commands_form import Command, Form
from gateway.turn import Turn

Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
CHAIN = "audit/chain"


class _Verified(Form):
    head: Annotated[int, msgspec.Meta(ge=0)]
    hash: Hash
    rows: Annotated[int, msgspec.Meta(ge=0)]
    problem: Annotated[str, msgspec.Meta(max_length=8000)]


def _verified(args: _Verified, actor: str, turn: Turn, _: None) -> Any:
    turn.changes.add_audit(
        actor, "audit.verified", CHAIN, head=args.head, hash=args.hash, rows=args.rows, problem=args.problem
    )
    return {}


COMMANDS: dict[str, Command] = {
    "audit.verified": Command(_Verified, _verified),
}
WHOLE = frozenset({*COMMANDS, "notify.test"})
"""What a person of one area may not do: it is about all of them."""
