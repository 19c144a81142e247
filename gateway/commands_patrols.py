"""Commands about patrols, checks, drills and training: begin a round, answer a stop, end it, judge it; record."""

from __future__ import annotations

import sqlite3
from typing import Annotated, Any, Literal

import msgspec

from contract.site import REGISTER_DEVICE
from gateway.commands_form import Command, Form, Load, Note, Said, refuse
from gateway.ledger.alarm_rows import DRILLS, drill_row
from gateway.ledger.records import Drill
from gateway.turn import Turn
from gateway.work import routes
from gateway.work.labels import is_code, is_token, make_label
from gateway.work.plans import PlanRow
from gateway.work.routes import Answer, How, Round
from gateway.work.training import MOST_LATE_MS

Photo = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{64})?$")]
"""Hash of a photo in the photo store; empty: none."""
MOST_RUNNING = 200
"""Rounds that may be walked at once in all, each by somebody."""
_Answers = Annotated[
    list[tuple[int, Literal["ok", "finding", "unreachable"]]], msgspec.Meta(min_length=1, max_length=20)
]


class _Start(Form):
    site: str
    plan: str


class _Tick(Form):
    id: int
    spot: str
    proof: Annotated[str, msgspec.Meta(max_length=200)]
    answers: _Answers
    note: Note = ""
    photo: Photo = ""


class _Finish(Form):
    id: int
    note: Note = ""


class _Judge(Form):
    id: int
    accept: bool
    note: Said


class _Labels(Form):
    site: str


class _Record(Form):
    site: str
    plan: str
    held_ms: int
    people: Annotated[list[int], msgspec.Meta(max_length=500)] = []
    count: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 0
    note: Note = ""
    photo: Photo = ""
    drill: int | None = None


def _start(args: _Start, actor: str, turn: Turn, _: None) -> Any:
    registers = turn.state.registers
    row = _plan(turn, args.site, args.plan)
    if row.spec.is_training:
        raise refuse("invalid", f"plan {args.plan}: is no route. Record it as training.")
    running = registers.patrols.running()
    for walk in running:
        if (walk.site, walk.plan, walk.by) == (args.site, args.plan, actor):
            raise refuse("conflict", f"round {walk.id}: {actor} walks it already. End it first.")
    if len(running) >= MOST_RUNNING:
        raise refuse("unavailable", f"rounds: got {len(running)} running ones, want fewer than {MOST_RUNNING}.")
    person = registers.people.of_user(actor)
    return msgspec.to_builtins(registers.patrols.start(turn.pen, row, actor, person.id if person else None))


def _tick(args: _Tick, actor: str, turn: Turn, _: None) -> Any:
    registers = turn.state.registers
    walk = _running(turn, args.id, actor)
    spec = registers.patrols.spec(walk)
    stop = spec.stop(args.spot)
    if stop is None:
        raise refuse("invalid", f"stop {args.spot[:60]!r}: got none of this round's.")
    how = _proof(turn, walk.site, args.spot, args.proof)
    wanted = set(range(max(1, len(stop.items))))
    answers = tuple(Answer(item, result) for item, result in args.answers)
    if len(answers) != len(wanted) or {answer.item for answer in answers} != wanted:
        raise refuse("invalid", f"answers: got {len(answers)}, want one for each of {len(wanted)} items.")
    hazard = None
    if routes.worst(answers) == "finding":
        if not args.note.strip():
            raise refuse("invalid", "note: got nothing, want what was found. Describe it.")
        found = [stop.items[a.item][0] for a in answers if a.result == "finding" and stop.items]
        text = "；".join((*found, args.note.strip()))
        subject = f"{walk.site}/{stop.device}" if stop.device else ""
        report = registers.hazards.report
        hazard = report(
            turn.pen,
            walk.site,
            subject,
            "patrol",
            text[:2000],
            actor,
            photo=args.photo,
            place="" if subject else stop.zh,
        ).id
    visit = registers.patrols.tick(
        turn.pen,
        walk,
        args.spot,
        how,
        answers,
        by=actor,
        note=args.note.strip(),
        photo=args.photo,
        hazard=hazard,
    )
    return msgspec.to_builtins(visit)


def _finish(args: _Finish, actor: str, turn: Turn, _: None) -> Any:
    walk = _running(turn, args.id, actor)
    return msgspec.to_builtins(turn.state.registers.patrols.finish(turn.pen, walk, actor, args.note.strip()))


