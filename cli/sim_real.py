"""A story of the town on real parts: protocol endpoints, agent, broker, gateway and pages, at the pace of a clock.

    simulators ──Modbus, MQTT, SIA──> edge ──link that a story can cut──> broker ──> gateway ──> web ──> whoever watches
         └── what happens and when ───────────> judged as a fast run is <── alarms as the desk gets them ──┘

Faster than real, a second is `speed` story seconds: devices are looked at more often, and rules wait and look back
accordingly less. What that costs (a second of the machine is `speed` seconds of the story) is allowed for by the judge.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.demo import tell_address, tell_step, unless_stopped
from cli.installation import Installation, Plan, start_installation
from cli.processes import Child, Family
from cli.sim_desk import Raised
from cli.sim_run import Outcome, meant, shipped_rules
from contract.errors import ConfigError, RetryLater
from contract.profile import ProfileLibrary
from gateway.app import wall_ms
from gateway.control.client import SOCKET, ControlClient, ControlError
from rules.model import Rule
from simulators.hydraulics.mapping import Mapping as Where
from simulators.story import Event, Story
from simulators.town import AGENT, SITE, labels_of

FASTEST = 20.0
"""Beyond this a look of a device is longer than what it looks for."""
DRAIN_S = 1.5
"""What was said at the end arrives within this."""
LEAST_S = {"after_s": 5.0}
"""An agent's heartbeat does not come faster, however fast the story is."""
_DURATIONS = ("after_s", "within_s", "window_s", "longer_than_s")


@dataclass(frozen=True)
class RealRun:
    """What to play. given: NAME=VALUE of its parameters. port: of the pages. folder: for its files, or a temporary."""

    name: str
    story: Story
    where: Where
    network: str
    seed: int
    speed: float = 1.0
    given: tuple[str, ...] = ()
    port: int = 8080
    folder: Path | None = None


async def run_real(run: RealRun) -> Outcome | None:
    """Play a story of the town once on real parts; None: it was stopped.

    Raises:
        ConfigError: it has what real parts cannot do, said event by event.
        StartError: a part did not come up; the text has the end of its log.
    """
    hindrances = list(hindrances_of(run.story, shipped_rules()))
    if hindrances:
        why = "\n".join(f"  {text}" for text in hindrances)
        raise ConfigError(f"story {run.name}: cannot be played on real parts:\n{why}\nRun it fast: leave out --speed.")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    plan = Plan(
        run.name, run.seed, run.speed, web_port=run.port, given=run.given, network=run.network,
        agent=f"{SITE}/{AGENT}", overrides=quickened_rules(shipped_rules(), run.speed),
    )  # fmt: skip
    with contextlib.ExitStack() as folders:
        folder = run.folder
        if folder is None:
            folder = Path(folders.enter_context(tempfile.TemporaryDirectory(prefix="weizhan-sim-")))
        async with Family(folder.resolve() / "logs") as family:
            up = await unless_stopped(start_installation(family, folder.resolve(), plan), stop, family)
            if up is None:
                return None
            tell_address(up)
            outcome: Outcome | None = await unless_stopped(_Play(run, up, family).play(), stop, family)
            return outcome


def hindrances_of(story: Story, rules: Mapping[str, Rule]) -> Iterator[str]:
    """What of a story real parts cannot do, a sentence each."""
    if story.staffed:
        yield "staffed: people who act by themselves are there in fast runs only."
    if story.assets:
        yield "assets: dates of the life of devices are of the time of the story, and a real run is now."
    for event in story.events:
        what = {
            "own": "the gateway finds of itself what is so" if event.own else "",
            "panel": "what a listened panel says has other addresses in its real protocol" if event.panel else "",
            "agent": "the clock of this machine is not set, and receipts are not held back"
            if event.agent is not None and (event.agent.clock_s or event.agent.unheard)
            else "",
        }
        yield from (f"event {event.name}: {key}: {why}." for key, why in what.items() if why)
        for name in sorted(_rules_of(event) & rules.keys()):
            if _has_clock(rules[name].when.model_dump(by_alias=True)):
                yield f"event {event.name}: {name}: speaks at a time of the day, and a real run is now."


def _rules_of(event: Event) -> set[str]:
    asked = {name for speaks in event.speaks for name in speaks.rule}
    return asked | {name for names in event.alarms.values() for name in names}


def _leaves(when: dict[str, Any]) -> Iterator[dict[str, Any]]:
    inner = when.get("of")
    yield when
    for part in inner if isinstance(inner, list) else [inner]:
        if isinstance(part, dict):
            yield from _leaves(part)


def _has_clock(when: dict[str, Any]) -> bool:
    return any(leaf["kind"] == "time" for leaf in _leaves(when))


