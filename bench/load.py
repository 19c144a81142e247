"""The load of the benchmarks: one generated site of many points and the batches its agents would send."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from contract.messages import Batch, Reading, encode
from contract.profile import ProfileLibrary
from contract.topics import DEFAULT_ROOT, topic

PROFILE = "hydrant-municipal"
DEVICES_PER_LINE = 200
START_MS = 1_760_000_000_000
# Values of an ordinary day, inside every limit: the cost of deciding is measured, not that of an alarm storm.
NORMAL: dict[str, tuple[float, float]] = {
    "pressure_kpa": (280.0, 20.0),
    "flow_lps": (0.0, 0.0),
    "water_temperature_c": (12.0, 3.0),
    "tilt_deg": (1.0, 0.5),
    "battery_pct": (88.0, 5.0),
    "signal_dbm": (-84.0, 6.0),
}


class Sent(NamedTuple):
    """One message as the broker would hand it over."""

    topic: str
    payload: bytes
    readings: int


class Plan(NamedTuple):
    """A site on paper. device_ids: by agent. points: names of a device's points."""

    site: str
    device_ids: dict[str, list[str]]
    points: list[str]

    @property
    def point_count(self) -> int:
        """Points of the whole site, `online` not counted."""
        return len(self.points) * sum(map(len, self.device_ids.values()))


def plan_site(points: int, agents: int = 1) -> Plan:
    """A site of at least `points` points, all municipal hydrants, spread evenly over `agents`."""
    names = [point.name for point in ProfileLibrary()[PROFILE].points]
    devices = -(-points // len(names))
    ids = [f"hydrant-{number:05d}" for number in range(1, devices + 1)]
    return Plan("bench", {f"edge-{n + 1}": ids[n::agents] for n in range(agents)}, names)


def write_site(plan: Plan, path: Path, ports: list[int], poll_s: float = 10.0) -> None:
    """The plan as a site file; `ports`: one Modbus TCP endpoint for each line, in order of `lines_of`."""
    agents: list[dict[str, Any]] = []
    port = iter(ports)
    for agent, ids in plan.device_ids.items():
        lines = [
            {
                "id": f"{agent}-line-{number}",
                "kind": "modbus_tcp",
                "host": "127.0.0.1",
                "port": next(port),
                "devices": [
                    {"id": device, "profile": PROFILE, "unit_id": unit, "poll_s": poll_s}
                    for unit, device in enumerate(group, 1)
                ],
            }
            for number, group in enumerate(lines_of(ids), 1)
        ]
        agents.append({"id": agent, "lines": lines})
    document = {"site": plan.site, "title": {"zh": "基准站", "en": "Benchmark"}, "agents": agents}
    path.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False), "utf-8")


def lines_of(device_ids: list[str]) -> list[list[str]]:
    """Devices of an agent in groups of one line each."""
    return [device_ids[at : at + DEVICES_PER_LINE] for at in range(0, len(device_ids), DEVICES_PER_LINE)]


def make_batches(plan: Plan, count: int, readings_each: int, seed: int = 1) -> list[Sent]:
    """`count` telemetry batches in the order of their seq, the agents taking turns.

    The readings walk through all points of the agent again and again; every value differs from the one before.
    """
    chance = random.Random(seed)
    cursors = {agent: _walk(plan, ids, chance) for agent, ids in plan.device_ids.items()}
    agents = list(plan.device_ids)
    made = []
    for number in range(count):
        agent, seq = agents[number % len(agents)], number // len(agents) + 1
        readings = [next(cursors[agent]) for _ in range(readings_each)]
        batch = Batch(
            site=plan.site,
            agent=agent,
            epoch=f"bench-{seed}",
            lane="telemetry",
            seq=seq,
            oldest=max(1, seq - 100),
            sent_ms=readings[-1].observed_ms + 20,
            readings=readings,
        )
        made.append(Sent(topic(DEFAULT_ROOT, plan.site, agent, "telemetry"), encode(batch), readings_each))
    return made


def _walk(plan: Plan, ids: list[str], chance: random.Random) -> Iterator[Reading]:
    round_ms = START_MS
    while True:
        for device in ids:
            for name in plan.points:
                value: float | bool = False
                if name in NORMAL:
                    middle, spread = NORMAL[name]
                    value = round(middle + chance.uniform(-spread, spread), 1)
                yield Reading(f"{device}/{name}", round_ms + chance.randrange(1000), value)
        round_ms += 10_000
