"""The simulators as a process: binds a station, writes its site file, plays a story on request.

Talks in JSON lines: on stdout first `{"ready":true,...}`, then `{"began_ms":...}`, `{"step":...}` and
`{"finished":true}`; takes the words `start` and `stop` on stdin. The end of stdin means stop. What only the parent can
do it is told to do: `{"do":"agent","running":false}`, `{"do":"gateway","running":true}`, `{"do":"ask","op":...}`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.errors import ConfigError
from contract.profile import ProfileLibrary
from simulators.hydraulics.mapping import load_mapping
from simulators.link import Link, LinkMode
from simulators.recorder import Recorder
from simulators.shuiye import plan_shuiye
from simulators.station import Station, StationPlan
from simulators.story import Story
from simulators.timeline import (
    Action,
    AlarmDue,
    Asked,
    PrintEvent,
    SetAgent,
    SetBroken,
    SetGateway,
    SetLine,
    SetLink,
    SetPoint,
    SetSilence,
    StepTold,
    Timeline,
    lay_out,
)
from simulators.town import lay_out_town, paced, plan_town, quickened

Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Settings:
    """out: folder for site file, truth file and terminals. broker_port: broker to put a link before; None: no link."""

    out: Path
    story: Story
    seed: int
    speed: float = 1.0
    broker_port: int | None = None
    loop: bool = False
    network: str = "district"
    """The town's water, where the story is one of the town."""


async def run(settings: Settings, commands: asyncio.Queue[str], tell: Tell) -> None:
    """Run until the command `stop`. Raises StartError or ConfigError before anything is told."""
    settings.out.mkdir(parents=True, exist_ok=True)
    library = ProfileLibrary()
    plan = _plan(settings)
    first = _lay_out(settings, settings.seed, library)
    async with AsyncExitStack() as stack:
        recorder = Recorder(settings.out / "truth.jsonl", _now_ms)
        stack.callback(recorder.close)
        station = await stack.enter_async_context(Station(plan, settings.out, recorder, library))
        link = None
        if settings.broker_port is not None:
            link = await stack.enter_async_context(Link(settings.broker_port))
        if settings.story.station == "town":
            _set_up(station, first)
        site = settings.out.absolute() / "site.yaml"
        station.write_site(site)
        tell(
            {
                "ready": True,
                "site": str(site),
                "broker_port": link.port if link is not None else None,
                "truth": str(recorder.path.absolute()),
                "story_s": round(first.length_s, 3),
            }
        )
        player = Player(station, recorder, link, tell)
        playing: asyncio.Task[None] | None = None
        try:
            while (command := await commands.get()) != "stop":
                if command == "start" and playing is None:
                    playing = asyncio.create_task(_play(player, settings, first, library, tell), name="story")
                    playing.add_done_callback(lambda task: _stop_on_failure(task, commands))
        finally:
            if playing is not None:
                playing.cancel()
                result = (await asyncio.gather(playing, return_exceptions=True))[0]
        if playing is not None and isinstance(result, Exception):
            raise result


