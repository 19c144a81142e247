"""Streams of what may happen to a gateway: messages, commands and time, made from a seed."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from contract.messages import Reading
from gateway.ingest.door import Arrival
from tests.gateway.harness import START_MS, arrival, batch, state

_VALUES: dict[str, list[Any]] = {
    "hydrant-01/pressure_kpa": [300.0, 145.0, 130.0, 90.0, None],
    "hydrant-01/flow_lps": [0.0, 0.0, 6.0],
    "hydrant-01/cap_open": [False, True],
    "hydrant-01/online": [True, True, False],
    "panel-01/p001": ["normal", "fire", "fault", "disabled"],
    "panel-01/p002": ["normal", "fire", "fault"],
    "panel-01/p003": ["normal", "fault"],
}
_TANK: dict[str, list[Any]] = {"tank-01/level_m": [3.0, 2.05, 1.5, None], "tank-01/online": [True, True, False]}
_LANES = {"hydrant-01/pressure_kpa": "telemetry", "hydrant-01/flow_lps": "telemetry", "tank-01/level_m": "telemetry"}
_STEPS_MS = [0, 10, 500, 2_000, 7_000, 12_000, 40_000, 120_000]


class Step(NamedTuple):
    """At `at_ms` a message arrives, a command is given, or only time passes (neither)."""

    at_ms: int
    message: Arrival | None
    command: tuple[str, dict[str, Any]] | None


def make_stream(seed: int, steps: int = 30) -> list[Step]:
    """A stream; the same seed gives the same stream."""
    rng = random.Random(seed)
    now_ms, seqs, observed = (
        START_MS,
        dict.fromkeys(("edge1-alarm", "edge1-telemetry", "edge2-alarm", "edge2-telemetry"), 0),
        {},
    )
    stream = [Step(now_ms, arrival(state(agent=agent, sent_ms=now_ms), now_ms), None) for agent in ("edge1", "edge2")]
    for _ in range(steps):
        now_ms += rng.choice(_STEPS_MS)
        kind = rng.choices(["batch", "state", "command", "time"], [7, 1, 2, 1])[0]
        agent = rng.choice(["edge1", "edge1", "edge2"])
        if kind == "state":
            said = state(agent=agent, online=rng.random() < 0.6, sent_ms=now_ms)
            stream.append(Step(now_ms, arrival(said, now_ms), None))
        elif kind == "batch":
            lane = rng.choice(["alarm", "telemetry"])
            values = _VALUES if agent == "edge1" else _TANK
            points = [point for point in values if _LANES.get(point, "alarm") == lane]
            late_ms = rng.choice([0, 0, 0, 5_000, 90_000])
            readings = []
            for point in rng.sample(points, rng.randint(1, len(points))):
                value = rng.choice(values[point])
                at_ms = max(now_ms - late_ms, observed.get(point, 0) + 1)
                observed[point] = at_ms
                quality = "good" if value is not None else "unknown:no_answer"
                readings.append(Reading(point, at_ms, value, quality))
            seqs[f"{agent}-{lane}"] += 1
            made = batch(
                seqs[f"{agent}-{lane}"], *readings, lane=lane, agent=agent, epoch=f"epoch-{agent}", sent_ms=now_ms
            )
            stream.append(Step(now_ms, arrival(made, now_ms), None))
        elif kind == "command":
            stream.append(Step(now_ms, None, _command(rng, now_ms)))
        else:
            stream.append(Step(now_ms, None, None))
    return stream


def _command(rng: random.Random, now_ms: int) -> tuple[str, dict[str, Any]]:
    alarm_id = rng.randint(1, 6)
    return rng.choice(
        [
            ("alarm.acknowledge", {"alarm_id": alarm_id, "note": ""}),
            ("alarm.acknowledge", {"alarm_id": alarm_id, "note": "seen"}),
            ("alarm.shelve", {"alarm_id": alarm_id, "until_ms": now_ms + 60_000, "reason": "valve work"}),
            ("alarm.find", {"alarm_id": alarm_id, "finding": "false", "note": "steam"}),
            ("alarm.assign", {"alarm_id": alarm_id, "person": "wang", "note": ""}),
            ("maintenance.open", {"site": "shuiye", "scope": ["tank-01"], "from_ms": now_ms,
                                  "until_ms": now_ms + 90_000, "reason": "pump service"}),
            ("drill.open", {"site": "shuiye", "scope": ["panel-01/p002"], "until_ms": now_ms + 100_000,
                            "reason": "walk test"}),
        ]
    )  # fmt: skip
