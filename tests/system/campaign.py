"""A run of the whole installation with parts killed at random, and what came of it."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.installation import AGENT, GATEWAY, Broker, Installation, Plan, start_installation, tell_steps
from cli.processes import Child, Family
from cli.report import make_report, transitions
from cli.settings import load_settings
from gateway.history import open_history
from tests.parts.mosquitto import Mosquitto


@dataclass
class Outcome:
    """report: as `weizhan demo --report`. decisions: per (rule, subject), raises and clears in order."""

    report: dict[str, Any]
    decisions: dict[tuple[str, str], list[str]]
    killed: dict[str, int] = field(default_factory=dict)


@asynccontextmanager
async def installation(folder: Path, plan: Plan) -> AsyncIterator[tuple[Installation, Family]]:
    """A running installation; stopped at the end."""
    async with Family(folder / "logs") as family:
        up = await start_installation(family, folder, plan)
        yield up, family


def broker_of(mosquitto: Mosquitto) -> Broker:
    """The real broker as an installation wants it."""
    return Broker(mosquitto.port, {user: mosquitto.password(user) for user in (GATEWAY, AGENT)})


async def play(up: Installation) -> Outcome:
    """Play the story to its end and judge it."""
    up.simulators.say("start")
    async for _ in tell_steps(up.simulators):
        pass
    up.simulators.say("stop")
    settings = load_settings(up.config)
    async with open_history(settings.history, up.data_dir, read_only=True) as history:
        report = await make_report(up.truth, up.data_dir, history, up.site.site, [], story="")
    decisions: dict[tuple[str, str], list[str]] = defaultdict(list)
    for rule, subject, event, _ in transitions(up.data_dir, up.site.site):
        decisions[rule, subject].append(event)
    return Outcome(report, dict(decisions))


class Nemesis:
    """Kills parts at random moments.

    Args:
        kills: how often each part dies. span_s: within this time. seed: of the moments and of who dies when.
    """

    def __init__(self, seed: int, kills: int, span_s: float) -> None:
        self._random = random.Random(seed)
        self._kills = kills
        self._span_s = span_s
        self.killed: dict[str, int] = defaultdict(int)

    def moments(self, names: list[str]) -> list[tuple[float, str]]:
        """(second, name) in order; each part's kills lie apart, so that it comes up between two."""
        slot = self._span_s / self._kills
        return sorted(
            (slot * number + self._random.uniform(0.05, 0.95) * slot, name)
            for name in names
            for number in range(self._kills)
        )

    async def haunt(self, children: dict[str, Child], mosquitto: Mosquitto) -> None:
        """Kill -9 as planned; a part that is just being restarted is killed once it is up."""
        start = asyncio.get_running_loop().time()
        for at_s, name in self.moments([*children, "broker"]):
            await asyncio.sleep(max(0.0, start + at_s - asyncio.get_running_loop().time()))
            if name == "broker":
                await asyncio.to_thread(mosquitto.kill)
                await asyncio.to_thread(mosquitto.start)
            else:
                while (pid := children[name].pid) is None:
                    await asyncio.sleep(0.05)
                os.kill(pid, signal.SIGKILL)
            self.killed[name] += 1