def _judge(args: _Judge, actor: str, turn: Turn, _: None) -> Any:
    patrols = turn.state.registers.patrols
    walk = patrols.find(args.id)
    if walk is None and not patrols.is_round(args.id):
        raise refuse("not_found", f"round {args.id}: got no such round.")
    if walk is None or walk.state != routes.IMPLAUSIBLE:
        raise refuse("conflict", f"round {args.id}: does not wait for anybody's word.")
    if walk.by == actor:
        raise refuse("invalid", f"round {args.id}: got {actor}, who walked it. Another person has to judge it.")
    return msgspec.to_builtins(patrols.judge(turn.pen, walk, actor, args.accept, args.note.strip()))


def _labels(args: _Labels, actor: str, turn: Turn, _: None) -> Any:
    if args.site not in turn.state.installation.sites:
        raise refuse("not_found", f"site {args.site[:60]!r}: got no such site.")
    patrols = turn.state.registers.patrols
    spots = dict.fromkeys(stop.spot for row in patrols.plans(args.site) for stop in row.spec.stops)
    turn.changes.add_audit(actor, "patrol.labels", f"{args.site}/{REGISTER_DEVICE}", spots=len(spots))
    return [make_label(patrols.secret, args.site, spot)._asdict() for spot in spots]


def _record(args: _Record, actor: str, turn: Turn, drill: Drill | None) -> Any:
    registers = turn.state.registers
    row = _plan(turn, args.site, args.plan)
    if not row.spec.is_training:
        raise refuse("invalid", f"plan {args.plan}: is a route. Walk it.")
    if not turn.now_ms - MOST_LATE_MS <= args.held_ms <= turn.now_ms + 60_000:
        raise refuse("invalid", f"held_ms: got {args.held_ms}, want a time that is over, at most 400 days ago.")
    strangers = [number for number in args.people if registers.people.find(number) is None]
    if strangers:
        raise refuse("not_found", f"people: got {strangers[:5]}, want numbers of people who are there.")
    count = max(args.count, len(set(args.people)))
    if count == 0:
        raise refuse("invalid", "count: got nobody, want at least one person who took part.")
    if args.drill is not None and (drill is None or drill.site != args.site):
        raise refuse("not_found", f"drill {args.drill}: got no such drill of {args.site}.")
    training = registers.patrols.record(
        turn.pen,
        row,
        min(args.held_ms, turn.now_ms),
        actor,
        people=tuple(dict.fromkeys(args.people)),
        count=count,
        note=args.note.strip(),
        photo=args.photo,
        drill=args.drill,
    )
    return msgspec.to_builtins(training)


# --- what they look up -----------------------------------------------------------------------------------------------


def _plan(turn: Turn, site: str, plan: str) -> PlanRow:
    row = turn.state.registers.patrols.plan(site, plan)
    if row is None:
        raise refuse("not_found", f"plan {site[:60]}/{plan[:60]}: got no such plan in force.")
    return row


def _running(turn: Turn, round_id: int, actor: str) -> Round:
    patrols = turn.state.registers.patrols
    walk = patrols.find(round_id)
    if walk is None and not patrols.is_round(round_id):
        raise refuse("not_found", f"round {round_id}: got no such round.")
    if walk is None or walk.state != routes.RUNNING:
        raise refuse("conflict", f"round {round_id}: has ended.")
    if walk.by != actor:
        raise refuse("invalid", f"round {round_id}: got {actor}, want {walk.by}, who walks it. Begin one of your own.")
    return walk


def _proof(turn: Turn, site: str, spot: str, proof: str) -> How:
    secret = turn.state.registers.patrols.secret
    if is_token(secret, proof, site, spot):
        return "qr"
    if is_code(secret, proof, site, spot):
        return "typed"
    raise refuse("invalid", f"proof: got none of the label at {spot}. Scan it, or type the code below it.")


def _drill_of(args: _Record) -> Load:
    def load(connection: sqlite3.Connection) -> Drill | None:
        row = connection.execute(DRILLS + "WHERE id = ?", (args.drill,)).fetchone()
        return drill_row(row) if row else None

    return load


COMMANDS = {
    "round.start": Command(_Start, _start),
    "round.tick": Command(_Tick, _tick),
    "round.finish": Command(_Finish, _finish),
    "round.judge": Command(_Judge, _judge),
    "patrol.labels": Command(_Labels, _labels),
    "training.record": Command(_Record, _record, _drill_of),
}
