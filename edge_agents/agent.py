"""The composition root: what an agent is made of and how a reading goes through it. Read this first.

    line (bus/) -> drivers/ -> reporting -> recorder -> outbox (disk) -> uplink -> broker -> gateway
                                                           ^------- receipt: durable there, delete here

Start waits for no device and no broker. One supervisor restarts a part that fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import logging
import os
import signal
from collections.abc import Callable, Coroutine
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from contract import quality as q
from contract.errors import ConfigError, RetryLater, StartError, WeizhanError
from contract.lines import agent_device
from contract.messages import Reading, Request
from contract.mqtt import MqttSettings
from contract.profile import ONLINE, ProfileLibrary
from contract.site import AgentEntry, Placed, Site, line_device, load_site
from edge_agents.clock import AgentClock
from edge_agents.drivers.gb26875.line import TransmitterLine
from edge_agents.foreign import report as foreign
from edge_agents.line_builder import Kept, LineBuilder
from edge_agents.outbox import Outbox
from edge_agents.outbox_row import Fill
from edge_agents.outside import REAL, Outside
from edge_agents.recorder import KEPT, Recorder
from edge_agents.reload import Diff, compare, lines_of
from edge_agents.reporting import Reported, Reports, next_observed_ms
from edge_agents.settings import AgentSettings
from edge_agents.site_watch import SiteWatch
from edge_agents.uplink import Identity, Uplink

log = logging.getLogger(__name__)
STOP_S = 5.0
"""Longest a stop may take."""
RESTART_S = (0.5, 30.0)
STATUS_S = 10.0
"""Longest between two looks at the budget, each of which renews the status file."""
KEPT_WITHIN_S = 2.0
"""How long a new configuration waits for what was reported to be on disk."""


class Agent:
    """One running agent.

    Args:
        settings: what to read and where to keep it.
        mqtt: the broker.
        clock: the time readings are given.
        outside: what it touches of the world: broker, lines, time, chance.
    """

    def __init__(
        self,
        settings: AgentSettings,
        mqtt: MqttSettings,
        clock: AgentClock | None = None,
        outside: Outside = REAL,
    ) -> None:
        self._settings = settings
        self._outside = outside
        self._monotonic = outside.monotonic
        self._mqtt = mqtt
        self._clock = clock if clock is not None else AgentClock()
        self._now_ms = self._clock.now_ms
        self._stack = contextlib.AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._waits = False
        self._proof: Reported | None = None
        self.configuration = SiteWatch(self._files, lambda: load(settings), self._apply, outside.look_s)
        """Watches the site file."""
        self.restarts = 0
        """Parts that failed and were started again."""

    async def __aenter__(self) -> Agent:
        settings = self._settings
        self.configuration.note()
        site, entry = load(settings)
        self._mqtt.password()
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(lock(settings.data_dir))
            self.outbox = await stack.enter_async_context(
                Outbox(settings.data_dir, settings.outbox, self._now_ms, self._clock.stamp, self._outside.new_name)
            )
            self.uplink = Uplink(
                self._mqtt,
                Identity(site.site, entry.id, metadata.version("weizhan"), site.content_hash, settings.heartbeat_s),
                self.outbox,
                settings.resend_s,
                self._take_request,
                self._clock,
                self._outside,
            )
            reserve = settings.outbox.reserve_edges
            self.recorder = Recorder(self.outbox, settings.seal_ms, reserve, self.uplink.wake, self._monotonic)
            self._builder = LineBuilder(settings, self.recorder, self._now_ms, self._clock.stepped_ms, self._outside)
            self._site, self._running = site.site, lines_of(site, entry)
            kept = await self._restore(site, entry)
            self.lines = [self._builder.build(site.site, placed, kept) for placed in self._running.values()]
            for line in self.lines:
                self._start(f"line.{line.id}", line.run)
            self._start("recorder", self.recorder.run)
            self._start("uplink", self.uplink.run)
            self._start("status", self._watch)
            self._start("configuration", self.configuration.run)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        uplink = [task for task in self._tasks if task.get_name() == "uplink"]
        others = [task for task in self._tasks if task.get_name() != "uplink"]
        for tasks in (others, uplink):
            await _end(tasks)
            if tasks is others:
                with contextlib.suppress(TimeoutError, RetryLater):
                    async with asyncio.timeout(STOP_S):
                        await self.recorder.flush()
        self._tasks.clear()
        await self._stack.aclose()

    def _start(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._tasks.append(asyncio.create_task(self._supervise(name, run), name=name))

    async def _supervise(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        pause_s = RESTART_S[0]
        while True:
            began_s = self._monotonic()
            try:
                await run()
            except Exception:  # the supervisor: no fault of one part may end the others
                log.exception("%s failed; starting it again", name)
            self.restarts += 1
            if self._monotonic() - began_s > 60:
                pause_s = RESTART_S[0]
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, RESTART_S[1])

    async def _restore(self, site: Site, entry: AgentEntry) -> Kept:
        """What was last reported before this; points of devices that are no longer ours are forgotten."""
        ours = {placed.entry.id for placed in site.placed() if placed.agent == entry.id}
        ours |= {line_device(line.id) for line in entry.lines}
        points, sensors, strange = {}, {}, []
        for key, value in (await self.outbox.kept()).items():
            point, sensor = key.removeprefix(KEPT), key.removeprefix(foreign.KEPT)
            if key.startswith(KEPT) and point.partition("/")[0] in ours:
                points[point] = msgspec.json.decode(value, type=Reported)
            elif key.startswith(foreign.KEPT) and sensor in ours:
                sensors[sensor] = msgspec.json.decode(value, type=foreign.Kept)
            else:
                strange.append(key)
        if strange:
            await self.outbox.forget(strange)
        return Kept(points, sensors)

    async def _apply(self, read: object) -> None:
        """Go over to another configuration, touching only what it changes. Raises ConfigError."""
        assert isinstance(read, tuple)
        site, entry = read
        if site.site != self._site:
            raise ConfigError(
                f"{self._settings.site_file}: site: got {site.site!r}, want {self._site!r} as this agent runs under. "
                "Restart it to move it to another site."
            )
        after = lines_of(site, entry)
        diff = compare(self._running, after)
        for line_id in diff.start:
            self._builder.build(site.site, after[line_id], Kept())  # made in vain once: what cannot be made is said now
        self.uplink.set_config_hash(site.content_hash)
        if not diff.is_empty:
            await self._touch(site, entry, diff, after)
            log.info("configuration: new site file in force: %s", diff)
        self._running = after

    async def _touch(self, site: Site, entry: AgentEntry, diff: Diff, after: dict[str, list[Placed]]) -> None:
        for line_id in diff.stop:
            tasks = [task for task in self._tasks if task.get_name() == f"line.{line_id}"]
            await _end(tasks)
            self._tasks = [task for task in self._tasks if task not in tasks]
        self.lines = [line for line in self.lines if line.id not in diff.stop]
        for line in self.lines:
            if line.id in diff.change:
                self._builder.change(line, diff.change[line.id])
        for device in diff.gone:
            reading = Reading(f"{device}/{ONLINE}", next_observed_ms(None, self._now_ms()), None, q.unknown("removed"))
            self.recorder.record(Reports([reading], []))
        kept = await self._kept_now(site, entry) if diff.start else Kept()
        for line_id in diff.start:
            line = self._builder.build(site.site, after[line_id], kept)
            self.lines.append(line)
            self._start(f"line.{line.id}", line.run)

    async def _kept_now(self, site: Site, entry: AgentEntry) -> Kept:
        """What has been reported so far, once it is on disk; nothing while the disk takes nothing."""
        until_s = self._monotonic() + KEPT_WITHIN_S
        while self.recorder.alarms_waiting and self._monotonic() < until_s:  # noqa: ASYNC110  # no event; seconds at most
            await asyncio.sleep(0.01)
        try:
            return await self._restore(site, entry)
        except RetryLater as exc:
            log.debug("kept state: %s", exc)
            return Kept()

    def _files(self) -> list[Path]:
        """What the configuration is read from."""
        folders = self._settings.profiles
        return [self._settings.site_file, *sorted(path for folder in folders for path in folder.glob("*.yaml"))]

    def _take_request(self, request: Request) -> None:
        if request.kind == "poll":
            for line in self.lines:
                line.request(request.device)
        elif request.kind == "duty":
            for line in self.lines:
                if isinstance(line, TransmitterLine):
                    line.check_duty(request.device, request.minutes)
        elif request.kind == "prove" and request.token:
            # The way of a device's alarm: its lane, disk, uplink. The quality says that it is none.
            at_ms = next_observed_ms(self._proof, self._now_ms())
            self._proof = Reported(request.token, q.TEST, at_ms)
            point = f"{agent_device(self._settings.agent_id)}/proof"
            self.recorder.record(Reports([Reading(point, at_ms, request.token, q.TEST)], []))

    async def _watch(self) -> None:
        """Keep the budget, the status file and the one log line about alarms nobody has acknowledged."""
        while True:
            try:
                await self._write_status(await self.outbox.keep_budget())
            except RetryLater as exc:
                log.debug("status: %s", exc)
            await asyncio.sleep(min(self._settings.heartbeat_s, STATUS_S))

    async def _write_status(self, fill: Fill) -> None:
        state, held = self.uplink.state(fill, online=self.uplink.is_connected), fill.lanes["alarm"]
        alarm_s = max(0.0, (self._now_ms() - held.oldest_sealed_ms) / 1000) if held.rows else 0.0
        waits = alarm_s > self._settings.unacknowledged_warn_s
        if waits and not self._waits:
            log.warning("alarms not acknowledged for %.0f s: gateway or network away. They are kept.", alarm_s)
        elif self._waits and not waits:
            log.info("alarms acknowledged again")
        self._waits = waits
        status = {
            "written_ms": self._clock.moment().wall_ms,
            "clock_stepped_ms": self._clock.stepped_ms(),
            "connected": self.uplink.is_connected,
            "alarm_unacknowledged_s": round(alarm_s, 1),
            "alarm_waits_too_long": waits,
            "disk_fault": self.recorder.fault,
            "configuration_fault": self.configuration.fault,
            "waiting_in_memory": self.recorder.waiting,
            "damaged_rows": self.outbox.damaged_rows,
            "thinned_readings": self.outbox.thinned,
            "restarts": self.restarts,
            "state": msgspec.to_builtins(state),
            "lines": {line.id: line.status() for line in self.lines},
        }
        with contextlib.suppress(OSError):  # a full disk is reported by the recorder already
            await asyncio.to_thread(
                _replace_file, self._settings.data_dir / "status.json", msgspec.json.format(msgspec.json.encode(status))
            )


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel until all have ended, at most STOP_S.

    Once is not enough: Python 3.11's `wait_for`, which pymodbus connects with, can swallow a cancellation that comes
    in the moment its work ends.
    """
    loop = asyncio.get_running_loop()
    pending, until_s = set(tasks), loop.time() + STOP_S
    while pending and loop.time() < until_s:
        for task in [task for task in tasks if task in pending]:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.5)
    for task in pending:
        log.warning("task %s does not end; left behind", task.get_name())


