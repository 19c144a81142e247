"""What a site's devices were over a span: intact, faulty, or not reached; from the alarms alone. Pure.

A device is faulty while a critical or warning alarm of its own stands, whatever held it back from paging; it is not
reached while its silence, that of its line or its agent, or of the whole gateway stands. What is not reached is never
counted as intact, and what was known to be faulty stays so while it is not reached.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from contract.site import line_device
from gateway.control.protocol import AlarmView
from rules.model import Rule

Span = tuple[int, int]
SILENT = frozenset({"absence", "line_lost", "agent_lost"})
"""Conditions that say no more than that something cannot be reached."""
FAULTS = frozenset({"critical", "warning"})


class Watched(NamedTuple):
    """A device and what it hangs on. line None: it was approved, and stands on no line of a site file."""

    site: str
    device: str
    agent: str
    line: str | None


class DeviceTime(NamedTuple):
    """ms of all devices together: whole = intact + faulty + unreached; offline: all that was not reached."""

    whole: int = 0
    intact: int = 0
    faulty: int = 0
    unreached: int = 0
    offline: int = 0


def device_time(
    devices: Iterable[Watched],
    alarms: Iterable[AlarmView],
    rules: Mapping[str, Rule],
    stops: Iterable[Span],
    from_ms: int,
    until_ms: int,
) -> DeviceTime:
    """Sum over the devices.

    Args:
        alarms: raised or standing in the span. stops: when no gateway ran. from_ms, until_ms: ms UTC, end not included.
    """
    faults: dict[str, list[Span]] = {}
    silences: dict[str, list[Span]] = {}
    for alarm in alarms:
        if alarm.drill is not None or alarm.severity not in FAULTS:
            continue
        span = (alarm.raised_ms, until_ms if alarm.cleared_ms is None or alarm.active else alarm.cleared_ms)
        rule = rules.get(alarm.rule)
        if rule is not None and rule.when.kind in SILENT:
            silences.setdefault(alarm.subject, []).append(span)
        elif alarm.device is not None:
            faults.setdefault(f"{alarm.site}/{alarm.device}", []).append(span)
    stopped = list(stops)
    total = [0, 0, 0, 0, 0]
    for each in devices:
        key = f"{each.site}/{each.device}"
        above = [f"{each.site}/{each.agent}"]
        if each.line is not None:
            above.append(f"{each.site}/{line_device(each.line)}")
        offline = [*stopped, *(span for path in (key, *above) for span in silences.get(path, ()))]
        whole = max(0, until_ms - from_ms)
        faulty = length(faults.get(key, ()), from_ms, until_ms)
        either = length([*faults.get(key, ()), *offline], from_ms, until_ms)
        row = (whole, whole - either, faulty, either - faulty, length(offline, from_ms, until_ms))
        total = [a + b for a, b in zip(total, row, strict=True)]
    return DeviceTime(*total)


def length(spans: Iterable[Span], from_ms: int, until_ms: int) -> int:
    """Time that at least one of them covers, within a span."""
    covered, reached = 0, from_ms
    for begin, end in sorted(spans):
        begin, end = max(begin, reached), min(end, until_ms)
        if end > begin:
            covered += end - begin
            reached = end
    return covered


def stops_of(alarms: Iterable[AlarmView]) -> list[Span]:
    """When no gateway ran, as its own alarm `gateway-stopped` tells after each start."""
    return [
        (alarm.raised_ms - round(float(alarm.inputs["value"]) * 1000), alarm.raised_ms)
        for alarm in alarms
        if alarm.rule == "gateway-stopped" and isinstance(alarm.inputs.get("value"), int | float)
    ]
