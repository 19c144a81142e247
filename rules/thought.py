"""What each rule makes of a subject at a moment: why there is an alarm, and why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from contract.messages import Reading
from rules.conditions import compile_condition
from rules.engine import Engine
from rules.memory import Watch
from rules.series import Series

_OWN_KINDS = ("absence", "agent_lost", "line_lost")


class Thought(NamedTuple):
    """What one rule makes of it.

    phase: rest | pending | active | clearing. since_ms: since when the phase lasts; None at rest. holds: whether the
    condition holds; None: that is not known. kept_by: path of what keeps the alarm still. inputs: what it rests on.
    """

    rule: str
    version: str
    subject: str
    phase: str
    since_ms: int | None
    for_s: float
    holds: bool | None
    kept_by: str | None
    inputs: dict[str, Any]


def think(engine: Engine, subject: str, at_ms: int) -> list[Thought]:
    """What every rule that looks at the subject makes of it at that moment, which is the engine's now."""
    found = [_thought(engine, watch, at_ms) for watch in engine.watching(subject)]
    return sorted(found, key=lambda thought: (thought.phase == "rest", thought.rule, thought.subject))


def _thought(engine: Engine, watch: Watch, at_ms: int) -> Thought:
    holds, inputs = _judge(watch, at_ms)
    kept_by = watch.suppressed
    if kept_by is None and watch.waits and watch.device is not None:
        kept_by = engine.cause_of(watch.site, watch.device.name) or "inhibited"
    phase = "rest" if watch.phase == "past" else watch.phase
    return Thought(
        watch.rule.id,
        watch.version,
        watch.subject,
        phase,
        None if phase == "rest" else watch.since_ms,
        watch.rule.for_s,
        holds,
        kept_by,
        watch.detail or inputs if phase != "rest" else inputs,
    )


def _judge(watch: Watch, at_ms: int) -> tuple[bool | None, dict[str, Any]]:
    if watch.rule.when.kind in _OWN_KINDS:
        device = watch.device
        heard_ms = 0 if device is None else device.heard_ms
        inputs = {} if device is None else {"heard_ms": heard_ms, "silent_from_ms": heard_ms + device.after_ms}
        return watch.phase in ("pending", "active"), inputs
    if watch.node is not None:
        watch.sight.at_ms = at_ms
        truth = watch.node.judge(watch.sight, at_ms)
    else:
        last = watch.slots[0].last if watch.slots else None
        if last is None or not last.observed_ms:
            return None, {"quality": "unknown:never_heard"}
        truth = compile_condition(watch.rule.when).judge(_Own(last), at_ms)
    return (truth.violated if truth.violated or truth.over else None), truth.inputs


class _Own:
    """`rules.conditions_view.View` of a rule that looks at its own latest reading and at nothing else."""

    known_ms = 0

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def last(self, _: str | None) -> Reading | None:
        return self._reading

    def series(self, _: str | None) -> Series | None:
        return None

    def points(self) -> Iterable[str]:
        return ()

    def is_manual(self, _: str) -> bool:
        return False

    def alarms(self, _: Sequence[str], __: str) -> Iterator[frozenset[str]]:
        return iter(())

    def finding_times(self, _: Sequence[str], __: str, ___: int) -> Sequence[int]:
        return ()

    def due_ms(self, _: str) -> int | None:
        return None

    def local(self, at_ms: int) -> datetime:
        return datetime.fromtimestamp(at_ms / 1000, UTC)
