"""The gateway, put together. Read this first: the way of a reading, written once as a list.

1. ingest/subscriber   the broker hands a message over; it is queued, alarms apart from telemetry (bounded)
2. pipeline            takes what waits, alarms first, and opens a turn:
     ingest/door         topic and payload agree, form and size are right - or it is refused and kept aside
     ingest/order        duplicate, next, or hole, by the watermark of its lane
     rules.engine        the readings are judged in order
     alarms/lifecycle    decisions become alarms
   ledger/changes        all of it is written in ONE transaction of the ledger's only writer (ledger/store)
3. after the commit    receipt to the agent (ingest/subscriber), events to the screens (control/feed),
                       answers to commands (control/server), a nudge to the mirror
4. notify/sender       sends what the turn planned (notify/plan) to people, one worker a way and lane
   upward/link         tells monitoring centres, fires first, and answers what they ask
5. history/mirror      drains the ledger's inbox into the history at the history's own pace
6. retention           trims the inbox of what the history has; forgetting erases who left long ago
7. own                 what the gateway knows of itself and of its agents goes the way of every reading
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from contract.errors import RetryLater, WeizhanError
from contract.messages import Receipt
from contract.mqtt import MqttSettings
from gateway.backup.service import BackupService
from gateway.control.client import SOCKET, ControlError
from gateway.control.feed import Feed
from gateway.control.server import ControlServer
from gateway.forgetting import Forgetting
from gateway.history.base import History, Row
from gateway.history.mirror import Mirror
from gateway.history.opening import open_history
from gateway.history.settings import HistorySettings
from gateway.ingest.door import SAMPLE_BYTES, Refusal
from gateway.ingest.subscriber import Subscriber
from gateway.installation import load_installation
from gateway.ledger.mirror_source import InboxSource
from gateway.ledger.personal import Wiping
from gateway.ledger.store import Store
from gateway.notify.check import require
from gateway.notify.receipts import load_key
from gateway.notify.sender import Sender
from gateway.notify.settings import NotifySettings
from gateway.notify.state import NotifyParts
from gateway.notify.ways import Ways
from gateway.own import OwnReadings, read_stopped_s
from gateway.own_facts import Live, OwnFacts
from gateway.pipeline import Pipeline
from gateway.reload import Reloader
from gateway.retention import Retention
from gateway.settings import GatewaySettings
from gateway.sites.changer import SiteChanger
from gateway.tasks import end_task
from gateway.upward.service import Upward, new_upward
from gateway.users import create_first_users, remove_used_file

DAY_MS = 86_400_000
MIRROR = "history"
RESTART_S = (0.5, 30.0)
COLLECT_AFTER = (20_000, 20, 100)
"""Objects made, and collections of each generation, before the next one is collected."""
_log = logging.getLogger(__name__)


def wall_ms() -> int:
    """Wall clock, ms UTC."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Gateway:
    """A running gateway, for whoever wants to look at its parts."""

    pipeline: Pipeline
    subscriber: Subscriber
    mirror: Mirror
    retention: Retention
    sender: Sender
    reloader: Reloader
    upward: Upward
    backups: BackupService
    one_time_passwords: dict[str, str] = field(default_factory=dict)

    def status(self) -> dict[str, Any]:
        """Counters and faults of every part, for `status`."""
        counts = self.mirror.counts
        return {
            **self.pipeline.status(),
            "broker": {"connected": self.subscriber.connected, "connects": self.subscriber.connects},
            "history": {
                "away": self.mirror.away,
                "lag_s": round(self.mirror.lag_s, 1),
                "mirrored_id": self.mirror.mirrored_id,
                "received": counts.received,
                "passed": counts.passed,
                "refused": counts.refused,
                "pending": counts.pending,
                "errors": counts.errors,
            },
            "inbox_trimmed": self.retention.trimmed,
            "notify": self.sender.status(),
            "centres": self.upward.status(),
            **self.reloader.status(),
            **self.backups.status(),
        }


