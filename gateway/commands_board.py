"""Commands of the duty board: floor plans and what stands on them, ticks of advice, sound checks."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from contract.topics import IDENT
from gateway.board.rows import MOST_MARKS, MOST_PLANS, SPAN, Done, FloorPlan, Mark, SoundCheck
from gateway.commands_form import Command, Form, is_known, refuse
from gateway.turn import Turn

Title = Annotated[str, msgspec.Meta(min_length=1, max_length=80, pattern=r"\S")]
Picture = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Pixels = Annotated[int, msgspec.Meta(ge=1, le=20_000)]
At = Annotated[str, msgspec.Meta(max_length=130, pattern=f"^{IDENT}(/{IDENT})?$")]
Place = Annotated[int, msgspec.Meta(ge=0, le=SPAN)]
Step = Annotated[int, msgspec.Meta(ge=0, le=99)]


class _Add(Form):
    site: str
    title: Title
    picture: Picture
    width: Pixels
    height: Pixels


class _Change(Form):
    """What is None stays as it is."""

    id: int
    title: Title | None = None
    position: Annotated[int, msgspec.Meta(ge=0, le=10_000)] | None = None
    picture: Picture | None = None
    width: Pixels | None = None
    height: Pixels | None = None


class _Plan(Form):
    id: int


class _Place(Form):
    id: int
    at: At
    x: Place
    y: Place


class _Unplace(Form):
    id: int
    at: At


class _Tick(Form):
    alarm_id: int
    step: Step
    done: bool = True


class _Listen(Form):
    site: str
    heard: bool
    screen: Annotated[str, msgspec.Meta(max_length=60)] = ""


def _add(args: _Add, actor: str, turn: Turn, _: None) -> Any:
    board = turn.state.registers.board
    if args.site not in turn.state.installation.sites:
        raise refuse("not_found", f"site {args.site[:60]!r}: got no such site.")
    if len(board.plans(args.site)) >= MOST_PLANS:
        raise refuse("invalid", f"site {args.site}: got {MOST_PLANS} plans, want fewer. Remove one first.")
    picture = (args.picture, args.width, args.height)
    return msgspec.to_builtins(board.add_plan(turn.pen, args.site, args.title.strip(), picture, actor))


def _change(args: _Change, actor: str, turn: Turn, _: None) -> Any:
    plan = _plan(turn, args.id)
    if len({args.picture is None, args.width is None, args.height is None}) != 1:
        raise refuse("invalid", "picture: got it without its pixels or these without it, want all three or none.")
    given = {name: getattr(args, name) for name in ("title", "position", "picture", "width", "height")}
    fields = {name: value for name, value in given.items() if value is not None}
    if args.title is not None:
        fields["title"] = args.title.strip()
    return msgspec.to_builtins(turn.state.registers.board.change_plan(turn.pen, plan, actor, **fields))


def _remove(args: _Plan, actor: str, turn: Turn, _: None) -> Any:
    return msgspec.to_builtins(turn.state.registers.board.remove_plan(turn.pen, _plan(turn, args.id), actor))


def _place(args: _Place, actor: str, turn: Turn, _: None) -> Any:
    plan = _plan(turn, args.id)
    device = args.at.partition("/")[0]
    if not is_known(turn, plan.site, device):
        raise refuse("not_found", f"device {plan.site}/{device}: got no such device, want one of the plan's site.")
    if plan.mark(args.at) is None and len(plan.marks) >= MOST_MARKS:
        raise refuse("invalid", f"floor plan {args.id}: got {MOST_MARKS} marks, want fewer. Use a further plan.")
    mark = Mark(args.at, args.x, args.y)
    return msgspec.to_builtins(turn.state.registers.board.place(turn.pen, plan, mark, actor))


def _unplace(args: _Unplace, actor: str, turn: Turn, _: None) -> Any:
    return msgspec.to_builtins(turn.state.registers.board.unplace(turn.pen, _plan(turn, args.id), args.at, actor))


def _tick(args: _Tick, actor: str, turn: Turn, _: None) -> Any:
    alarm = turn.state.book.open.get(args.alarm_id)
    if alarm is None:
        if 0 < args.alarm_id < turn.state.book.next_alarm:
            raise refuse("conflict", f"alarm {args.alarm_id}: is back to normal, its list is closed.")
        raise refuse("not_found", f"alarm {args.alarm_id}: got no such alarm, want the number of an open one.")
    board = turn.state.registers.board
    if not args.done:
        return msgspec.to_builtins(board.untick(turn.pen, alarm, args.step, actor))
    rule = turn.state.installation.rules.get(alarm.rule)
    advice = rule.advice if rule is not None else []
    if args.step >= len(advice):
        raise refuse("invalid", f"step: got {args.step}, want one of the {len(advice)} steps of {alarm.rule}.")
    done = Done(args.step, advice[args.step].zh, actor, turn.now_ms)
    return msgspec.to_builtins(board.tick(turn.pen, alarm, done))


def _listen(args: _Listen, actor: str, turn: Turn, _: None) -> Any:
    registers = turn.state.registers
    if args.site not in turn.state.installation.sites:
        raise refuse("not_found", f"site {args.site[:60]!r}: got no such site.")
    person = registers.people.of_user(actor)
    check = SoundCheck(
        id=0, site=args.site, state="", from_ms=turn.now_ms, heard=args.heard, user=actor, screen=args.screen,
        person=None if person is None else person.id,
    )  # fmt: skip
    return msgspec.to_builtins(registers.board.listen(turn.pen, check))


def _plan(turn: Turn, number: int) -> FloorPlan:
    plan = turn.state.registers.board.plan(number)
    if plan is None:
        raise refuse("not_found", f"floor plan {number}: got no such plan, want one that is shown.")
    return plan


COMMANDS = {
    "floor_plan.add": Command(_Add, _add),
    "floor_plan.change": Command(_Change, _change),
    "floor_plan.remove": Command(_Plan, _remove),
    "floor_plan.place": Command(_Place, _place),
    "floor_plan.unplace": Command(_Unplace, _unplace),
    "advice.tick": Command(_Tick, _tick),
    "sound_check.listen": Command(_Listen, _listen),
}
