"""Commands about what holds alarms: out of service, maintenance windows, drills."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from gateway.alarms.coverage import names_in, to_speak
from gateway.alarms.scope import MOST_PATTERNS, covers, is_pattern
from gateway.commands_form import Command, Form, Note, Said, refuse
from gateway.turn import Turn

HOUR_MS = 3_600_000
DRILL_MS = 8 * HOUR_MS
"""Longest drill: no shift goes home leaving a station in test."""
MAINTENANCE_MS = 31 * 24 * HOUR_MS
"""Longest maintenance window."""
MOST_OPEN = 200
"""Drills, and maintenance windows, that may be open at once."""
_Scope = Annotated[list[str], msgspec.Meta(min_length=1, max_length=MOST_PATTERNS)]


class _TakeOut(Form):
    subject: str
    reason: Said


class _GiveBack(Form):
    subject: str
    note: Note = ""


class _OpenWindow(Form):
    site: str
    scope: _Scope
    from_ms: int
    until_ms: int
    reason: Said


class _OpenDrill(Form):
    site: str
    scope: _Scope
    until_ms: int
    reason: Said


class _Close(Form):
    id: int
    note: Note = ""


def _take_out(args: _TakeOut, actor: str, turn: Turn, _: None) -> Any:
    site, _slash, name = args.subject.partition("/")
    if not name or name not in names_in(turn.state, site):
        raise refuse("not_found", f"subject {args.subject[:150]!r}: got no such device or point (site/device/point).")
    held = turn.state.book.holds.out_of_service.get(args.subject)
    if held is not None:
        raise refuse("conflict", f"{args.subject}: {held.by} has taken it out of service already.")
    return turn.holding.take_out(args.subject, args.reason, actor)


def _give_back(args: _GiveBack, actor: str, turn: Turn, _: None) -> Any:
    held = turn.state.book.holds.out_of_service.get(args.subject)
    if held is None:
        raise refuse("conflict", f"{args.subject[:150]}: is not out of service.")
    return turn.holding.give_back(held, actor, args.note)


def _open_window(args: _OpenWindow, actor: str, turn: Turn, _: None) -> Any:
    _check_scope(turn, args.site, args.scope)
    from_ms = max(args.from_ms, turn.now_ms)
    _check_end(args.until_ms - from_ms, MAINTENANCE_MS, "the beginning")
    _check_room(len(turn.state.book.holds.windows), "maintenance windows")
    if from_ms - turn.now_ms > MAINTENANCE_MS:
        raise refuse("invalid", f"from_ms: got {(from_ms - turn.now_ms) / HOUR_MS:.0f} h from now, want at most 744 h.")
    return turn.holding.open_window(args.site, args.scope, from_ms, args.until_ms, args.reason, actor)


def _close_window(args: _Close, actor: str, turn: Turn, _: None) -> Any:
    window = turn.state.book.holds.windows.get(args.id)
    if window is None:
        raise refuse("conflict", f"maintenance {args.id}: is not planned and not in force.")
    return turn.holding.close_window(window, actor, args.note, turn.now_ms)


def _open_drill(args: _OpenDrill, actor: str, turn: Turn, _: None) -> Any:
    _check_scope(turn, args.site, args.scope)
    _check_end(args.until_ms - turn.now_ms, DRILL_MS, "now")
    _check_room(len(turn.state.book.holds.drills), "drills")
    subjects = to_speak(turn.state, args.site, args.scope)
    return turn.holding.open_drill(args.site, args.scope, args.until_ms, args.reason, actor, subjects)


def _close_drill(args: _Close, actor: str, turn: Turn, _: None) -> Any:
    drill = turn.state.book.holds.drills.get(args.id)
    if drill is None:
        raise refuse("conflict", f"drill {args.id}: does not run.")
    return turn.holding.close_drill(drill, actor, args.note, turn.now_ms)


def _check_scope(turn: Turn, site: str, scope: list[str]) -> None:
    if site not in turn.state.installation.sites:
        raise refuse("not_found", f"site {site[:60]!r}: got no such site.")
    names = names_in(turn.state, site)
    for pattern in scope:
        if not is_pattern(pattern):
            raise refuse("invalid", f"scope: got {pattern[:100]!r}, want `device`, `device/point` or `*`.")
        # A pattern that covers nothing is a slip of the pen: what was meant would page.
        if not any(covers([pattern], name) for name in names):
            raise refuse("invalid", f"scope: got {pattern[:100]!r}, which nothing in {site} fits. Check the name.")


def _check_room(count: int, what: str) -> None:
    if count >= MOST_OPEN:
        raise refuse("unavailable", f"{what}: got {count} open ones, want fewer than {MOST_OPEN}. Close some first.")


def _check_end(lasts_ms: int, most_ms: int, since: str) -> None:
    if not 0 < lasts_ms <= most_ms:
        raise refuse(
            "invalid",
            f"until_ms: got {lasts_ms / HOUR_MS:.1f} h after {since}, want more than 0 and at most "
            f"{most_ms // HOUR_MS} h. Choose another time.",
        )


COMMANDS = {
    "service.take_out": Command(_TakeOut, _take_out),
    "service.return": Command(_GiveBack, _give_back),
    "maintenance.open": Command(_OpenWindow, _open_window),
    "maintenance.close": Command(_Close, _close_window),
    "drill.open": Command(_OpenDrill, _open_drill),
    "drill.close": Command(_Close, _close_drill),
}