def load(settings: AgentSettings) -> tuple[Site, AgentEntry]:
    """The site and this agent's part of it. Raises ConfigError."""
    site = load_site(settings.site_file, ProfileLibrary(settings.profiles))
    entry = site.agent(settings.agent_id)
    if entry is None:
        ids = ", ".join(agent.id for agent in site.agents)
        raise ConfigError(
            f"agent.agent_id: got {settings.agent_id!r}, want one of {ids}. Name an agent of {settings.site_file}."
        )
    return site, entry


@contextlib.contextmanager
def lock(data_dir: Path):  # type: ignore[no-untyped-def]  # mypy wants Iterator[None]; contextmanager gives it
    """Hold the data folder. Raises StartError when another agent has it."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        file = (data_dir / "lock").open("a+")
    except OSError as exc:
        raise StartError(f"{data_dir}: {exc.strerror}. Give the agent a folder it may write.") from exc
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise StartError(
                f"{data_dir}: got a folder held by process {holder}, want one of our own. "
                "Stop the other agent or set another data_dir."
            ) from exc
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _replace_file(path: Path, data: bytes) -> None:
    fresh = f"{path}.new"
    with open(fresh, "wb", buffering=0) as file:  # noqa: PTH123  # every few seconds, all day
        file.write(data)
    os.replace(fresh, path)  # noqa: PTH105  # as above


async def run(settings: AgentSettings, mqtt: MqttSettings) -> None:
    """Run an agent until SIGTERM or SIGINT.

    Raises:
        ConfigError: the site file or a setting is wrong.
        StartError: another agent has the folder, or the folder cannot be used.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # pymodbus reports every unanswered request as an error; we count them and say so once.
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    try:
        async with Agent(settings, mqtt) as agent:
            loop.add_signal_handler(signal.SIGHUP, agent.configuration.ask)
            # Lines and points stay for good: collections need not look at them.
            gc.collect()
            gc.freeze()
            await stop.wait()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


__all__ = ["Agent", "WeizhanError", "run"]
