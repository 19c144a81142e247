"""Rounds: one walk along the stops of a plan, each stop proven by the label that hangs there. Pure.

running ──every stop answered──> complete
   ├──stops skipped or out of reach──> partial
   └──faster than anybody walks──> implausible ──another person's word──> accepted
                                                                    └───> refused
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.ledger.entries import Entry, Kind
from gateway.work.plans import Spec

RUNNING, COMPLETE, PARTIAL, IMPLAUSIBLE, ACCEPTED, REFUSED = (
    "running",
    "complete",
    "partial",
    "implausible",
    "accepted",
    "refused",
)
DONE = frozenset({COMPLETE, ACCEPTED})
"""States of a round that does what the plan asks for."""
LONGEST_MS = 12 * 3_600_000
"""A round that nobody ended by then ends by itself, as it is."""
JUDGE_MS = 7 * 86_400_000
"""A round that waits for another person's word longer than this is refused by itself."""
How = Literal["qr", "typed"]
Result = Literal["ok", "finding", "unreachable"]


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """A stop as far as the round knows it. at_ms: first answered. is_fast: nobody walks there that fast."""

    spot: str
    at_ms: int
    how: How
    result: Result
    is_fast: bool = False


class Round(Entry, frozen=True, kw_only=True):
    """One walk. from_ms: begun; until_ms: ended. window_*_ms: what it counts for. row: number of the plan's row."""

    plan: str
    row: int
    kind: str
    by: str
    person: int | None = None
    window_from_ms: int | None = None
    window_until_ms: int | None = None
    seen: tuple[Seen, ...] = ()
    skipped: tuple[str, ...] = ()
    """Stops without an answer, or out of reach; known once it has ended."""
    hazards: tuple[int, ...] = ()
    note: str = ""
    judged_by: str = ""
    judged_ms: int | None = None
    judged_note: str = ""

    @property
    def is_done(self) -> bool:
        """Whether it does what the plan asks for."""
        return self.state in DONE

    @property
    def fast(self) -> tuple[str, ...]:
        """Stops that were reached faster than anybody walks."""
        return tuple(seen.spot for seen in self.seen if seen.is_fast)


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What was seen of one item of a stop (its number from 0)."""

    item: int
    result: Result


class Visit(Entry, frozen=True, kw_only=True):
    """A stop answered on a round: items, note, photo. state: the worst of the items. hazard: what was made of it."""

    round: int
    spot: str
    how: How
    answers: tuple[Answer, ...] = ()
    note: str = ""
    photo: str = ""
    hazard: int | None = None
    by: str = ""


ROUND = Kind("round", Round, frozenset({RUNNING, IMPLAUSIBLE}))
VISIT = Kind("visit", Visit, frozenset(), live=False)


def worst(answers: tuple[Answer, ...]) -> Result:
    """The result of a stop: a finding counts more than what was out of reach, this more than what was well."""
    results = {answer.result for answer in answers}
    return "finding" if "finding" in results else "unreachable" if "unreachable" in results else "ok"


def tick(walk: Round, spec: Spec, spot: str, how: How, result: Result, now_ms: int) -> Round:
    """The round with this stop answered, now or again. The time between stops is that of their first answers."""
    known = next((seen for seen in walk.seen if seen.spot == spot), None)
    if known is not None:
        again = msgspec.structs.replace(known, result=result)
        return msgspec.structs.replace(walk, seen=tuple(again if s is known else s for s in walk.seen))
    stop = spec.stop(spot)
    least_ms = 0.0 if stop is None else stop.walk_s * 1000
    # A clock that was set back proves nothing: the way then counts as too short.
    is_fast = bool(walk.seen) and now_ms - walk.seen[-1].at_ms < least_ms
    return msgspec.structs.replace(walk, seen=(*walk.seen, Seen(spot, now_ms, how, result, is_fast)))


def finish(walk: Round, spec: Spec, now_ms: int, note: str = "") -> Round:
    """The round as it has ended."""
    answered = {seen.spot for seen in walk.seen if seen.result != "unreachable"}
    skipped = tuple(stop.spot for stop in spec.stops if stop.spot not in answered)
    state = PARTIAL if skipped else IMPLAUSIBLE if walk.fast else COMPLETE
    return msgspec.structs.replace(walk, state=state, until_ms=max(now_ms, walk.from_ms), skipped=skipped, note=note)
