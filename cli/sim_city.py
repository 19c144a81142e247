"""`weizhan sim city`: a city's messages through a real broker into a real gateway; its rate, and whether what was
stored is what was sent.

    City ── MQTT, QoS 1 ──> Mosquitto ──> gateway process ──> ledger
      └─ truth: readings and fires of each station ───────────────> compared with the ledger's inbox and alarms
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import aiomqtt
import msgspec
import yaml

from cli.processes import Family
from contract.errors import RetryLater, StartError
from contract.messages import Reading, Receipt
from contract.topics import DEFAULT_ROOT
from gateway.control.client import SOCKET, ControlClient
from gateway.ledger.store import FILE
from simulators.city import AGENT, City, Held, Sent, sum_up, write_sites
from simulators.ports import free_port

CONNECTIONS = 8
READY_S = 240.0
DRAIN_S = 120.0
STEP_S = 0.1
CLOCK_MS = 5000
"""An alarm may stand this far from its fire."""
_readings = msgspec.json.Decoder(list[Reading])
_receipt = msgspec.json.Decoder(Receipt)
Tell = Callable[[str], None]


class Options(NamedTuple):
    """stations: how many; seconds: how long; period_s: a batch of each in so long."""

    stations: int
    seconds: float
    period_s: float
    seed: int
    fires_an_hour: float


class Watch:
    """What was sent and when the gateway said that it has it."""

    def __init__(self) -> None:
        self.sent_s: dict[tuple[str, str, int], float] = {}
        self.lags_s: list[float] = []
        self.told: dict[tuple[str, str], int] = {}

    def sent(self, message: Sent) -> None:
        """A message leaves."""
        if message.seq:
            self.sent_s[message.site, message.lane, message.seq] = time.monotonic()

    def received(self, site: str, receipt: Receipt) -> None:
        """The gateway has committed up to these."""
        now_s = time.monotonic()
        for lane, upto in (("alarm", receipt.alarm), ("telemetry", receipt.telemetry)):
            for seq in range(self.told.get((site, lane), 0) + 1, upto + 1):
                sent_s = self.sent_s.pop((site, lane, seq), None)
                if sent_s is not None:
                    self.lags_s.append(now_s - sent_s)
            self.told[site, lane] = max(upto, self.told.get((site, lane), 0))


async def run_city(options: Options, tell: Tell) -> dict[str, Any]:
    """Run it; gives the figures and the comparison as plain data.

    Raises:
        StartError: there is no Mosquitto, or a part did not come up.
    """
    mosquitto = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if mosquitto is None:
        raise StartError("mosquitto: got none on this machine. A city needs a real broker: install mosquitto.")
    with tempfile.TemporaryDirectory(prefix="weizhan-city-") as name:
        folder, port = Path(name), free_port()
        tell(f"writing {options.stations} site files")
        sites = write_sites(folder, options.stations)
        config = folder / "gateway.yaml"
        gateway = {"sites": [str(path) for path in sites], "data_dir": str(folder / "gateway")}
        content = {"mqtt": {"port": port}, "gateway": gateway, "history": {"kind": "embedded"}}
        config.write_text(yaml.safe_dump(content), "utf-8")
        async with _broker(mosquitto, folder, port), Family(folder / "logs") as family:
            await family.add("gateway", "-m", "cli.main", "gateway", "run", "-c", str(config), keep=False)
            watch = Watch()
            async with _connections(port, watch) as clients:
                tell("waiting for the gateway")
                await _until_up(folder / "gateway", family)
                city = City(
                    options.stations, options.period_s, options.seed, time.time_ns() // 1_000_000,
                    options.fires_an_hour,
                )  # fmt: skip
                tell("every agent says that it is there")
                await _greet(city, clients, watch)
                tell(f"{options.seconds:g} s of {options.stations / options.period_s:g} batches a second")
                return await _load(city, options, clients, watch, folder, tell)


async def _load(
    city: City, options: Options, clients: list[aiomqtt.Client], watch: Watch, folder: Path, tell: Tell
) -> dict[str, Any]:
    begun_s, sent, late_s = time.monotonic(), 0, 0.0
    before = sum(station.readings for station in city.stations.values())
    watch.lags_s.clear()
    told_s = begun_s
    while (now_s := time.monotonic()) - begun_s < options.seconds:
        due = list(city.due(time.time_ns() // 1_000_000))
        await _publish(due, clients, watch)
        sent += len(due)
        late_s = max(late_s, time.monotonic() - now_s)
        if now_s - told_s >= 10:
            told_s = now_s
            tell(f"{now_s - begun_s:.0f} s: {sent} messages, {len(watch.sent_s)} without a receipt")
        await asyncio.sleep(max(0.0, STEP_S - (time.monotonic() - now_s)))
    took_s = time.monotonic() - begun_s
    backlog = len(watch.sent_s)
    await _publish(list(city.quiet(time.time_ns() // 1_000_000)), clients, watch)
    deadline_s = time.monotonic() + DRAIN_S
    while watch.sent_s and time.monotonic() < deadline_s:  # noqa: ASYNC110  # receipts come one by one
        await asyncio.sleep(STEP_S)
    readings = sum(station.readings for station in city.stations.values()) - before
    lags = sorted(watch.lags_s)
    wanted = options.stations / options.period_s
    found = compare(city, folder / "gateway" / FILE)
    return {
        "stations": options.stations,
        "seconds": round(took_s, 1),
        "batches_per_s_stated": round(wanted, 1),
        "messages_per_s": round(sent / took_s, 1),
        "readings_per_s": round(readings / took_s, 1),
        "receipt_s": {"p50": _at(lags, 0.5), "p95": _at(lags, 0.95), "p99": _at(lags, 0.99)},
        "without_receipt_at_the_end": backlog,
        "never_receipted": len(watch.sent_s),
        "slowest_round_s": round(late_s, 3),
        "sustained": not watch.sent_s and backlog <= 3 * wanted,
        **found,
    }


def compare(city: City, ledger: Path) -> dict[str, Any]:
    """What the ledger holds beside what was sent: readings by number and digest, fires one by one."""
    stored: dict[str, Held] = {}
    with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT site, readings FROM inbox WHERE agent = ? AND epoch = 'city'", (AGENT,))
        for site, readings in rows:
            found, old = sum_up(_readings.decode(readings)), stored.get(site, Held(0, 0))
            digest = (old.digest + found.digest) & 0xFFFFFFFFFFFFFFFF
            stored[site] = Held(old.readings + found.readings, digest)
        alarms = connection.execute("SELECT subject, raised_ms FROM alarm WHERE rule = 'panel-fire'").fetchall()
    differ = [name for name, station in city.stations.items() if stored.get(name) != station.held]
    fires = [(f"{name}/{point}", at) for name, station in city.stations.items() for point, at in station.fires]
    missed, made_up = _match(fires, alarms)
    return {
        "readings_sent": sum(station.readings for station in city.stations.values()),
        "readings_stored": sum(held.readings for held in stored.values()),
        "stations_that_differ": len(differ),
        "fires_sent": len(fires),
        "fires_missed": missed,
        "fires_made_up": made_up,
        "equal": not differ and not missed and not made_up,
    }


def _match(fires: list[tuple[str, int]], alarms: list[tuple[str, int]]) -> tuple[int, int]:
    """Fires without their alarm, alarms without their fire. An alarm's time is corrected by the agent's clock offset,
    which has the way of its messages in it."""
    left = sorted(alarms)
    missed = 0
    for subject, at_ms in sorted(fires):
        found = next((a for a in left if a[0] == subject and abs(a[1] - at_ms) <= CLOCK_MS), None)
        if found is None:
            missed += 1
        else:
            left.remove(found)
    return missed, len(left)


async def _until_up(data_dir: Path, family: Family) -> None:
    """The gateway has read its sites and hears the broker. Raises StartError."""
    deadline_s = time.monotonic() + READY_S
    while True:
        with contextlib.suppress(RetryLater):
            async with ControlClient(data_dir / SOCKET) as gateway:
                status = await gateway.ask("status", "local")
                if status["broker"]["connected"]:
                    return
        if family.failed.is_set():
            raise StartError(family.failure)
        if time.monotonic() > deadline_s:
            raise StartError(f"the gateway did not come up in {READY_S:.0f} s.")
        await asyncio.sleep(0.2)


async def _greet(city: City, clients: list[aiomqtt.Client], watch: Watch) -> None:
    """Every agent says that it is there. Raises StartError."""
    await _publish(list(city.hello()), clients, watch)
    deadline_s = time.monotonic() + READY_S
    while watch.sent_s:
        await asyncio.sleep(STEP_S)
        if time.monotonic() > deadline_s:
            raise StartError(f"{len(watch.sent_s)} messages got no receipt in {READY_S:.0f} s.")


async def _publish(messages: Iterable[Sent], clients: list[aiomqtt.Client], watch: Watch) -> None:
    """Each station by one connection, so that its messages stay in order."""
    shares: list[list[Sent]] = [[] for _ in clients]
    for message in messages:
        shares[hash(message.site) % len(clients)].append(message)

    async def send(client: aiomqtt.Client, share: list[Sent]) -> None:
        for message in share:
            watch.sent(message)
            await client.publish(message.topic, message.payload, qos=1, timeout=60)

    await asyncio.gather(*(send(client, share) for client, share in zip(clients, shares, strict=True)))


@contextlib.asynccontextmanager
async def _connections(port: int, watch: Watch) -> AsyncIterator[list[aiomqtt.Client]]:
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(aiomqtt.Client("127.0.0.1", port, identifier=f"city-{n}"))
            for n in range(CONNECTIONS)
        ]
        ear = await stack.enter_async_context(
            aiomqtt.Client("127.0.0.1", port, identifier="city-ear", max_queued_incoming_messages=0)
        )
        await ear.subscribe(f"{DEFAULT_ROOT}/+/+/receipt", qos=0)
        task = asyncio.create_task(_listen(ear, watch), name="receipts")
        try:
            yield clients
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _listen(ear: aiomqtt.Client, watch: Watch) -> None:
    async for message in ear.messages:
        assert isinstance(message.payload, bytes)
        watch.received(message.topic.value.split("/")[-3], _receipt.decode(message.payload))


@contextlib.asynccontextmanager
async def _broker(binary: str, folder: Path, port: int) -> AsyncIterator[None]:
    """A Mosquitto for this run, on loopback only."""
    conf = folder / "mosquitto.conf"
    conf.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n", "utf-8"
    )
    process = await asyncio.create_subprocess_exec(
        binary, "-c", str(conf), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        deadline_s = time.monotonic() + 10
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            except OSError as exc:
                if time.monotonic() > deadline_s:
                    raise StartError("mosquitto did not come up in 10 s.") from exc
                await asyncio.sleep(0.05)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def _at(values: list[float], share: float) -> float | None:
    return round(values[min(len(values) - 1, int(share * len(values)))], 3) if values else None


def tell_stderr(text: str) -> None:
    """One line of progress."""
    sys.stderr.write(f"{text}\n")
