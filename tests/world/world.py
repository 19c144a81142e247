"""A whole simulated station: one thread, one heap of events, one seed.

    equipment ──lines──> edge1, edge2 (the product's agents) ──broker──> gateway (the product's) ──ways──> people

`World(plan, folder)` runs the product's own agents and gateway on simulated time; everything they touch is the world's
and can go wrong. After each durable step the checks of `checks.py` look at what the product did. The same seed gives
the same run, byte for byte: `digest` is over everything that passed between the parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from contract.mqtt import MqttSettings
from contract.profile import ProfileLibrary
from contract.site import Site, load_site
from edge_agents.outbox import FILE as OUTBOX
from edge_agents.settings import AgentSettings, OutboxSettings
from gateway.installation import Installation, load_installation
from gateway.ledger.store import FILE as LEDGER
from gateway.notify.settings import NotifySettings
from gateway.settings import GatewaySettings
from tests.world.broker import Broker, Weather
from tests.world.checks import Broken, Checks
from tests.world.disk import Disk
from tests.world.field import Equipment, LineWeather, SerialLine
from tests.world.ledger_checks import LedgerChecks
from tests.world.loop import Timeline
from tests.world.nodes import AgentProcess, GatewayProcess, MachineClock, Process
from tests.world.plan import AGENTS, WAYS, Happening, Plan
from tests.world.sinks import Sink, SinkWeather
from tests.world.station import CANARY, SITE, LogLines, notify

START_MS = 1_760_000_000_000
CHECK_S = 10.0
CALM_S = 60.0
"""How long the station may take to be right again once everything works."""
_installed: dict[str, Installation] = {}


class World:
    """A station that lives.

    Args:
        plan: what happens.
        folder: where its processes keep their files; emptied by the caller.
        story: takes a line about everything that happens, for people.
    """

    def __init__(self, plan: Plan, folder: Path, story: Callable[[str], None] = lambda _: None) -> None:
        self.plan = plan
        self.story = story
        self.timeline = Timeline()
        self.random = Random(f"run {plan.seed}")
        self._digest = hashlib.sha256()
        self.folder = folder
        self.log: list[str] = []
        """Lines of the product's log."""
        self._handler = LogLines(self.log)
        site = self._write_site(1)
        self.broker = Broker(self.timeline, self.random, self.trace)
        self.sinks = {way: Sink(way, self.timeline, self.random) for way in WAYS}
        self.equipment = {
            placed.entry.id: Equipment(placed.entry.id, placed.profile, placed.entry.points, self.timeline)
            for placed in site.placed()
        }
        self.lines = {
            line.id: SerialLine(
                line.id, {entry.unit_id or 0: self.equipment[entry.id] for entry in line.devices}, self.random
            )
            for agent in site.agents
            for line in agent.lines
        }
        password = folder / "password"
        password.write_text(CANARY)
        mqtt = MqttSettings(password_file=password)
        self.processes: dict[str, Process] = {}
        self.agents = {name: self._agent(name, site, mqtt) for name in AGENTS}
        self.gateway = self._gateway(mqtt)
        self.processes = {**self.agents, "gateway": self.gateway}
        self.checks = Checks(self)
        for process in self.processes.values():
            process.trace = self.trace
            self.checks.watch(process)
        self._ended = False
        self._troubled: set[str] = set()
        """Devices whose pressure is not what it should be."""

    # --- parts -----------------------------------------------------------------------------------------------------

    def _parts(self, name: str, file: str) -> tuple[Any, ...]:
        folder = self.folder / name
        folder.mkdir()
        clock = MachineClock(self.timeline, START_MS)
        clock.offset_ms, clock.rate = self.plan.clocks[name]
        return name, self.timeline, self.broker, Disk(folder, file, self.timeline, self.random), clock

    def _agent(self, name: str, site: Site, mqtt: MqttSettings) -> AgentProcess:
        limits, entry = self.plan.limits, site.agent(name)
        assert entry is not None
        # Smaller than the settings allow in some runs: the budget must be kept whatever it is.
        outbox = OutboxSettings().model_copy(
            update={"max_bytes": limits.outbox_bytes, "batch_bytes": limits.batch_bytes}
        )
        settings = AgentSettings(
            site_file=self.site_file, agent_id=name, data_dir=self.folder / name, outbox=outbox,
            resend_s=limits.resend_s, seal_ms=limits.seal_ms,
        )  # fmt: skip
        lines = {line.id: self.lines[line.id] for line in entry.lines}
        parts = self._parts(name, OUTBOX)
        return AgentProcess(*parts, settings=settings, mqtt=mqtt, lines=lines, new_name=self._name)

    def _gateway(self, mqtt: MqttSettings) -> GatewayProcess:
        limits = self.plan.limits
        parts = self._parts("gateway", LEDGER)
        settings = GatewaySettings(
            sites=[self.site_file], data_dir=self.folder / "gateway", queue_messages=limits.queue_messages,
            checkpoint_s=limits.checkpoint_s, commit_ms=limits.commit_ms,
        )  # fmt: skip
        people = NotifySettings.model_validate(notify(self.folder))
        text = self.site_file.read_text("utf-8")
        installation = _installed.get(text)
        if installation is None:
            installation = _installed[text] = load_installation(settings)
        secret = f"{self.random.getrandbits(256):064x}"
        return GatewayProcess(
            *parts, settings=settings, mqtt=mqtt, notify=people, installation=installation, sinks=self.sinks,
            new_name=self._name, secret=secret,
        )  # fmt: skip

    def _name(self) -> str:
        return f"{self.random.getrandbits(128):032x}"

    @property
    def site_file(self) -> Path:
        """The site file both sides read."""
        return self.folder / "shuiye.yaml"

    def _write_site(self, version: int) -> Site:
        fresh = self.folder / "shuiye.new"
        fresh.write_text(SITE.format(title=f"Shuiye {version}", tank_s=10 if version % 2 else 5), "utf-8")
        fresh.replace(self.site_file)
        return load_site(self.site_file, ProfileLibrary())

    # --- running ---------------------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        """Simulated seconds since the beginning."""
        return self.timeline.now_us / 1e6

    @property
    def digest(self) -> str:
        """Hash over everything that passed between the parts so far."""
        return self._digest.hexdigest()

    def trace(self, what: str, process: str, topic: str, payload: bytes) -> None:
        """Something passed between the parts."""
        self._digest.update(f"{self.timeline.now_us} {what} {process} {topic} {len(payload)} ".encode())
        self._digest.update(payload)
        self.checks.passed(what, process, topic, payload)

    def run(self) -> None:
        """Live the plan with all faults, then let everything work again. Raises Broken."""
        self.safety()
        self.liveness()

    def safety(self) -> None:
        """Faults all the time; what must always hold is checked as it goes. Raises Broken."""
        with self._handler:
            for process in self.processes.values():
                process.start()
            for one in self.plan.happenings:
                self.timeline.at(round(one.at_s * 1e6), lambda one=one: self.happen(one))  # type: ignore[misc]
            self._drift()
            self._look()
            self.timeline.run_until(round(self.plan.hours * 3600e6))
            self.checks.raise_broken()

    def liveness(self) -> None:
        """Everything works from now on: within CALM_S all must be told and right. Raises Broken."""
        with self._handler:
            self.calm()
            until_s = self.now_s + CALM_S
            self.timeline.run_until(round(until_s * 1e6))
            self.checks.raise_broken()
            self.checks.all_right()
            LedgerChecks(self, self.checks).run()

    def end(self) -> None:
        """Stop everything."""
        if not self._ended:
            self._ended = True
            for process in self.processes.values():
                process.end()

    def _drift(self) -> None:
        """Water is never quite still."""
        name = self.random.choice(("hydrant-01", "hydrant-02", "hydrant-03"))
        if name not in self._troubled:
            self.equipment[name].set("pressure_kpa", round(300 + self.random.uniform(-9, 9), 1))
        self.timeline.after(self.plan.limits.drift_s, self._drift)

    def _look(self) -> None:
        self.checks.look()
        self.timeline.after(CHECK_S, self._look)

    # --- what happens ------------------------------------------------------------------------------------------------

    def happen(self, one: Happening) -> None:
        """Let it happen."""
        self.story(str(one))
        self.trace("happens", "world", one.kind, b"")
        getattr(self, f"_on_{one.kind}")(**one.args)

    def calm(self) -> None:
        """Every fault ends, every process runs."""
        self.story(f"{self.now_s:9.3f} s  everything works from now on")
        self.broker.start()
        for name, process in self.processes.items():
            process.fuse = None
            process.disk.fault, process.disk.slow = None, 1.0
            self.broker.weather[name] = Weather()
            self.broker.heal(name)
            process.start()
        for line in self.lines.values():
            line.weather = LineWeather()
        for sink in self.sinks.values():
            sink.weather = SinkWeather()
        self.checks.disturbed()

    def _later(self, for_s: float, undo: Callable[[], None]) -> None:
        """A trouble on the way of a fire that ends by itself."""

        def end() -> None:
            undo()
            self.checks.troubles -= 1
            self.checks.disturbed()

        self.checks.troubles += 1
        self.checks.told.disturbed()
        self.timeline.after(for_s, end)

    def _on_fire(self, point: str, for_s: float) -> None:
        panel = self.equipment["panel-01"]
        panel.set(point, "fire")
        self.timeline.after(for_s, lambda: panel.set(point, "normal"))

    def _on_cap(self, device: str, for_s: float) -> None:
        self.equipment[device].set("cap_open", True)
        self.timeline.after(for_s, lambda: self.equipment[device].set("cap_open", False))

    def _on_impact(self, device: str, for_s: float) -> None:
        self.equipment[device].set("impact", True)
        self.timeline.after(for_s, lambda: self.equipment[device].set("impact", False))

    def _on_pressure(self, device: str, for_s: float, kpa: float) -> None:
        self._troubled.add(device)
        self.equipment[device].set("pressure_kpa", kpa)
        self.timeline.after(for_s, lambda: self._troubled.discard(device))

    def _on_crash(self, process: str, effect: int, power: bool, down_s: float) -> None:
        self.checks.disturbed()
        self.processes[process].fuse = (effect, power, down_s)

    def _on_cut(self, process: str, ways: str, for_s: float) -> None:
        self.broker.cut(process, {"up", "down"} if ways == "both" else {ways})  # type: ignore[arg-type]  # drawn so
        self._later(for_s, lambda: self.broker.heal(process))

    def _on_slow(self, process: str, delay_s: float, for_s: float) -> None:
        weather = self.broker.weather_of(process)
        weather.delay_s = (0.0, delay_s)
        self._later(for_s, lambda: setattr(self.broker.weather_of(process), "delay_s", Weather().delay_s))

    def _on_lossy(self, process: str, share: float, for_s: float) -> None:
        self.broker.weather_of(process).lose = share
        self._later(for_s, lambda: setattr(self.broker.weather_of(process), "lose", 0.0))

    def _on_repeat(self, process: str, share: float, for_s: float) -> None:
        self.broker.weather_of(process).repeat = share
        self._later(for_s, lambda: setattr(self.broker.weather_of(process), "repeat", 0.0))

    def _on_reset(self, process: str, times: int) -> None:
        self.checks.disturbed()
        self.broker.reset(process)
        if times > 1:
            self.timeline.after(1.0, lambda: self._on_reset(process, times - 1))

    def _on_replay(self, share: float) -> None:
        self.broker.replay(share)

    def _on_broker(self, wiped: bool, down_s: float) -> None:
        self.broker.crash(wiped=wiped)
        self._later(down_s, self.broker.start)

    def _on_disk(self, process: str, why: str, for_s: float) -> None:
        self.processes[process].disk.fault = why
        self._later(for_s, lambda: setattr(self.processes[process].disk, "fault", None))

    def _on_slow_disk(self, process: str, times: float, for_s: float) -> None:
        self.processes[process].disk.slow = times
        self._later(for_s, lambda: setattr(self.processes[process].disk, "slow", 1.0))

    def _on_unplug(self, line: str, for_s: float) -> None:
        self.lines[line].weather.unplugged = True
        self.timeline.after(for_s, lambda: setattr(self.lines[line].weather, "unplugged", False))

    def _on_silent(self, device: str, for_s: float) -> None:
        line = next(line for line in self.lines.values() if any(u.name == device for u in line.units.values()))
        line.weather.silent.add(device)
        self.timeline.after(for_s, lambda: line.weather.silent.discard(device))

    def _on_noise(self, line: str, share: float, leak: float, for_s: float) -> None:
        weather = self.lines[line].weather
        weather.noise, weather.leak = share, leak
        self.timeline.after(for_s, lambda: setattr(self.lines[line].weather, "noise", 0.0))

    def _on_late(self, line: str, share: float, for_s: float) -> None:
        self.lines[line].weather.late = share
        self.timeline.after(for_s, lambda: setattr(self.lines[line].weather, "late", 0.0))

    def _on_sink(self, way: str, how: str, share: float, for_s: float) -> None:
        def end() -> None:
            setattr(self.sinks[way].weather, how, 0.0)
            self.checks.told.disturbed()

        setattr(self.sinks[way].weather, how, share)
        self.checks.told.disturbed()
        self.timeline.after(for_s, end)

    def _on_clock(self, process: str, jump_s: float) -> None:
        self.processes[process].clock.offset_ms += jump_s * 1000
        self.checks.clock_set()

    # --- people ------------------------------------------------------------------------------------------------------

    def _on_acknowledge(self, who: str, which: float) -> None:
        self._on_alarm("alarm.acknowledge", who, which, {"note": ""}, lambda a: a.state in _UNSEEN)

    def _on_note(self, who: str, which: float) -> None:
        self._on_alarm("alarm.note", who, which, {"note": "looked at it"}, lambda _: True)

    def _on_shelve(self, who: str, which: float, for_s: float) -> None:
        until_ms = self.gateway.clock.wall_ms() + round(for_s * 1000)
        told = {"until_ms": until_ms, "reason": "known"}
        self._on_alarm("alarm.shelve", who, which, told, lambda alarm: alarm.severity != "fire")

    def _on_alarm(self, op: str, who: str, which: float, args: dict[str, Any], fits: Callable[[Any], bool]) -> None:
        pipeline = self.gateway.pipeline
        if not self.gateway.is_up or pipeline is None or pipeline._state is None:
            return
        open_now = [alarm for alarm in pipeline.working.book.open.values() if fits(alarm)]
        if open_now:
            alarm = open_now[int(which * len(open_now))]
            self.gateway.ask(op, who, {"alarm_id": alarm.id, **args}, lambda _: self.checks.did(op, alarm.id))

    def _on_take_out(self, who: str, which: float, for_s: float) -> None:
        subject = f"shuiye/{('hydrant-01', 'tank-01', 'bay-01')[int(which * 3)]}"
        self.gateway.ask("service.take_out", who, {"subject": subject, "reason": "repair"}, lambda _: None)
        back = {"subject": subject, "note": ""}
        self.timeline.after(for_s, lambda: self.gateway.ask("service.return", who, back, lambda _: None))

    def _on_drill(self, who: str, which: float, for_s: float) -> None:
        until_ms = self.gateway.clock.wall_ms() + round(for_s * 1000)
        args = {"site": "shuiye", "scope": ["hydrant-02/*"], "until_ms": until_ms, "reason": "test"}
        self.gateway.ask("drill.open", who, args, lambda _: None)

    def _on_reload(self) -> None:
        self._write_site(2)


_UNSEEN = ("unacknowledged", "returned_unacknowledged")


__all__ = ["Broken", "World"]
