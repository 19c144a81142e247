"""A story run fast: its timeline through the agent's and the gateway's decision cores in virtual time.

Nothing waits: the next moment is whichever comes first of an action, a device that is looked at, a batch, a timer of
the gateway and something a person does. So a week of a town takes seconds, and two runs of one seed are equal.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from cli.sim_crew import Crew
from cli.sim_desk import Desk, Raised
from cli.sim_edge import FastEdge
from contract.equipment import Limits
from contract.messages import Reading
from contract.profile import ProfileLibrary
from contract.site import load_site
from gateway.control.client import ControlError
from gateway.installation import Installation
from rules.model import Rule, load_packs, with_limits
from simulators.hydraulics.mapping import Mapping as Where
from simulators.station import StationPlan, write_site
from simulators.story import Story
from simulators.story_acts import AgentAct
from simulators.story_values import parse_duration
from simulators.timeline import (
    Action,
    Asked,
    Label,
    PanelSays,
    SetAgent,
    SetBroken,
    SetGateway,
    SetHabits,
    SetLine,
    SetLink,
    SetOwn,
    SetPoint,
    SetSilence,
)
from simulators.town import AGENT, SITE, lay_out_town, local_start, plan_town

LATENCY_MS = 60
"""From the agent's disk to the gateway's commit."""
BATCH_MS, SLOW_BATCH_MS = 20_000, 60_000
"""Telemetry is gathered so long, and a heartbeat goes with it: in stories of hours, and at most in those whose water is
looked at once a minute or less often. There a lost agent is one that was not heard for one and a half of these."""
SETTLE_MS = 120_000
"""Devices are met, and the station is what it is, before the story begins."""
Progress = Callable[[float], None]


class Outcome(NamedTuple):
    """What a run came to. raised: what the desk saw; labels: what was true; times are ms UTC, second 0 at start_ms.

    In a run on real parts they are of the story as well: a second that the parts take is `speed` story seconds.
    """

    story: Story
    network: str
    seed: int
    start_ms: int
    length_s: float
    devices: int
    raised: list[Raised]
    labels: list[Label]
    polls: dict[str, float]
    """Poll period of each device, s; 0 for one that sends by itself."""
    refused: list[str]
    """Commands of people that were refused, and why."""
    readings: int
    speed: float = 1.0


def run_fast(
    story: Story,
    where: Where,
    network: str,
    seed: int,
    *,
    rules: dict[str, Rule] | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Run one story of the town.

    Args:
        rules: those in force; the shipped ones when absent.
        progress: told the share that is done.

    Raises:
        ConfigError: the story does not fit the town or its network.
    """
    library = ProfileLibrary()
    plan = plan_town(where, story)
    timeline = lay_out_town(story, where, library, seed=seed)
    start_ms = int(local_start(story).timestamp() * 1000)
    with tempfile.TemporaryDirectory(prefix="weizhan-sim-") as folder:
        path = Path(folder) / "site.yaml"
        write_site(path, plan, _ports(plan))
        site = load_site(path, library)
    batch_ms = SLOW_BATCH_MS if story.step_s >= 60 and not story.staffed else BATCH_MS
    known = dict(rules or shipped_rules())
    if batch_ms > BATCH_MS:
        known["agent-lost"] = with_limits(known["agent-lost"], Limits(after_s=1.5 * batch_ms / 1000 + 5), "slow story")
    installation = Installation({site.site: site}, known, library)
    begin_ms = start_ms - SETTLE_MS
    devices = plan.devices
    with FastEdge(devices, site, begin_ms, seed, batch_ms) as edge:
        desk = Desk(installation, SITE, AGENT, begin_ms)
        try:
            run = _Run(batch_ms, desk, edge, Crew(desk, site, story, seed) if story.staffed else None)
            run.play(timeline.actions, start_ms, round(timeline.length_s * 1000), progress)
            polls = {p.entry.id: p.poll_s if p.profile.modbus is not None else 0.0 for p in site.placed()}
            return Outcome(
                story, network, seed, start_ms, timeline.length_s, edge.size, desk.raised, timeline.labels, polls,
                [*run.refused, *(run.crew.refused if run.crew is not None else ())], desk.stored,
            )  # fmt: skip
        finally:
            desk.close()


