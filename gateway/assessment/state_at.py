"""What each device was at a moment, from the alarms that stood then. Pure.

Nothing is called good that nobody watched: before the ledger began, while no gateway ran and while the device could not
be reached its state is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from contract.site import line_device
from gateway.assessment.device_time import SILENT, Span, Watched
from gateway.control.protocol import AlarmView
from rules.model import Rule

State = Literal["fire", "critical", "warning", "unreached", "unrecorded", "good"]
STATES: tuple[State, ...] = ("fire", "critical", "warning", "unreached", "unrecorded", "good")
_FAULTS: dict[str, int] = {"fire": 0, "critical": 1, "warning": 2}


def states_at(
    devices: Iterable[Watched], standing: Iterable[AlarmView], rules: Mapping[str, Rule], *, watched: bool
) -> dict[str, State]:
    """`site/device` -> its state. standing: alarms whose condition held then. watched: whether a gateway ran then.

    A fault that was known counts for more than that the device cannot be reached: it was not mended in between.
    """
    faults: dict[str, int] = {}
    silent: set[str] = set()
    for alarm in standing:
        if alarm.drill is not None:
            continue
        rule = rules.get(alarm.rule)
        if rule is not None and rule.when.kind in SILENT:
            silent.add(alarm.subject)
        elif alarm.device is not None and alarm.severity in _FAULTS:
            key = f"{alarm.site}/{alarm.device}"
            faults[key] = min(_FAULTS[alarm.severity], faults.get(key, 9))
    found: dict[str, State] = {}
    for each in devices:
        key = f"{each.site}/{each.device}"
        above = (key, f"{each.site}/{each.agent}", "" if each.line is None else f"{each.site}/{line_device(each.line)}")
        if not watched:
            found[key] = "unrecorded"
        elif key in faults:
            found[key] = STATES[faults[key]]
        elif silent.intersection(above):
            found[key] = "unreached"
        else:
            found[key] = "good"
    return found


def was_watched(at_ms: int, first_ms: int, alive_ms: int, stops: Iterable[Span]) -> bool:
    """Whether a gateway ran on the ledger at that moment (ms UTC)."""
    return first_ms <= at_ms <= alive_ms and not any(begin <= at_ms < end for begin, end in stops)
