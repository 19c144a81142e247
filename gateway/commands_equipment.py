"""Commands about equipment of the station (ticks) and readiness (accepted risks)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from gateway.commands_form import Command, Form, Name, Said, refuse
from gateway.duty.equipment import Tick
from gateway.duty.readiness_rows import MOST_RISK_MS
from gateway.turn import Turn

ItemNote = Annotated[str, msgspec.Meta(max_length=500)]
Path = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class _Tick(Form):
    """count: how many are there and in order. expires_ms: first moment at which one is valid no more."""

    site: str
    item: Name
    count: Annotated[int, msgspec.Meta(ge=0, le=999)]
    result: Literal["ok", "short", "defect"]
    expires_ms: int | None = None
    note: ItemNote = ""


class _Accept(Form):
    """subject: as the alarm has it. until_ms: the risk ends then at the latest."""

    site: str
    rule: Name
    subject: Path
    reason: Said
    until_ms: int


class _Withdraw(Form):
    id: int


def _tick(args: _Tick, actor: str, turn: Turn, _: None) -> Any:
    equipment = turn.state.registers.equipment
    needed = next((needed for needed in equipment.needed(args.site) if needed.id == args.item), None)
    if needed is None:
        raise refuse("not_found", f"{args.site[:60]}/{args.item[:60]}: got no such line in the list of a station.")
    if args.result == "ok" and args.count < needed.count:
        text = f"count: got {args.count} and ok, want at least {needed.count}, or say short or defect."
        raise refuse("invalid", text)
    if args.result != "ok" and not args.note.strip():
        raise refuse("invalid", "note: got none, want what is missing or broken.")
    row = Tick(
        id=0, site=args.site, state="latest", from_ms=turn.now_ms, item=args.item, count=args.count,
        result=args.result, user=actor, by=_person(turn, actor), expires_ms=args.expires_ms, note=args.note.strip(),
    )  # fmt: skip
    done = equipment.tick(turn.pen, row)
    if args.result == "defect":
        text = f"{needed.title.zh}: {row.note}"
        turn.state.registers.hazards.report(turn.pen, args.site, "", "equipment", text, actor)
    return msgspec.to_builtins(done)


def _accept(args: _Accept, actor: str, turn: Turn, _: None) -> Any:
    readiness = turn.state.registers.readiness
    if not readiness.is_station(args.site):
        raise refuse("not_found", f"site {args.site[:100]!r}: got no station there.")
    rule = turn.state.installation.rules.get(args.rule)
    if rule is None or rule.readiness is None:
        raise refuse("not_found", f"rule {args.rule!r}: got none that takes from readiness.")
    if not turn.now_ms < args.until_ms <= turn.now_ms + MOST_RISK_MS:
        days = MOST_RISK_MS // 86_400_000
        raise refuse("invalid", f"until_ms: got {args.until_ms}, want a time ahead, within {days} days.")
    if readiness.accepted(args.site, args.rule, args.subject) is not None:
        raise refuse("conflict", f"{args.rule} on {args.subject}: is accepted already. Withdraw that first.")
    risk = readiness.accept(
        turn.pen, args.site, args.rule, args.subject, args.reason.strip(), args.until_ms, actor, _person(turn, actor)
    )
    return msgspec.to_builtins(risk)


def _withdraw(args: _Withdraw, actor: str, turn: Turn, _: None) -> Any:
    readiness = turn.state.registers.readiness
    risk = readiness.risk(args.id)
    if risk is None:
        raise refuse("not_found", f"risk {args.id}: got none that is in force.")
    return msgspec.to_builtins(readiness.end_risk(turn.pen, risk, "withdrawn", actor))


def _person(turn: Turn, actor: str) -> int | None:
    person = turn.state.registers.people.of_user(actor)
    return None if person is None else person.id


COMMANDS = {
    "equipment.tick": Command(_Tick, _tick),
    "risk.accept": Command(_Accept, _accept),
    "risk.withdraw": Command(_Withdraw, _withdraw),
}
