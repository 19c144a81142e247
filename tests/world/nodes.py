"""Processes of a simulated station: the product's agent and gateway, only what touches the world is swapped."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from typing import Any

from contract.messages import Receipt
from contract.mqtt import MqttSettings
from edge_agents.agent import Agent
from edge_agents.bus.port import FrameCounters, PolledLine, Port
from edge_agents.clock import AgentClock
from edge_agents.outside import Outside
from edge_agents.settings import AgentSettings
from gateway.control.client import ControlError
from gateway.control.feed import Feed
from gateway.control.feed import Subscriber as Watcher
from gateway.control.protocol import Ask
from gateway.ingest.subscriber import Subscriber
from gateway.installation import Installation
from gateway.ledger.secret import SECRET
from gateway.ledger.store import Store
from gateway.notify.sender import Sender
from gateway.notify.settings import NotifySettings
from gateway.notify.state import NotifyParts
from gateway.notify.ways import Ways
from gateway.own import Facts, OwnReadings, read_stopped_s
from gateway.pipeline import Pipeline
from gateway.reload import Reloader
from gateway.settings import GatewaySettings
from tests.world.broker import Broker, Client
from tests.world.disk import Disk
from tests.world.field import SerialLine, SerialPort
from tests.world.loop import ProcessLoop, Timeline
from tests.world.sinks import Sink, SinkTarget
from tests.world.station import CANARY

RESTART_S = 2.0
"""A process that ends by itself is started again after so long, as systemd does."""
PEOPLE = ("wang", "li")


class MachineClock:
    """The clocks of one machine: a wall clock that may be wrong, drift and be set; one that runs since boot."""

    def __init__(self, timeline: Timeline, start_ms: int) -> None:
        self._timeline = timeline
        self._start_ms = start_ms
        self.offset_ms = 0.0
        self.rate = 1.0
        self._booted_us = 0
        self.boots = 0

    def wall_ms(self) -> int:
        return self._start_ms + int(self._timeline.now_us * self.rate / 1000 + self.offset_ms)

    def steady_ms(self) -> int:
        return 5000 + int((self._timeline.now_us - self._booted_us) * self.rate / 1000)

    def reboot(self) -> None:
        self.boots += 1
        self._booted_us = self._timeline.now_us


class Process:
    """One process on one machine: it can be killed at any of its effects and started again."""

    def __init__(self, name: str, timeline: Timeline, broker: Broker, disk: Disk, clock: MachineClock) -> None:
        self.name = name
        self.timeline = timeline
        self.broker = broker
        self.disk = disk
        self.clock = clock
        self.loop: ProcessLoop | None = None
        self.crashes = 0
        self.faults: list[str] = []
        """What nobody caught."""
        self.fuse: tuple[int, bool, float] | None = None
        """Killed at the n-th effect from now: (n, power cut, seconds until it is started again)."""
        self.trace: Callable[[str, str, str, bytes], None] = lambda *_: None
        self.killed: Callable[[Process], None] = lambda _: None
        self.down_until_us = 0
        self.ended_by = ""
        """Why it last ended by itself."""
        self.held = False
        """Not started again until `start` is called."""
        disk.effect = self.effect
        disk.connection = self.connection

    @property
    def is_up(self) -> bool:
        return self.loop is not None and not self.loop.dead

    def connection(self) -> sqlite3.Connection | None:
        raise NotImplementedError

    async def main(self) -> None:
        raise NotImplementedError

    def effect(self, kind: str) -> bool:
        """Something of this process is about to touch the world; True: it was killed instead."""
        if self.fuse is None:
            return False
        left, power, down_s = self.fuse
        if left > 1:
            self.fuse = (left - 1, power, down_s)
            return False
        self.fuse = None
        self.kill(power=power, down_s=down_s, at=kind)
        return True

    def start(self) -> None:
        """Start it, unless it runs."""
        if self.is_up:
            return
        loop = self.loop = ProcessLoop(  # type: ignore[abstract]  # the product needs no more of a loop
            self.timeline, self.name, self.disk.submit, self.clock.rate
        )
        self.trace("start", self.name, "", b"")
        self._main = loop.create_task(self._run(loop), name=f"{self.name}.main")  # a task is only kept by who holds it

    async def _run(self, loop: ProcessLoop) -> None:
        try:
            await self.main()
        except asyncio.CancelledError:
            raise
        except Exception as exc:  # noqa: BLE001  # a process that ends: whoever watches it starts it again
            if not loop.dead:
                self.trace("ended", self.name, type(exc).__name__, b"")
                self.ended_by = f"{type(exc).__name__}: {exc}"
                self.kill(power=False, down_s=RESTART_S, at=f"its end: {exc}", is_crash=False)

    def kill(self, *, power: bool, down_s: float, at: str, is_crash: bool = True) -> None:
        """Kill it now; started again after `down_s`."""
        loop = self.loop
        if loop is None or loop.dead:
            return
        self.crashes += is_crash
        self.trace("killed", self.name, "power" if power else "kill", at.encode())
        loop.kill()
        found = self.disk.image_after_power_cut() if power else self.disk.image()
        for client in [client for client in self.broker.clients if client.loop is loop]:
            client.lose("the process is gone")
        if power:
            self.clock.reboot()
        self.timeline.after(0, lambda: self._bury(loop, found))
        self.down_until_us = self.timeline.now_us + round(down_s * 1e6) + 1
        self.timeline.at(self.down_until_us, lambda: None if self.held else self.start())

    def _bury(self, loop: ProcessLoop, found: dict[str, bytes]) -> None:
        loop.bury()
        self.faults += loop.faults
        loop.faults.clear()
        self.disk.put_back(found)
        self.killed(self)

    def end(self) -> None:
        """The world ends."""
        self.held = True
        loop = self.loop
        if loop is not None and not loop.dead:
            loop.kill()
            loop.bury()
            self.faults += loop.faults

    def uniform(self, low: float, high: float) -> float:
        """A number between two; a dead process draws none, so that how it ends changes nothing."""
        return self.broker.random.uniform(low, high) if self.is_up else low

    def new_client(self, host: str, port: int, **settings: Any) -> Any:
        """In place of aiomqtt.Client."""
        assert self.loop is not None
        return Client(self.broker, self.name, self.loop, self.effect, **settings)


class AgentProcess(Process):
    """An agent, whole: edge_agents.agent.Agent."""

    def __init__(
        self, *parts: Any, settings: AgentSettings, mqtt: MqttSettings, lines: dict[str, SerialLine],
        new_name: Callable[[], str],
    ) -> None:  # fmt: skip
        super().__init__(*parts)
        self.settings = settings
        self._mqtt = mqtt
        self.lines = lines
        self._new_name = new_name
        self.agent: Agent | None = None

    def connection(self) -> sqlite3.Connection | None:
        outbox = getattr(self.agent, "outbox", None)
        return None if outbox is None else outbox._file._db

    async def main(self) -> None:
        loop, clock = asyncio.get_running_loop(), self.clock
        outside = Outside(loop.time, self.uniform, self._new_name, self.new_client, self._port, 20.0)
        made = AgentClock(clock.wall_ms, clock.steady_ms, f"{self.name}-{clock.boots}")
        self.agent = Agent(self.settings, self._mqtt, made, outside)
        async with self.agent:
            await asyncio.get_running_loop().create_future()

    def _port(self, line: PolledLine, counters: FrameCounters) -> Port:
        assert self.loop is not None
        return SerialPort(self.lines[line.id], self.loop, line.timeout_s, self.effect)


class Screen(Watcher):
    """What a page is sent; whether a secret was among it."""

    def __init__(self) -> None:
        super().__init__()
        self.had_secret = False

    def put(self, line: bytes) -> None:
        self.had_secret |= CANARY.encode() in line
        super().put(line)

    def read(self) -> None:
        """Take everything that waits."""
        while not self._lines.empty():
            self._held -= len(self._lines.get_nowait() or b"")


class GatewayProcess(Process):
    """A gateway: what gateway.app puts together, but for the pages' socket, the history, centres and passwords."""

    def __init__(
        self,
        *parts: Any,
        settings: GatewaySettings,
        mqtt: MqttSettings,
        notify: NotifySettings,
        installation: Installation,
        sinks: dict[str, Sink],
        new_name: Callable[[], str],
        secret: str,
    ) -> None:
        super().__init__(*parts)
        self.settings = settings
        self._mqtt = mqtt
        self._notify = notify
        self.installation = installation
        self.sinks = sinks
        self._new_name = new_name
        self._secret = secret
        self.store: Store | None = None
        self.pipeline: Pipeline | None = None
        self.sender: Sender | None = None
        self.subscriber: Subscriber | None = None
        self.screen = Screen()
        """A page that follows everything; read every ten seconds."""
        self.told: Callable[[str, str, Receipt], None] = lambda *_: None

    def connection(self) -> sqlite3.Connection | None:
        return None if self.store is None else self.store._connection

    async def main(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ProcessLoop)
        clock, settings, uniform = self.clock, self.settings, self.uniform
        self.store = self.pipeline = self.subscriber = None
        async with contextlib.AsyncExitStack() as stack:
            enter = stack.enter_async_context
            self.store = store = await enter(Store(settings.data_dir))
            await store.run(self._settle_in)
            feed = Feed()
            key = bytes(32)
            parts = NotifyParts(self._notify, key, Ways(self._notify), self._new_name)
            sender = Sender(
                parts, store, lambda _: False, lambda *said: pipeline.note_proof(*said), clock.wall_ms,
                new_target=lambda channel, _s, person, _p: SinkTarget(
                    self.sinks[f"{person.id}/{channel.id}"], loop, self._notify.timeout_s
                ),
                uniform=uniform,
            )  # fmt: skip
            stopped_s = await store.run(lambda connection: read_stopped_s(connection, clock.wall_ms()))
            pipeline = Pipeline(
                store,
                self.installation,
                settings,
                root=self._mqtt.root,
                feed=feed,
                receipts=lambda *said: self._tell(subscriber, *said),
                requests=lambda *said: subscriber.request(*said),
                now_ms=clock.wall_ms,
                notify=parts,
                planned=sender.planned,
                own=OwnReadings(lambda: self._facts(subscriber), stopped_s, loop.time),
                monotonic=loop.time,
                uniform=uniform,
            )
            subscriber = Subscriber(
                self._mqtt, pipeline.offer, clock.wall_ms,
                uniform=uniform, new_client=self.new_client, new_name=self._new_name,
            )  # fmt: skip
            reloader = Reloader(settings, lambda: pipeline.installation, pipeline.install, look_s=20.0)
            self.pipeline, self.sender, self.subscriber = pipeline, sender, subscriber
            await enter(sender)
            await enter(pipeline)
            reloading = loop.create_task(reloader.run(), name="reload")
            stack.callback(reloading.cancel)
            await enter(subscriber)
            self.follow()
            await loop.create_future()

    def follow(self) -> None:
        """Let a page follow everything from now on."""
        loop, pipeline, screen = self.loop, self.pipeline, Screen()
        if loop is None or loop.dead or pipeline is None:
            return
        self.screen = screen

        async def join() -> None:
            try:
                await pipeline.subscribe(screen)
            except ControlError:
                screen.end()  # the ledger is away: once more at the next look

        loop.create_task(join(), name="screen")

    def _tell(self, subscriber: Subscriber, site: str, agent: str, receipt: Receipt) -> None:
        if self.loop is not None and not self.loop.dead:
            self.told(site, agent, receipt)
        subscriber.tell(site, agent, receipt)

    def _settle_in(self, connection: sqlite3.Connection) -> None:
        """Once: people, and a secret that comes of the seed."""
        if connection.execute("SELECT count(*) FROM user").fetchone()[0]:
            return
        connection.executemany(
            "INSERT INTO user (name, role, password_hash, created_ms) VALUES (?, 'duty', 'x', 0)",
            [(person,) for person in PEOPLE],
        )
        connection.execute("UPDATE meta SET value = ? WHERE key = ?", (self._secret, SECRET))

    @staticmethod
    def _facts(subscriber: Subscriber) -> Facts:
        return Facts(broker_connected=subscriber.connected, history_away=False, history_lag_s=0.0)

    def ask(self, op: str, actor: str, args: dict[str, Any], answered: Callable[[Any], None]) -> None:
        """A person does something; told of the result once it is durable."""
        loop, pipeline = self.loop, self.pipeline
        if loop is None or loop.dead or pipeline is None:
            return

        async def run() -> None:
            with contextlib.suppress(ControlError):
                result = await pipeline.ask(Ask(id=1, op=op, actor=actor, args=args))
                if not loop.dead:
                    answered(result)

        loop.create_task(run(), name="person")