def quickened_rules(rules: Mapping[str, Rule], speed: float) -> dict[str, dict[str, float]]:
    """Limits by rule, so that it waits and looks back `speed` times less."""
    found: dict[str, dict[str, float]] = {}
    for name, rule in rules.items() if speed > 1.0 else ():
        changes = {"for_s": rule.for_s, "clear_for_s": rule.clear_for_s}
        leaves = list(_leaves(rule.when.model_dump(by_alias=True)))
        for key in _DURATIONS:
            having = [leaf[key] for leaf in leaves if leaf.get(key) is not None]
            if len(having) == 1:  # otherwise a limit does not say which
                changes[key] = having[0]
        quick = {key: round(max(LEAST_S.get(key, 0.0), value / speed), 3) for key, value in changes.items() if value}
        if quick:
            found[name] = quick
    return found


@dataclass
class _Play:
    run: RealRun
    up: Installation
    family: Family
    raised: list[Raised] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    alarms: dict[int, str] = field(default_factory=dict)
    """Rule of each alarm that was seen, by number."""
    last_id: int = 0
    readings: int = 0
    began_ms: int = 0

    async def play(self) -> Outcome:
        """To the end of its quiet tail."""
        watching = asyncio.create_task(self._watch(), name="watch alarms")
        try:
            self.up.simulators.say("start")
            while not (told := json.loads(await self.up.simulators.lines.get())).get("finished"):
                await self._take(told)
            end_ms = wall_ms()
            await asyncio.sleep(DRAIN_S)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        return self._outcome(end_ms)

    async def _take(self, told: dict[str, Any]) -> None:
        """One line of the simulators."""
        if "began_ms" in told:
            self.began_ms = told["began_ms"]
        if "step" in told:
            tell_step(told)
        match told.get("do"):
            case "agent":
                await self._turn("edge", is_on=told["running"])
            case "gateway":
                await self._turn("gateway", is_on=told["running"])
            case "ask":
                await self._ask(told["op"], told["by"], told["args"])

    async def _turn(self, name: str, *, is_on: bool) -> None:
        child: Child = next(child for child in self.family.children if child.name == name)
        if is_on and child.pid is None:
            await self.family.resume(child)
        elif not is_on:
            await self.family.halt(child)

    async def _ask(self, op: str, actor: str, args: dict[str, Any]) -> None:
        def alarms_of(rule: str) -> Iterator[int]:
            return (number for number, found in self.alarms.items() if found == rule)

        filled = {
            name: meant(value, wall_ms(), self.last_id, alarms_of, self.run.speed) for name, value in args.items()
        }
        try:
            async with ControlClient(self.up.data_dir / SOCKET) as gateway:
                found = await gateway.ask(op, actor, **filled)
        except (ControlError, RetryLater) as exc:
            self.refused.append(f"{op} {filled}: {exc}")
            return
        if isinstance(found, dict) and isinstance(found.get("id"), int):
            self.last_id = found["id"]

    async def _watch(self) -> None:
        """Alarms as the desk gets them, through restarts of the gateway."""
        while True:
            with contextlib.suppress(RetryLater):
                async with ControlClient(self.up.data_dir / SOCKET) as gateway:
                    async for event in gateway.subscribe():
                        self.readings += len(event.data) if event.event == "reading" else 0
                        rows = event.data["alarms"] if event.event == "snapshot" else [event.data]
                        is_snapshot = event.event == "snapshot"
                        for row in rows if is_snapshot or event.event == "alarm" else ():
                            self._note(row, row["recorded_ms"] if is_snapshot else wall_ms())
            await asyncio.sleep(0.2)

    def _note(self, row: dict[str, Any], shown_ms: int) -> None:
        if row["id"] not in self.alarms:
            self.alarms[row["id"]] = row["rule"]
            subject = row["subject"].removeprefix(f"{SITE}/")
            self.raised.append(
                Raised(row["rule"], subject, row["severity"], shown_ms, row["raised_ms"], row.get("hold"))
            )

    def _outcome(self, end_ms: int) -> Outcome:
        run, speed, began_ms = self.run, self.run.speed, self.began_ms

        def of_story(at_ms: int) -> int:
            return began_ms + round((at_ms - began_ms) * speed)

        raised = [
            each._replace(shown_ms=of_story(each.shown_ms), event_ms=of_story(each.event_ms))
            for each in self.raised
            if each.shown_ms <= end_ms
        ]
        placed = list(self.up.site.placed())
        polls = {p.entry.id: p.poll_s * speed if p.profile.modbus is not None else 0.0 for p in placed}
        labels = labels_of(run.story, run.where, ProfileLibrary(), seed=run.seed)
        length_s = run.story.length_s + run.story.tail_s
        return Outcome(
            run.story, run.network, run.seed, began_ms, length_s, len(placed), raised, labels, polls, self.refused,
            self.readings, speed,
        )  # fmt: skip
