"""Who was there and how far each lane had come, as it is written down beside the phases.

A gateway that is back within RESUME_MS goes on as if it had never stopped: nobody's silence began anew, no lane fell
behind. After a longer stop nothing of this is believed; everybody gets a grace instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rules.decisions import RuleState
from rules.memory import Agent, Device, Line, Place, Spans

PRESENCE = "~presence"
"""Stands for a rule's id in the states of agents, lines and devices."""
RESUME_MS = 5_000
"""A stop no longer than this is none: less than half a heartbeat."""


def states_of(nodes: Iterable[Place]) -> list[RuleState]:
    """What is written down of these."""
    return [_state(node) for node in nodes]


def _state(node: Place) -> RuleState:
    if isinstance(node, Agent):
        lanes = {name: [lane.behind, lane.held, lane.newest_ms] for name, lane in node.lanes.items()}
        data: dict[str, Any] = {"online": node.online, "returned_ms": node.returned_ms, "lanes": lanes}
        return RuleState(PRESENCE, f"agent {node.path}", "kept", node.heard_ms, None, data)
    fault = {"since_ms": node.fault.since_ms, "past": [list(span) for span in node.fault.past]}
    if isinstance(node, Line):
        return RuleState(PRESENCE, f"line {node.path}", "kept", 0, None, {"told": node.told, "fault": fault})
    data = {"silent": node.silent, "fault": fault}
    return RuleState(PRESENCE, f"device {node.path}", "kept", node.since_ms, None, data)


def lost_at(state: RuleState) -> str | None:
    """Site of a device, line or agent that is away or behind, of a state as `states_of` gives it; None: of no other."""
    if state.rule != PRESENCE:
        return None
    kind, _, path = state.subject.partition(" ")
    detail = state.detail
    if kind == "agent":
        is_lost = not detail["online"] or any(behind for behind, _, _ in detail["lanes"].values())
    else:
        is_lost = detail["fault"]["since_ms"] is not None
    return path.partition("/")[0] if is_lost else None


def take_up(node: Place, kept: dict[str, RuleState]) -> bool:
    """Go on from what was written down of a node; False when nothing was."""
    kind = "agent" if isinstance(node, Agent) else "line" if isinstance(node, Line) else "device"
    state = kept.get(f"{kind} {node.path}")
    if state is None:
        return False
    data = state.detail
    if isinstance(node, Agent):
        node.online, node.heard_ms, node.returned_ms = data["online"], state.since_ms, data["returned_ms"]
        for name, lane in node.lanes.items():
            lane.behind, lane.held, lane.newest_ms = data["lanes"][name]
        return True
    _take_up_fault(node.fault, data["fault"])
    if isinstance(node, Line):
        node.told = data["told"]
    elif isinstance(node, Device):
        node.since_ms, node.silent = state.since_ms, data["silent"]
    return True


def _take_up_fault(fault: Spans, data: dict[str, Any]) -> None:
    fault.since_ms = data["since_ms"]
    fault.past.clear()
    fault.past.extend((begin_ms, end_ms) for begin_ms, end_ms in data["past"])
