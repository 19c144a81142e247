"""A city of transmitters: many connections, many events, and how long a fire takes to the screen and to the centre.

    simulated transmitters ──> agent ──> Mosquitto ──> gateway ──> control socket (what a screen is fed from)
                                                           └─────> simulated centre

Agent, broker and gateway are processes of their own. What was sent is counted from the transmitters' side, what
arrived from the gateway's ledger; memory is resident memory of the agent, by psutil.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import yaml

from bench.memory import MIB, free_port, mosquitto_command, run_process, weizhan
from contract.panel import decode_event
from gateway.control.client import SOCKET, ControlClient
from gateway.ledger.reader import LedgerReader
from gateway.ledger.records import InboxRow
from gateway.ledger.store import FILE
from gateway.web.ledger import WebLedger
from simulators.gb26875 import frames as g
from simulators.gb26875.centre import SimulatedCentre
from simulators.gb26875.transmitter import SimulatedTransmitter

FIRE, FAULT, NORMAL = 0x0003, 0x0005, 0x0001
READY_S = 180.0
DRAINED_S = 600.0
"""Longest wait for the gateway to work off what was sent."""
FIRE_NUMBER = 0x0000F1E0
ADDRESS = "a10000000001"


class Load(NamedTuple):
    """What is asked of the machine.

    events_s, seconds: the flood, every event raises or clears an alarm. calm_s: events a second of an ordinary day,
    during which the fires are timed. backlog: objects that wait in the gateway for a centre that was away and comes
    back, with `loss` on the way.
    """

    transmitters: int = 1000
    events_s: float = 2000.0
    seconds: float = 30.0
    calm_s: float = 20.0
    fires: int = 100
    backlog: int = 100_000
    loss: float = 0.1


async def measure(load: Load, folder: Path, tell: Callable[[str], None]) -> dict[str, Any]:
    """Run it and count. Raises StartError when Mosquitto is missing, TimeoutError when a part does not come up."""
    ports = {name: free_port() for name in ("broker", "uitd", "centre")}
    write_files(folder, ports, load)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(run_process(mosquitto_command(folder, ports["broker"]), folder / "mosquitto.log"))
        gateway = stack.enter_context(weizhan("gateway", folder))
        agent = stack.enter_context(weizhan("edge", folder))
        centre = await stack.enter_async_context(SimulatedCentre(port=ports["centre"], transport="udp"))
        screen = await stack.enter_async_context(Screen(folder / "gateway" / SOCKET))
        ledger = WebLedger(folder / "gateway" / FILE)
        stack.callback(ledger.close)
        tell("connecting")
        city = [
            await stack.enter_async_context(
                SimulatedTransmitter(number.to_bytes(6, "little"), "127.0.0.1", ports["uitd"], seed=number)
            )
            for number in range(1, load.transmitters + 1)
        ]
        await until(lambda: all(one.counts.connects for one in city), READY_S)
        await all_online(ledger, load.transmitters)
        tell("fires on an ordinary day")
        found: dict[str, Any] = {"transmitters": load.transmitters, "calm_events_per_s": load.calm_s}
        fires, _ = await play(city, load.calm_s, load.seconds, load.fires, agent.pid)
        found |= await timed(fires, screen, centre)
        tell("the flood")
        found |= await flood(city, ledger, load, (agent.pid, gateway.pid), tell)
        found |= {key: sum(getattr(one.counts, key) for one in city) for key in ("connects", "resent")}
        if load.backlog:
            tell("backlog for the centre, with losses")
            found["backlog"] = await with_backlog(centre, city, ledger, load, tell)
        return found


async def timed(fires: dict[str, float], screen: Screen, centre: SimulatedCentre) -> dict[str, Any]:
    """How long each fire took, once all have come or half a minute is over."""
    with contextlib.suppress(TimeoutError):
        await until(lambda: len(delays_to(centre, fires)) == len(fires), 30)
    to_screen = [screen.seen[key] - at for key, at in fires.items() if key in screen.seen]
    to_centre = delays_to(centre, fires)
    return {
        "fires": len(fires),
        "fire_to_screen_s": spread(to_screen),
        "fires_not_on_screen": len(fires) - len(to_screen),
        "fire_to_centre_s": spread(to_centre),
        "fires_not_at_centre": len(fires) - len(to_centre),
    }


async def flood(
    city: list[SimulatedTransmitter],
    ledger: LedgerReader,
    load: Load,
    pids: tuple[int, int],
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Events at the rate asked for, counted at both ends; processor time of agent, gateway and this process beside it,
    for figures that a busy machine does not spoil."""
    calm, used = sum(one.counts.sent for one in city), cpu_s(*pids)
    _, resident = await play(city, load.events_s, load.seconds, 0, pids[0], first=calm)
    sent = sum(one.counts.sent for one in city)
    tell(f"{sent} events confirmed; waiting for the gateway")
    begun = time.monotonic()
    arrived = await drained(ledger, sent)
    each_us = [round((now - before) * 1e6 / (sent - calm)) for now, before in zip(cpu_s(*pids), used, strict=True)]
    return {
        "flood_events_per_s": round((sent - calm) / load.seconds),
        "flood_asked_per_s": load.events_s,
        "gateway_behind_s": round(time.monotonic() - begun, 1),
        "cpu_us_per_event": dict(zip(("agent", "gateway", "bench"), each_us, strict=True)),
        "lost": sent - len(arrived),
        "duplicated": sum(arrived.values()) - len(arrived),
        "agent_resident_mib": round(max(resident) / MIB, 1),
    }


