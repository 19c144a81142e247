"""Faults put into the product on purpose: each must be noticed, and by the invariant that names it.

Each is a small patch of one function while a world runs, with the shortest story that shows it; the same story without
the patch must end well. A harness that misses one of them proves nothing about the product.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import msgspec

import edge_agents.outbox_file
import gateway.control.feed
import gateway.ledger.store
import gateway.notify.plan
import gateway.turn
from contract.mqtt import MqttSettings
from edge_agents.agent import Agent
from edge_agents.bus.line import ModbusLine
from edge_agents.outbox import Outbox
from edge_agents.outbox_file import OutboxFile
from edge_agents.outbox_row import Fill
from edge_agents.reporting import DeviceReport, Observation, Reports
from edge_agents.uplink import Uplink
from edge_agents.window import SendWindow
from gateway.clock_steps import ClockSteps
from gateway.ingest.order import Verdict
from gateway.ledger import audit
from gateway.ledger.changes import Changes
from gateway.notify import outbox as notices
from gateway.notify.texts import Writer
from gateway.pipeline import Pipeline
from rules.model import Rule
from tests.world import world as worlds
from tests.world.plan import HYDRANTS, Happening, Limits, Plan
from tests.world.station import CANARY

Patch = Callable[[], contextlib.AbstractContextManager[Any]]
SMALL = Limits(outbox_bytes=56 * 1024, batch_bytes=1024, seal_ms=250, resend_s=0.2, drift_s=6.0, is_small=True)


class Bug(NamedTuple):
    """A fault. caught_by: invariants that may notice it first."""

    name: str
    what: str
    caught_by: tuple[str, ...]
    plan: Plan
    patch: Patch


def _plan(hours: float, *happenings: Happening, limits: Limits | None = None) -> Plan:
    clocks = {"edge1": (0.0, 1.0), "edge2": (0.0, 1.0), "gateway": (0.0, 1.0)}
    return Plan(1, hours, limits or Limits(), clocks, happenings)


def _at(at_s: float, kind: str, **args: Any) -> Happening:
    return Happening(at_s, kind, args)


FIRE = _at(40.0, "fire", point="p001", for_s=600.0)
QUIET = _plan(0.03, FIRE)
POWER = _plan(
    0.04, FIRE, _at(70.0, "crash", process="edge1", effect=3, power=True, down_s=2.0),
    _at(75.0, "crash", process="gateway", effect=3, power=True, down_s=2.0),
)  # fmt: skip
REPLAYED = _plan(0.09, FIRE, _at(300.0, "replay", share=0.5))
SET_BACK = _plan(
    0.05, _at(60.0, "clock", process="edge1", jump_s=-3600.0), _at(120.0, "fire", point="p002", for_s=600.0)
)
SILENT = _plan(0.09, FIRE, _at(90.0, "silent", device="panel-01", for_s=240.0))
SILENT_SHORT = _plan(0.06, FIRE, _at(90.0, "silent", device="panel-01", for_s=90.0))
HUNG = _plan(
    0.06, _at(35.0, "sink", way="wang/app", how="hangs", share=1.0, for_s=60.0), FIRE,
    _at(60.0, "crash", process="gateway", effect=1, power=False, down_s=2.0),
)  # fmt: skip
AWAY = _plan(
    0.05, _at(30.0, "crash", process="gateway", effect=1, power=False, down_s=60.0), FIRE,
)  # fmt: skip
AWAY_LONG = _plan(
    0.4, _at(30.0, "crash", process="gateway", effect=1, power=False, down_s=1200.0), FIRE,
    limits=Limits(batch_bytes=120, resend_s=200.0, seal_ms=250),
)  # fmt: skip
NOISE = _plan(0.2, _at(30.0, "noise", line="rs2", share=0.5, leak=0.1, for_s=600.0))
CUT = _plan(0.8, _at(30.0, "cut", process="edge1", ways="both", for_s=2700.0), limits=SMALL)
SET_FORWARD = _plan(
    0.05,
    _at(60.0, "clock", process="gateway", jump_s=-5.0),
    FIRE,
    _at(131.0, "clock", process="gateway", jump_s=3600.0),
)
SET_BACK_AND_CUT = _plan(
    0.07, FIRE, _at(100.0, "clock", process="gateway", jump_s=-3600.0),
    _at(105.0, "cut", process="edge1", ways="both", for_s=120.0),
)  # fmt: skip
BACKLOG = _plan(
    0.69, _at(30.0, "cut", process="edge1", ways="both", for_s=2400.0),
    *(_at(at_s, "pressure", device=device, for_s=1.0, kpa=250.0 + at_s * 7 % 90)
      for at_s in range(32, 2400, 5) for device in HYDRANTS[:2]),
    _at(2443.0, "fire", point="p001", for_s=600.0), limits=Limits(batch_bytes=120, resend_s=0.2, seal_ms=250),
)  # fmt: skip
RESET = _plan(0.04, _at(50.0, "reset", process="edge1", times=1), FIRE)


def _with(target: Any, name: str, make: Callable[[Any], Any]) -> Patch:
    """A patch that replaces a function by what `make` makes of it."""

    @contextlib.contextmanager
    def patch() -> Iterator[None]:
        with mock.patch.object(target, name, make(getattr(target, name))):
            yield

    return patch


def _ledger_normal(real: Any) -> Any:
    def open_ledger(path: Any) -> Any:
        connection = real(path)
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    return open_ledger


def _outbox_normal(real: Any) -> Any:
    def open_file(self: OutboxFile) -> None:
        real(self)
        self.db.execute("PRAGMA synchronous=NORMAL")

    return open_file


def _receipt_first(real: Any) -> Any:
    async def commit(self: Pipeline, turn: Any, asks: Any) -> None:
        for key, receipt in turn.receipts.items():
            self._receipts(key[0], key[1], receipt)
        await asyncio.sleep(0.05)
        await real(self, turn, asks)

    return commit


def _window_dedupe(real: Any) -> Any:
    newest: dict[tuple[str, str, str], int] = {}

    def judge(batch: Any, watermark: int) -> Verdict:
        key = (batch.agent, batch.epoch, batch.lane)
        newest[key] = max(newest.get(key, 0), batch.sent_ms)
        if batch.sent_ms < newest[key] - 60_000:
            return Verdict("take")
        found: Verdict = real(batch, watermark)
        return found

    return judge


def _wall_durations(real: Any) -> Any:
    def init(self: Agent, settings: Any, mqtt: Any, clock: Any, outside: Any) -> None:
        real(self, settings, mqtt, clock, outside._replace(monotonic=lambda: clock.moment().wall_ms / 1000))

    return init


def _no_step(real: Any) -> Any:
    del real
    return lambda self: 0


def _no_watermark(real: Any) -> Any:
    def write(self: Changes, connection: Any) -> None:
        self.watermarks.clear()
        real(self, connection)

    return write


def _no_wake(real: Any) -> Any:
    def wake(self: Uplink, lane: Any) -> None:
        if lane != "alarm":
            real(self, lane)

    return wake


def _alarm_behind(real: Any) -> Any:
    async def send(self: Uplink, client: Any, lane: Any, row: Any, oldest: int) -> None:
        while lane == "alarm" and self._windows["telemetry"].acknowledged < (self._outbox.newest("telemetry") or 0):
            await asyncio.sleep(0.05)
        await real(self, client, lane, row, oldest)

    return send


def _unknown_ok(real: Any) -> Any:
    del real

    def everything(self: DeviceReport, online: Any, _q: str, quality: str, now_ms: int) -> Reports:
        del online, quality
        readings = Reports([], [])
        for index, last in enumerate(self._last[:-1]):
            self._judge(Observation(index, last.value if last else None, "good"), now_ms, readings)
        return readings

    return everything


def _grace(real: Any) -> Any:
    del real

    def nothing(self: DeviceReport, now_ms: int) -> Reports:
        del self, now_ms
        return Reports([], [])

    return nothing


@contextlib.contextmanager
def _endless_grace() -> Iterator[None]:
    with _with(DeviceReport, "missed", _grace)(), _with(DeviceReport, "overdue", _grace)():
        yield


@contextlib.contextmanager
def _clear_on_missing() -> Iterator[None]:
    """The fire rule takes a value that is missing for one that is well."""
    before = dict(worlds._installed)
    worlds._installed.clear()
    real = worlds.load_installation

    def load(*args: Any) -> Any:
        installation = real(*args)
        rule: Rule = installation.rules["panel-fire"]
        rules = {**installation.rules, rule.id: rule.model_copy(update={"on_missing": "clear"})}
        return type(installation)(
            installation.sites, rules, installation.library, installation.grid, installation.response
        )

    try:
        with mock.patch.object(worlds, "load_installation", load):
            yield
    finally:
        worlds._installed.clear()
        worlds._installed.update(before)


def _forgets_sending(real: Any) -> Any:
    del real
    return lambda connection: None


def _never_next(real: Any) -> Any:
    return lambda chain, row: real(chain, row) + (10**12 if row.step else 0)


def _with_secret(real: Any) -> Any:
    def one(self: Writer, *facts: Any) -> Any:
        found = real(self, *facts)
        return found._replace(text_en=f"{found.text_en} {CANARY}")

    return one


def _event_with_secret(real: Any) -> Any:
    return lambda event: real(event) + CANARY.encode()


def _delete_when_sent(real: Any) -> Any:
    async def send(self: Uplink, client: Any, lane: Any, row: Any, oldest: int) -> None:
        await real(self, client, lane, row, oldest)
        await self._outbox.acknowledge(lane, row.seq)
        self._windows[lane].receipt(row.seq, self._monotonic())

    return send


def _no_confirm(real: Any) -> Any:
    del real

    async def confirm(self: Any, port: Any, job: Any, first: Any, edges: Any) -> Any:
        del self, port, job, edges
        return first, False

    return confirm


def _miscount(real: Any) -> Any:
    def merge(gaps: Any) -> Any:
        return [msgspec.structs.replace(gap, readings=max(0, gap.readings - 1)) for gap in real(gaps)]

    return merge


def _no_budget(real: Any) -> Any:
    del real

    async def keep(self: Outbox) -> Fill:
        return await self.fill()

    return keep


def _loose_chain(real: Any) -> Any:
    def link(row_id: int, *rest: Any) -> Any:
        return real(row_id, *rest[:-1], rest[-1] if row_id % 5 else audit.ROOT)

    return link


@contextlib.contextmanager
def _unchained() -> Iterator[None]:
    """Rows are written with a hash that leaves the one before out; the checker is the real one."""
    real, append = audit.link, audit.append

    def written(connection: Any, entries: Any) -> Any:
        with mock.patch.object(audit, "link", _loose_chain(real)):
            return append(connection, entries)

    with mock.patch.object(audit, "append", written):
        yield


def _talkative(real: Any) -> Any:
    def password(self: MqttSettings) -> Any:
        found = real(self)
        logging.getLogger("gateway").info("signing in with %s", found)
        return found

    return password


def _gives_up(real: Any) -> Any:
    del real

    async def run(self: Uplink) -> None:
        with contextlib.suppress(Exception):
            await self._connection()
        await asyncio.Event().wait()

    return run


def _new_epoch_each_start(real: Any) -> Any:
    def open_file(self: OutboxFile) -> None:
        real(self)
        self.epoch = self._new_epoch()

    return open_file


BUGS = (
    Bug("ledger-normal", "the ledger commits with NORMAL instead of FULL", ("I11",), QUIET,
        _with(gateway.ledger.store, "open_ledger", _ledger_normal)),
    Bug("outbox-normal", "the outbox commits with NORMAL instead of FULL", ("I11",), POWER,
        _with(OutboxFile, "open", _outbox_normal)),
    Bug("receipt-first", "the receipt leaves before the commit", ("I11",), QUIET,
        _with(Pipeline, "_commit", _receipt_first)),
    Bug("window-dedupe", "a duplicate is one only within 60 s", ("I2", "I3"), REPLAYED,
        _with(gateway.turn, "judge", _window_dedupe)),
    Bug("wall-durations", "durations by the wall clock, which is set back", ("calm", "I7", "I12"), SET_BACK,
        _with(Agent, "__init__", _wall_durations)),
    Bug("clock-set-forward", "a silence is counted by the gateway's wall clock, which is set forward", ("I7",),
        SET_FORWARD, _with(ClockSteps, "take", _no_step)),
    Bug("clock-set-back", "a silence is counted by the gateway's wall clock, which is set back", ("I7",),
        SET_BACK_AND_CUT, _with(ClockSteps, "take", _no_step)),
    Bug("no-watermark", "the watermark is kept in memory only", ("I11", "I2"), QUIET,
        _with(Changes, "write", _no_watermark)),
    Bug("alarm-unwoken", "the alarm lane waits until something else wakes it", ("I12",), QUIET,
        _with(Uplink, "wake", _no_wake)),
    Bug("alarm-behind", "alarms are sent behind all telemetry that waits", ("I12",), BACKLOG,
        _with(Uplink, "_send", _alarm_behind)),
    Bug("unknown-ok", "a silent device keeps its values, as good ones", ("I7",), SILENT,
        _with(DeviceReport, "_all", _unknown_ok)),
    Bug("endless-grace", "a silent device is given another chance, every time", ("I7",), SILENT, _endless_grace),
    Bug("clear-on-missing", "a fire is over when its point cannot be read", ("I4", "I6"), SILENT_SHORT,
        _clear_on_missing),
    Bug("notice-lost", "a message that was under way in a crash is forgotten", ("I5",), HUNG,
        _with(notices, "recover", _forgets_sending)),
    Bug("no-escalation", "whoever comes next on the chain is never told", ("I5",), SILENT,
        _with(gateway.notify.plan, "_step_ms", _never_next)),
    Bug("told-secret", "a message to people carries the broker's password", ("I14",), QUIET,
        _with(Writer, "one", _with_secret)),
    Bug("shown-secret", "an event of the pages' feed carries the broker's password", ("I14",), QUIET,
        _with(gateway.control.feed, "encode_event", _event_with_secret)),
    Bug("endless-window", "an agent sends on however much is unacknowledged", ("I9",), AWAY_LONG,
        _with(SendWindow, "room", lambda _: property(lambda self: 32))),
    Bug("delete-when-sent", "the outbox deletes what the broker has taken", ("I1", "I12"), AWAY,
        _with(Uplink, "_send", _delete_when_sent)),
    Bug("no-confirm", "an alarm edge needs no second read", ("I4", "I6"), NOISE,
        _with(ModbusLine, "_confirm", _no_confirm)),
    Bug("gap-miscount", "what was given up is counted one short", ("I8",), CUT,
        _with(edge_agents.outbox_file, "merge_gaps", _miscount)),
    Bug("no-budget", "the outbox grows without end", ("I9",), CUT, _with(Outbox, "keep_budget", _no_budget)),
    Bug("loose-chain", "every fifth audit row does not hold the one before", ("I10",), QUIET, _unchained),
    Bug("talkative", "the broker's password is logged", ("I14",), QUIET, _with(MqttSettings, "password", _talkative)),
    Bug("gives-up", "an agent that lost its connection waits for somebody", ("I13", "I12"), RESET,
        _with(Uplink, "run", _gives_up)),
    Bug("fresh-epoch", "an agent begins a new life of its outbox at each start", ("I1",), POWER,
        _with(OutboxFile, "open", _new_epoch_each_start)),
)  # fmt: skip