class Player:
    """Carries out a timeline at a station."""

    def __init__(self, station: Station, recorder: Recorder, link: Link | None, tell: Tell) -> None:
        self._station = station
        self._recorder = recorder
        self._link = link
        self._tell = tell

    async def play(self, timeline: Timeline) -> None:
        """Do everything at its time; returns at the end of the quiet tail."""
        start = time.monotonic()
        for at_s, action in timeline.actions:
            await _sleep_until(start + at_s)
            self._do(action)
        await _sleep_until(start + timeline.length_s)

    def _do(self, action: Action) -> None:
        station = self._station
        match action:
            case SetPoint(point, value):
                station.set(point, value)
            case SetSilence(device, silent):
                station.set_silence(device, is_silent=silent)
            case SetBroken(point, is_broken):
                station.set_broken(point, is_broken=is_broken)
            case SetLine(line, act):
                station.set_line(line, act)
            case SetLink(mode):
                self._set_link(mode)
            case PrintEvent(device, event, alarms):
                station.panels[device].print_event(event, lambda heard: self._due(alarms if heard else ()))
            case AlarmDue():
                self._due((action,))
            case StepTold(name, text):
                at_ms = self._recorder.record_step(name, text.zh, text.en)
                self._tell({"step": name, "at_ms": at_ms, "zh": text.zh, "en": text.en})
            case SetAgent(agent):
                self._tell({"do": "agent", "running": agent is None or not agent.stopped})
            case SetGateway(is_running):
                self._tell({"do": "gateway", "running": is_running})
            case Asked(ask):
                self._tell({"do": "ask", "op": ask.op, "by": ask.by, "args": ask.args})
            case _:
                raise ConfigError(f"story: {type(action).__name__} is played in fast runs only.")

    def _due(self, alarms: tuple[AlarmDue, ...]) -> None:
        for alarm in alarms:
            if alarm.due:
                self._recorder.open_alarm(
                    alarm.rule,
                    alarm.subject,
                    contact=alarm.contact,
                    after_s=alarm.after_s,
                    poll_s=alarm.poll_s,
                )
            else:
                self._recorder.close_alarm(alarm.rule, alarm.subject)

    def _set_link(self, mode: LinkMode) -> None:
        if self._link is not None:
            self._link.set(mode)


async def _play(player: Player, settings: Settings, first: Timeline, library: ProfileLibrary, tell: Tell) -> None:
    tell({"began_ms": _now_ms()})
    await player.play(first)
    seed = settings.seed
    while settings.loop:
        seed += 1
        await player.play(_lay_out(settings, seed, library))
    tell({"finished": True})


def _plan(settings: Settings) -> StationPlan:
    if settings.story.station != "town":
        return plan_shuiye()
    return quickened(plan_town(load_mapping(settings.network), settings.story), settings.speed)


def _lay_out(settings: Settings, seed: int, library: ProfileLibrary) -> Timeline:
    story, speed = settings.story, settings.speed
    if story.station == "town":
        return paced(lay_out_town(story, load_mapping(settings.network), library, seed=seed), speed)
    link = settings.broker_port is not None
    return lay_out(story, plan_shuiye(), library, seed=seed, speed=speed, link=link)


def _set_up(station: Station, timeline: Timeline) -> None:
    """What holds at second 0 holds before the devices are met."""
    for at_s, action in timeline.actions:
        if at_s > 0:
            return
        if isinstance(action, SetPoint):
            station.set(action.point, action.value)


def _stop_on_failure(task: asyncio.Task[None], commands: asyncio.Queue[str]) -> None:
    """A story that broke ends the process with its error; one that finished leaves the equipment answering."""
    if not task.cancelled() and task.exception() is not None:
        offer(commands, "stop")


async def _sleep_until(monotonic_s: float) -> None:
    pause = monotonic_s - time.monotonic()
    if pause > 0:
        await asyncio.sleep(pause)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def offer(commands: asyncio.Queue[str], word: str) -> None:
    """Queue a word; when the queue is full a `stop` takes the oldest one's place and anything else is dropped."""
    if commands.full():
        if word != "stop":
            return
        commands.get_nowait()
    commands.put_nowait(word)


def read_commands(loop: asyncio.AbstractEventLoop, commands: asyncio.Queue[str]) -> None:
    """Feed words from stdin into the queue, `stop` at its end; SIGTERM and SIGINT stop as well.

    A thread with plain reads: the loop cannot watch a stdin that is a file or /dev/null.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, offer, commands, "stop")

    def read() -> None:
        rest = b""
        while True:
            try:
                data = os.read(sys.__stdin__.fileno() if sys.__stdin__ else 0, 4096)
            except OSError:
                data = b""
            *words, rest = (rest + data).split(b"\n")
            for word in words if data else [*words, rest, b"stop"]:
                try:
                    loop.call_soon_threadsafe(offer, commands, word.strip().decode("ascii", "replace"))
                except RuntimeError:
                    return  # the loop is closed: we are leaving anyway
            if not data:
                return

    threading.Thread(target=read, name="stdin", daemon=True).start()


def tell_stdout(message: dict[str, Any]) -> None:
    """One JSON line, flushed."""
    sys.stdout.write(json.dumps(message, ensure_ascii=False) + "\n")
    sys.stdout.flush()