def cpu_s(*pids: int) -> list[float]:
    """Processor time of these processes so far, and of this one; seconds."""
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return [*(each.user + each.system for each in times), time.process_time()]


class Screen:
    """Stands for a screen: follows the gateway's events and notes when it heard of each fire."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._task: asyncio.Task[None] | None = None
        self.seen: dict[str, float] = {}
        """Point -> when its fire was told, seconds of the monotonic clock."""

    async def __aenter__(self) -> Screen:
        await until(self._socket.exists, READY_S)
        ready = asyncio.Event()
        self._task = asyncio.create_task(self._follow(ready), name="screen")
        async with asyncio.timeout(READY_S):
            await ready.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _follow(self, ready: asyncio.Event) -> None:
        async with ControlClient(self._socket, timeout_s=READY_S) as client:
            async for event in client.subscribe():
                ready.set()
                if event.event == "alarm" and event.data["severity"] == "fire":
                    self.seen.setdefault(event.data["subject"], time.monotonic())


async def play(
    city: list[SimulatedTransmitter], events_s: float, seconds: float, most: int, agent_pid: int, first: int = 0
) -> tuple[dict[str, float], list[int]]:
    """Events at the asked rate, fires among them; gives when each fire was sent, and memory of the agent, bytes."""
    process, chance = psutil.Process(agent_pid), random.Random(1)
    fires: dict[str, float] = {}
    resident: list[int] = []
    work: set[asyncio.Task[int]] = set()
    free = list(range(len(city)))
    begun, told, burnt = time.monotonic(), first, 0
    while (elapsed := time.monotonic() - begun) < seconds:
        while told - first < elapsed * events_s and free:
            told += 1
            at = free.pop(chance.randrange(len(free)))
            one = city[at]
            is_fire = burnt < most * elapsed / seconds
            number = FIRE_NUMBER + burnt if is_fire else chance.randrange(1, 9)
            if is_fire:
                fires[f"bench/uitd-{at + 1}/c1001p{number:08x}"] = time.monotonic()
                burnt += 1
            # One of a kind: each event has a component's state that its last event did not have.
            task = asyncio.create_task(tell_one(one, number, is_fire, told))
            work.add(task)
            task.add_done_callback(partial(_ended, work, free, at))
        resident.append(process.memory_info().rss)
        await asyncio.sleep(0.02)
    if work:
        await asyncio.wait(work, timeout=60)
    resident.append(process.memory_info().rss)
    return fires, resident


def _ended(work: set[asyncio.Task[int]], free: list[int], at: int, task: asyncio.Task[int]) -> None:
    work.discard(task)
    free.append(at)


async def tell_one(one: SimulatedTransmitter, number: int, is_fire: bool, told: int) -> int:
    """One event. Its text carries a number of its own, so that it can be counted at the other end."""
    state = one.states.get(bytes((1, 1)) + number.to_bytes(4, "little"), b"")
    was_fault = state[9:11] == FAULT.to_bytes(2, "little")
    status = FIRE if is_fire else NORMAL if was_fault else FAULT
    return await one.tell(g.component_status(1, 1, 42, number, status, f"#{told}", one.at_ms()))


async def drained(ledger: LedgerReader, wanted: int) -> Counter[str]:
    """Numbers of the events in the ledger, once all are there or nothing more comes."""
    found: Counter[str] = Counter()
    after, quiet_s = 0, time.monotonic()
    while len(found) < wanted and time.monotonic() - quiet_s < 15.0:
        rows = await asyncio.to_thread(_rows, ledger, after)
        if rows:
            after, quiet_s = rows[-1].id, time.monotonic()
        for row in rows:
            for reading in row.readings:
                if reading.point.endswith("/event"):
                    text = decode_event(str(reading.value)).text
                    if text.startswith("#"):
                        found[text] += 1
        if not rows:
            await asyncio.sleep(0.1)
    return found


def _rows(ledger: LedgerReader, after: int) -> list[InboxRow]:
    return list(ledger.inbox(after, 2000))


def delays_to(centre: SimulatedCentre, fires: dict[str, float]) -> list[float]:
    """Seconds from a transmitter's fire to the centre, by component address."""
    offset = time.time() - time.monotonic()
    sent = {int(point.rpartition("p")[2], 16): at + offset for point, at in fires.items()}
    came: dict[int, float] = {}
    for taken in centre.taken:
        unit = taken.plain.unit
        if unit[:2] == b"\x02\x01" and unit[9] & 2:
            came.setdefault(int.from_bytes(unit[5:9], "little"), taken.at_ms / 1000)
    return [came[number] - at for number, at in sent.items() if number in came]