@asynccontextmanager
async def open_gateway(
    settings: GatewaySettings,
    history_settings: HistorySettings,
    mqtt: MqttSettings,
    *,
    notify: NotifySettings | None = None,
    certificates: Sequence[Path] = (),
    config_file: Path | None = None,
    now_ms: Callable[[], int] = wall_ms,
) -> AsyncIterator[Gateway]:
    """A gateway that runs while the context is open.

    Args:
        certificates: PEM files beside the broker's whose end is watched.
        config_file: the configuration file, for backups.

    Raises:
        ConfigError: sites, profiles, rules or secrets are wrong.
        StartError: another gateway holds the folder; the folder or socket cannot be used.
    """
    installation = load_installation(settings)
    mqtt.password()
    notify = notify or NotifySettings()
    require(notify)
    feed = Feed()
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        store = await enter(Store(settings.data_dir))
        passwords = await create_first_users(store, settings.data_dir, now_ms())

        source = await enter(InboxSource(store, MIRROR, _warn_damaged))
        history = open_history(history_settings, settings.data_dir)

        def set_aside(rows: Sequence[Row], why: str) -> None:
            pipeline.set_aside(refused_rows(rows, why, now_ms()))

        mirror = Mirror(source, history, now_ms, keep_days=history_settings.keep_days, refused=set_aside)
        retention = Retention(store, int(settings.inbox_keep_days * DAY_MS), now_ms)

        def tell(site: str, agent: str, receipt: Receipt) -> None:
            subscriber.tell(site, agent, receipt)
            mirror.wake()
            upward.wake()

        parts = NotifyParts(notify, load_key(settings.data_dir), Ways(notify))
        sender = Sender(parts, store, feed.tell, lambda *said: pipeline.note_proof(*said), now_ms)
        live = Live(
            lambda: subscriber.connected,
            lambda: mirror.away,
            lambda: mirror.lag_s,
            lambda: parts.ways.failing if parts.ways.all else None,
            lambda: backups.facts(),
        )
        watched = [path for path in (mqtt.ca_file, *certificates) if path is not None]
        facts = OwnFacts(store.path, watched, live, now_ms)
        stopped_s = await store.run(partial(read_stopped_s, now_ms=now_ms()))
        pipeline = Pipeline(
            store,
            installation,
            settings,
            root=mqtt.root,
            feed=feed,
            receipts=tell,
            requests=lambda *told: subscriber.request(*told),
            now_ms=now_ms,
            notify=parts,
            planned=sender.planned,
            own=OwnReadings(facts.facts, stopped_s),
        )
        subscriber = Subscriber(mqtt, pipeline.offer, now_ms)
        upward = new_upward(settings, store, pipeline, now_ms)
        reloader = Reloader(settings, lambda: pipeline.installation, pipeline.install)
        backups = BackupService(settings, history_settings, pipeline, now_ms, config_file)
        gateway = Gateway(pipeline, subscriber, mirror, retention, sender, reloader, upward, backups, passwords)

        # Stopped in the opposite order: first nothing comes in, then the pipeline commits what it has.
        await enter(_task("history", _supervise("history", lambda: _mirror(history, mirror))))
        await enter(_task("retention", _supervise("retention", retention.run)))
        await enter(_task("passwords", _supervise("passwords", lambda: _watch_passwords(store, settings, now_ms))))
        await enter(_task("wiping", _supervise("wiping", Wiping(store).run)))
        await enter(_task("own facts", _supervise("own facts", facts.run)))
        await enter(sender)
        await enter(pipeline)
        await enter(upward.running(_supervise))
        changer = SiteChanger(settings, pipeline, reloader)
        with contextlib.suppress(ControlError):  # a ledger that cannot be written: the next start says it
            await changer.settle()
        forgetting = Forgetting(store, pipeline.ask, settings.people_keep_days, now_ms)
        await enter(_task("forgetting", _supervise("forgetting", forgetting.run)))
        await enter(_task("backups", _supervise("backups", backups.run)))
        await enter(_task("reload", _supervise("reload", reloader.run)))
        await enter(
            ControlServer(settings.data_dir / SOCKET, pipeline, feed, gateway.status, reloader.reload, changer.apply)
        )
        await enter(subscriber)
        yield gateway


async def run(
    settings: GatewaySettings,
    history: HistorySettings,
    mqtt: MqttSettings,
    notify: NotifySettings | None = None,
    certificates: Sequence[Path] = (),
    config_file: Path | None = None,
) -> None:
    """Run the gateway until SIGTERM or SIGINT; SIGHUP: rules and sites are read again. Raises ConfigError, StartError.

    One-time passwords of a first start are printed to standard output and stand in data_dir/one-time-passwords.txt.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with open_gateway(
            settings, history, mqtt, notify=notify, certificates=certificates, config_file=config_file
        ) as gateway:
            loop.add_signal_handler(signal.SIGHUP, gateway.reloader.ask)
            # Sites, rules and points stay for good; looking at them in every collection would cost a tenth of the work.
            # Nor is it worth a pause of everything, fires too, each few thousand readings: little of what is made is in
            # cycles.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*COLLECT_AFTER)
            await stop.wait()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


async def _mirror(history: History, mirror: Mirror) -> None:
    async with history:
        await mirror.run()


async def _watch_passwords(store: Store, settings: GatewaySettings, now_ms: Callable[[], int]) -> None:
    while True:
        with contextlib.suppress(RetryLater):
            if await remove_used_file(store, settings.data_dir, now_ms()):
                await asyncio.Event().wait()
        await asyncio.sleep(5)


def refused_rows(rows: Sequence[Row], why: str, now_ms: int) -> Refusal:
    """Rows the history will never take, as something for the quarantine; they stay in the inbox as well."""
    sample = b"\n".join(msgspec.json.encode(row) for row in rows[:20])[:SAMPLE_BYTES]
    source = f"history/{rows[0].site}" if rows else "history"
    return Refusal(source, "", "", "", "history", why[:300], len(sample), sample, "", now_ms)


def _warn_damaged(row_id: int) -> None:
    _log.warning("ledger: inbox row %d does not fit its checksum; its readings are left out of the history", row_id)


@asynccontextmanager
async def _task(name: str, work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        await end_task(task)


async def _supervise(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Keep a part beside the alarm path running: what ends is begun again after a growing pause."""
    pause_s, failing = RESTART_S[0], False
    while True:
        started = time.monotonic()
        try:
            await work()
        except WeizhanError as exc:
            text = str(exc)
        except Exception as exc:  # noqa: BLE001 # the supervisor: one part's fault must not stop the gateway
            text = f"{type(exc).__name__}: {exc}"
        else:
            text = "ended"
        if time.monotonic() - started > 60:
            pause_s, failing = RESTART_S[0], False
        if not failing:
            _log.warning("%s stopped: %s; beginning again", name, text)
        failing = True
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, RESTART_S[1])