@cache
def _packs() -> dict[str, Rule]:
    return dict(load_packs())


def shipped_rules() -> dict[str, Rule]:
    """The rules as they are shipped."""
    return dict(_packs())


class _Run:
    def __init__(self, batch_ms: int, desk: Desk, edge: FastEdge, crew: Crew | None) -> None:
        self.refused: list[str] = []
        self._batch_ms = batch_ms
        self._desk = desk
        self._edge = edge
        self.crew = crew
        self._agent = AgentAct()
        self._link = "up"
        self._is_running = True
        self._held: list[tuple[str, list[Reading]]] = []
        self._telemetry: list[Reading] = []
        self._unheard_ms: int | None = None
        self._usual = desk.facts
        self._last_id = 0

    def play(
        self, actions: list[tuple[float, Action]], start_ms: int, length_ms: int, progress: Progress | None
    ) -> None:
        desk, edge = self._desk, self._edge
        now_ms, end_ms = edge.now_ms, start_ms + length_ms
        batch_ms, at, told = now_ms, 0, 0.0
        for second, action in actions:  # what holds at second 0 holds before the devices are met
            if second > 0:
                break
            if isinstance(action, SetPoint):
                self._do(action)
        desk.turn(("state", desk.beat(now_ms, now_ms)))
        while True:
            action_ms = start_ms + round(actions[at][0] * 1000) if at < len(actions) else 2**62
            due_ms = desk.next_due_ms() if self._is_running else 2**62
            crew_ms = self.crew.next_ms() if self.crew is not None and self._is_running else 2**62
            now_ms = max(now_ms, min(action_ms, edge.next_ms(), batch_ms, due_ms, crew_ms))
            if now_ms > end_ms:
                return
            if action_ms <= now_ms:
                edge.now_ms, second = now_ms, actions[at][0]
                while at < len(actions) and actions[at][0] == second:
                    self._do(actions[at][1])
                    at += 1
                continue
            is_beat = batch_ms <= now_ms
            if is_beat:
                batch_ms = now_ms + self._batch_ms
                edge.beat()
            edge.advance(now_ms)
            self._gather(now_ms, is_beat=is_beat)
            if crew_ms <= now_ms and self.crew is not None:
                desk.now_ms = max(desk.now_ms + 1, now_ms)
                self.crew.act()
            if due_ms <= now_ms and self._is_running:
                desk.now_ms = max(desk.now_ms + 1, now_ms)
                desk.turn()
            if progress is not None and (share := (now_ms - start_ms) / length_ms) >= told + 0.02:
                told = share
                progress(share)

    # --- what goes up ---------------------------------------------------------------------------------------------

    @property
    def _is_through(self) -> bool:
        return self._is_running and self._link in ("up", "split", "late") and not self._agent.stopped

    def _gather(self, now_ms: int, *, is_beat: bool) -> None:
        """Take what was read; alarms go at once, telemetry and heartbeat with the beat."""
        reports = self._edge.take()
        if self._agent.stopped:
            return
        shift_ms = round(self._agent.clock_s * 1000)
        alarm, telemetry = (
            [r if not shift_ms else Reading(r.point, r.observed_ms + shift_ms, r.value, r.quality) for r in readings]
            for readings in (reports.alarm, reports.telemetry)
        )
        self._telemetry += telemetry
        observed_ms = max((reading.observed_ms for reading in alarm), default=now_ms + shift_ms) - shift_ms
        self._hold("alarm", alarm)
        if is_beat:
            self._hold("telemetry", self._telemetry)
            self._telemetry = []
        if alarm or is_beat:
            self._flush(max(now_ms, observed_ms), is_beat=is_beat)

    def _hold(self, lane: str, readings: list[Reading]) -> None:
        """Seal what goes up; a message has at most 64 KiB."""
        for first in range(0, len(readings), 500):
            self._held.append((lane, readings[first : first + 500]))

    def _flush(self, now_ms: int, *, is_beat: bool = False) -> None:
        if not self._is_through:
            return
        desk = self._desk
        desk.now_ms = max(desk.now_ms + 1, now_ms + LATENCY_MS * (10 if self._link == "late" else 1))
        sent_ms = now_ms + round(self._agent.clock_s * 1000)
        held, self._held = sorted(self._held, key=lambda each: each[0]), []  # alarms first, as the agent sends them
        messages: list[tuple[str, bytes]] = [
            (lane, desk.send(lane, readings, sent_ms))  # type: ignore[arg-type]  # lanes are literals
            for lane, readings in held
        ]
        if is_beat:
            waited_s = 0.0
            if self._agent.unheard:
                self._unheard_ms = self._unheard_ms or now_ms
                waited_s = (now_ms - self._unheard_ms) / 1000
            else:
                self._unheard_ms = None
            messages.append(("state", desk.beat(sent_ms, now_ms, waited_s)))
        if messages:
            desk.turn(*messages)

    # --- what happens ---------------------------------------------------------------------------------------------

    def _do(self, action: Action) -> None:
        edge, desk = self._edge, self._desk
        match action:
            case SetPoint(point, value):
                edge.set_point(point, value)
            case SetSilence(device, silent):
                edge.set_silence(device, is_silent=silent)
            case SetBroken(point, is_broken):
                edge.set_broken(point, is_broken=is_broken)
            case SetLine(line, act):
                edge.set_line(line, act)
            case PanelSays(act, is_over):
                edge.say(act, is_over=is_over)
            case SetLink(mode):
                self._set_link(mode)
            case SetAgent(act):
                if act is not None and act.stopped:
                    self._leave()
                self._agent = act or AgentAct()
            case SetOwn(point, value):
                changed: dict[str, Any] = {point: getattr(self._usual, point) if value is None else value}
                desk.facts = desk.facts._replace(**changed)
            case SetGateway(is_running):
                self._is_running = is_running
                if is_running:
                    desk.start(max(desk.now_ms + 1, edge.now_ms))
            case SetHabits(habits):
                if self.crew is not None:
                    self.crew.change(habits)
            case Asked(ask):
                self._ask(ask.op, ask.by, ask.args)

    def _set_link(self, mode: str) -> None:
        if mode == "cut":
            self._leave()
        self._link = mode

    def _leave(self) -> None:
        """The broker notices that the agent is gone and sends its last will."""
        if self._is_through:
            desk = self._desk
            desk.now_ms = max(desk.now_ms + 1, self._edge.now_ms + LATENCY_MS)
            desk.turn(("state", desk.beat(self._edge.now_ms, self._edge.now_ms, online=False)))

    def _ask(self, op: str, actor: str, args: dict[str, Any]) -> None:
        desk = self._desk
        desk.now_ms = max(desk.now_ms + 1, self._edge.now_ms)
        try:
            found = desk.command(op, actor, {name: self._meant(value) for name, value in args.items()})
        except ControlError as exc:
            self.refused.append(f"{op} {args}: {exc.code}: {exc}")
            return
        if isinstance(found, dict) and isinstance(found.get("id"), int):
            self._last_id = found["id"]

    def _meant(self, value: Any) -> Any:
        alarms = self._desk.state.book.open.values
        return meant(value, self._desk.now_ms, self._last_id, lambda rule: (a.id for a in alarms() if a.rule == rule))


def meant(value: Any, now_ms: int, last_id: int, alarms_of: Callable[[str], Iterable[int]], speed: float = 1.0) -> Any:
    """An argument of a command of a story, with the numbers and times that it stands for.

    `@alarm RULE`: number of its latest alarm, 0 for none; `@last`: of what the last command made; `@in 2h`: that moment
    of the story.
    """
    if not isinstance(value, str) or not value.startswith("@"):
        return value
    word, _, rest = value.partition(" ")
    if word == "@in":
        return now_ms + round(parse_duration(rest) * 1000 / speed)
    return last_id if word == "@last" else max(alarms_of(rest), default=0)


def _ports(plan: StationPlan) -> dict[str, int | str]:
    """Made up: nobody opens them."""
    return {
        line.id: f"/dev/ttyS{n}" if line.kind in ("modbus_rtu", "printer") else 10_000 + n
        for n, line in enumerate(plan.lines)
    }