async def all_online(ledger: LedgerReader, wanted: int) -> None:
    """Wait until the gateway has heard that every transmitter is there: what an ordinary day begins with."""
    heard, after = set[str](), 0
    async with asyncio.timeout(READY_S):
        while len(heard) < wanted:
            rows = await asyncio.to_thread(_rows, ledger, after)
            after = rows[-1].id if rows else after
            readings = (reading for row in rows for reading in row.readings)
            heard |= {r.point for r in readings if r.value is True and r.point.startswith("uitd-")}
            await asyncio.sleep(0.1)


async def with_backlog(
    centre: SimulatedCentre,
    city: list[SimulatedTransmitter],
    ledger: WebLedger,
    load: Load,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """A centre that was away comes back over a lossy way: how long fires take while the backlog goes up.

    The backlog is what the gateway holds for the centre: so many objects stand in its outbox when the first fire is
    told, and none of them is still on its way there.
    """
    await waiting_upward(ledger, lambda objects: objects == 0)
    centre.deaf, centre.loses = True, load.loss
    begun = time.monotonic()
    for at in range(0, load.backlog, len(city)):
        await asyncio.gather(*[tell_one(one, 1 + at % 8, False, 10**6 + at + n) for n, one in enumerate(city)])
    tell(f"{load.backlog} events in {time.monotonic() - begun:.0f} s while the centre was deaf")
    held = await waiting_upward(ledger, lambda objects: objects >= load.backlog)
    tell(f"{held} objects wait for the centre")
    centre.taken.clear()
    centre.deaf = False
    fires: dict[str, float] = {}
    for n in range(50):
        number = FIRE_NUMBER + 0x1000 + n
        fires[f"bench/uitd-{n + 1}/c1001p{number:08x}"] = time.monotonic()
        await tell_one(city[n], number, True, 2 * 10**6 + n)
        await asyncio.sleep(0.2)
    with contextlib.suppress(TimeoutError):
        await until(lambda: len(delays_to(centre, fires)) == len(fires), 30)
    left = await waiting_upward(ledger, lambda _: True)
    delays = delays_to(centre, fires)
    return {
        "held": held, "held_after_the_fires": left, "loss": load.loss, "fires": len(fires),
        "fire_to_centre_s": spread(delays), "fires_not_at_centre": len(fires) - len(delays),
    }  # fmt: skip


async def waiting_upward(ledger: WebLedger, enough: Callable[[int], bool]) -> int:
    """Wait until so many objects wait for the centre; gives their number."""
    async with asyncio.timeout(DRAINED_S):
        while True:
            held = sum(row.objects for row in (await asyncio.to_thread(ledger.waiting_upward)).values())
            if enough(held):
                return held
            await asyncio.sleep(0.2)


def spread(values: list[float]) -> dict[str, float] | None:
    """Median, 99th percentile and largest, seconds."""
    if not values:
        return None
    ordered = sorted(values)
    at = min(len(ordered) - 1, int(len(ordered) * 0.99))
    return {"p50": round(ordered[len(ordered) // 2], 3), "p99": round(ordered[at], 3), "max": round(ordered[-1], 3)}


async def until(true: Callable[[], Any], within_s: float) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(within_s):
        while not true():  # noqa: ASYNC110  # what other processes do is looked at again
            await asyncio.sleep(0.02)


def write_files(folder: Path, ports: dict[str, int], load: Load) -> None:
    """Site and settings of agent and gateway."""
    devices = [
        {"id": f"uitd-{n}", "profile": "panel-gb26875", "address": n.to_bytes(6, "little").hex()}
        for n in range(1, load.transmitters + 1)
    ]
    line = {"id": "uitd", "kind": "gb26875", "port": ports["uitd"], "devices": devices}
    agents = [{"id": "edge-1", "lines": [line]}]
    site = {"site": "bench", "title": {"zh": "基准站", "en": "Benchmark"}, "agents": agents}
    (folder / "site.yaml").write_text(yaml.safe_dump(site, allow_unicode=True), "utf-8")
    mqtt = {"host": "127.0.0.1", "port": ports["broker"]}
    agent = {"site_file": "site.yaml", "agent_id": "edge-1", "data_dir": str(folder / "agent")}
    (folder / "edge.yaml").write_text(yaml.safe_dump({"mqtt": mqtt, "agent": agent}), "utf-8")
    centre = {"id": "city", "site": "bench", "host": "127.0.0.1", "port": ports["centre"], "transport": "udp",
              "address": ADDRESS}  # fmt: skip
    gateway = {"sites": ["site.yaml"], "data_dir": str(folder / "gateway"), "centres": [centre]}
    (folder / "gateway.yaml").write_text(yaml.safe_dump({"mqtt": mqtt, "gateway": gateway}), "utf-8")


def table(found: dict[str, Any]) -> str:
    """The figures for people."""
    return json.dumps(found, indent=2)
