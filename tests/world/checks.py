"""The fourteen invariants, checked against lists that are kept outside the product.

    sealed    what an agent made durable, as read from its file after each piece of work that was told
    durable   what the gateway's disk would still hold after a power cut now
    acked     what an agent was told is safe
    truth     what the equipment did (field.py)
    taken     what people were sent (sinks.py)

A run ends at its first broken invariant, with the moment and the reason.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from contract.messages import LANES, Reading, decode_receipt
from gateway.alarms.lifecycle import ACTIVE
from tests.world.ledger_checks import FIRE_RULE, SITE, check_chain
from tests.world.limits import broken_limit
from tests.world.plan import FIRE_POINTS
from tests.world.told import Told

if TYPE_CHECKING:
    from tests.world.nodes import AgentProcess, Process
    from tests.world.world import World

FIRE_LIMIT_S = 2.0
"""A fire may wait so long behind anything else (I12)."""
SILENCE_S = 100.0
"""What cannot be reached is shown so after this long (I7)."""
PATH_S = 90.0
"""An agent that cannot be heard is shown so after this long (I7)."""
LOST_RULE = "agent-lost"
_readings = msgspec.json.Decoder(list[Reading])
Name = tuple[str, str, str, int]
"""(agent, epoch, lane, seq): a sealed batch."""


class Broken(AssertionError):
    """An invariant does not hold. `invariant`: I1 to I14, `calm` for a state that is wrong when all works."""

    def __init__(self, invariant: str, at_s: float, why: str) -> None:
        super().__init__(f"{invariant} at {at_s:.3f} s: {why}")
        self.invariant = invariant
        self.at_s = at_s


class Sealed(NamedTuple):
    """A batch on an agent's disk. gaps: readings that were given up and are counted in it."""

    readings: int
    crc: int
    at_us: int
    has_fire: bool


class Checks:
    """What is known of a run, and what must hold of it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.broken: Broken | None = None
        self.sealed: dict[Name, Sealed] = {}
        self._newest: dict[tuple[str, str, str], int] = {}
        self._fresh: dict[str, list[Name]] = {}
        """Agent -> batches whose writing nobody was told of yet."""
        self.acked: dict[tuple[str, str, str], int] = {}
        self.stored: dict[Name, int] = {}
        """Batch -> its row in the inbox."""
        self._row = 0
        self.durable: dict[tuple[str, str, str], int] = {}
        self._points: dict[tuple[str, str], int] = {}
        self.commands: list[tuple[str, int]] = []
        self.troubles = 0
        """How many troubles are on the way of a fire now."""
        self._good_since_us = 0
        self._way_good_since_us = 0
        self._loss = 0
        """Number of the newest alarm about a lost agent."""
        self._fires: dict[Name, int] = {}
        """Batches with a fire that are not in the ledger, and since when they are sealed."""
        self._silent_since_us: dict[str, int] = {}
        self._cut_since_us: dict[str, int] = {}
        self._restarted: set[str] = set()
        self.looks = Counter[str]()
        self.told = Told(world, self)

    # --- what is told of the run -------------------------------------------------------------------------------------

    def watch(self, process: Process) -> None:
        """Follow what a process writes."""
        name = process.name
        if name == "gateway":
            process.disk.each = self._gateway_wrote
            process.killed = lambda _: self._gateway_died()
        else:
            process.disk.each = lambda durable, name=name: self._agent_wrote(name)  # type: ignore[misc]
            process.disk.settled = lambda name=name: self._fresh.pop(name, None)  # type: ignore[misc]
            process.killed = lambda process: self._agent_died(process.name)

    def passed(self, what: str, process: str, topic: str, payload: bytes) -> None:
        """Something passed between the parts."""
        if what == "sent" and topic.endswith("/receipt"):
            self._receipt_leaves(topic.split("/")[-2], payload)
        elif what == "got" and topic.endswith("/receipt") and process != "gateway":
            receipt = decode_receipt(payload)
            for lane, seq in zip(LANES, (receipt.alarm, receipt.telemetry), strict=True):
                key = (process, receipt.epoch, lane)
                self.acked[key] = max(self.acked.get(key, 0), seq)
        elif what in ("start", "killed", "ended"):
            self.disturbed()

    def did(self, op: str, alarm: int) -> None:
        """A person was told that what they did is done."""
        self.commands.append((op, alarm))

    def disturbed(self) -> None:
        """The way of a fire is, or was until now, not in order."""
        self._good_since_us = self._way_good_since_us = self._world.timeline.now_us
        self.told.disturbed()

    def clock_set(self) -> None:
        """A wall clock was set: a fire may take its time, and still nobody is lost."""
        self._good_since_us = self._world.timeline.now_us

    def fail(self, invariant: str, why: str) -> None:
        """Note the first broken invariant."""
        if self.broken is None:
            self.broken = Broken(invariant, self._world.now_s, why)
            self._world.story(str(self.broken))

    def raise_broken(self) -> None:
        """Raises Broken when anything was."""
        if self.broken is not None:
            raise self.broken

    # --- agents ------------------------------------------------------------------------------------------------------

    def _agent_wrote(self, name: str) -> None:
        """Read what is new in an agent's file: the outside list of what it made durable (I1, I8, I11)."""
        connection = self._world.agents[name].connection()
        if connection is None:
            return
        meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
        epoch = meta.get("epoch", "")
        if name in self._restarted:
            self._restarted.discard(name)
            self._check_found(name, epoch, meta, connection)
        for lane in LANES:
            key = (name, epoch, lane)
            newest, seen = int(meta.get(f"seq.{lane}", 0)), self._newest.get(key, 0)
            if newest <= seen:
                continue
            rows = connection.execute(
                "SELECT seq, readings, body FROM batch WHERE lane = ? AND seq > ?", (lane, seen)
            ).fetchall()
            for seq, readings, body in rows:
                batch = (name, epoch, lane, seq)
                has_fire = b'"fire"' in body
                self.sealed[batch] = Sealed(readings, zlib.crc32(body), self._world.timeline.now_us, has_fire)
                self._fresh.setdefault(name, []).append(batch)
                if has_fire:
                    self._fires[batch] = self._world.timeline.now_us
            self._newest[key] = newest

    def _agent_died(self, name: str) -> None:
        """What nobody was told of may be there or not: it is looked at again."""
        for batch in self._fresh.pop(name, []):
            self.sealed.pop(batch, None)
            self._fires.pop(batch, None)
            key = batch[:3]
            self._newest[key] = min(self._newest[key], batch[3] - 1)
        self._restarted.add(name)

    def _check_found(self, name: str, epoch: str, meta: dict[str, str], connection: sqlite3.Connection) -> None:
        """After a restart everything that was told to be durable is there, or was acknowledged."""
        for lane in LANES:
            key = (name, epoch, lane)
            want, have = self._newest.get(key, 0), int(meta.get(f"seq.{lane}", 0))
            if have < want:
                self.fail("I11", f"{name} {lane}: wrote up to batch {want}, its file has {have} after a power cut")
            first = connection.execute("SELECT min(first_seq) FROM batch WHERE lane = ?", (lane,)).fetchone()[0]
            if first is None:
                first = have + 1
            if first > self.acked.get(key, 0) + 1 and first > 1:
                self.fail(
                    "I1", f"{name} {lane}: holds from batch {first} on, was acknowledged {self.acked.get(key, 0)}"
                )
        if epoch and not any(key[0] == name and key[1] == epoch for key in self._newest) and self._newest:
            before = [key for key in self._newest if key[0] == name]
            if before:
                self.fail("I1", f"{name}: began a new epoch after a restart; what it held is gone")

    # --- gateway -----------------------------------------------------------------------------------------------------

    def _gateway_wrote(self, durable: bool) -> None:
        """Read what is new in the ledger (I2, I3), and what would survive a power cut."""
        connection = self._world.gateway.connection()
        if connection is None:
            return
        if durable:
            self.durable = {
                row[:3]: row[3]
                for row in connection.execute("SELECT agent, epoch, lane, seq FROM watermark WHERE agent <> 'gateway'")
            }
        self._read_inbox(connection)

    def _read_inbox(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute(
            "SELECT id, agent, epoch, lane, seq, readings FROM inbox WHERE id > ? AND agent <> 'gateway' ORDER BY id",
            (self._row,),
        ).fetchall()
        for row_id, agent, epoch, lane, seq, readings in rows:
            self._row = row_id
            batch = (agent, epoch, lane, seq)
            if batch in self.stored:
                self.fail("I2", f"{agent} {lane} {seq}: stored twice, rows {self.stored[batch]} and {row_id}")
            self.stored[batch] = row_id
            last = self._points.get((f"{agent}/{epoch}", lane), 0)
            if seq <= last:
                self.fail("I3", f"{agent} {lane}: batch {seq} stands behind {last}")
            self._points[f"{agent}/{epoch}", lane] = max(seq, last)
            known = self.sealed.get(batch)
            if known is None:
                self.fail("I1", f"{agent} {lane} {seq}: is in the ledger, and was never sealed")
            elif known.crc != zlib.crc32(readings) and known.readings != len(_readings.decode(readings)):
                self.fail("I1", f"{agent} {lane} {seq}: is in the ledger with other readings than were sealed")
            sealed_us = self._fires.pop(batch, None)
            if sealed_us is not None:
                self._check_fire(batch, sealed_us)

    def _check_fire(self, batch: Name, sealed_us: int) -> None:
        self.looks["fires"] += 1
        waited_s = (self._world.timeline.now_us - max(sealed_us, self._path_good_us())) / 1e6
        if waited_s > FIRE_LIMIT_S:
            self.fail("I12", f"{batch[0]}: a fire waited {waited_s:.1f} s though its way was in order")

    def _path_good_us(self) -> int:
        """Since when a fire may be expected to go through at once: after a trouble an agent asks every `resend_s`."""
        processes = self._world.processes.values()
        if self.troubles or any(process.fuse or not process.is_up for process in processes):
            return self._world.timeline.now_us
        return self._good_since_us + round((self._world.plan.limits.resend_s + 12.0) * 1e6)

    def _gateway_died(self) -> None:
        """Read the ledger as it is found: what was told to be in it must be there (I1, I11)."""
        found = self._world.gateway.disk.path
        connection = sqlite3.connect(found)
        try:
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
            marks: dict[tuple[str, str, str], int] = {}
            if "watermark" in tables:
                rows = connection.execute("SELECT agent, epoch, lane, seq FROM watermark WHERE agent <> 'gateway'")
                marks = {row[:3]: row[3] for row in rows}
            for key, seq in self.acked.items():
                if marks.get(key, 0) < seq:
                    self.fail("I1", f"{key[0]} {key[2]}: acknowledged up to {seq}, the ledger has {marks.get(key, 0)}")
            self.told.forget()
            self.stored.clear()
            self._points.clear()
            self._row = 0
            if "inbox" in tables:
                self._read_inbox(connection)
                check_chain(self, connection)
        finally:
            connection.close()

    def _receipt_leaves(self, agent: str, payload: bytes) -> None:
        receipt = decode_receipt(payload)
        self.looks["receipts"] += 1
        for lane, seq in zip(LANES, (receipt.alarm, receipt.telemetry), strict=True):
            held = self.durable.get((agent, receipt.epoch, lane), 0)
            if seq > held:
                self.fail("I11", f"{agent} {lane}: told {seq} is safe, a power cut now would leave {held}")

    # --- now and then ------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """What must hold at any moment."""
        world = self._world
        self.looks["looks"] += 1
        self._look_silence()
        self._look_losses()
        self._look_limits()
        self.told.look(world.gateway.connection() if world.gateway.is_up else None)
        now_us = world.timeline.now_us
        for batch, sealed_us in self._fires.items():
            waited_s = (now_us - max(sealed_us, self._path_good_us())) / 1e6
            if waited_s > FIRE_LIMIT_S and world.agents[batch[0]].is_up:
                self.fail("I12", f"{batch[0]}: a fire waits for {waited_s:.1f} s though its way is in order")

    def _look_silence(self) -> None:
        """I7: what cannot be reached must not look well."""
        world, gateway, now_us = self._world, self._world.gateway, self._world.timeline.now_us
        for line in world.lines.values():
            for unit in line.units.values():
                if line.weather.unplugged or unit.name in line.weather.silent:
                    self._silent_since_us.setdefault(unit.name, now_us)
                else:
                    self._silent_since_us.pop(unit.name, None)
        for name, agent in world.agents.items():
            # Cut off itself the gateway says so of itself, and blames nobody else.
            blind = world.broker.weather_of("gateway").cut or not world.broker.up
            if (world.broker.weather_of(name).cut or not agent.is_up) and not blind:
                self._cut_since_us.setdefault(name, now_us)
            else:
                self._cut_since_us.pop(name, None)
        if not self._can_see(now_us):
            return
        assert gateway.pipeline is not None
        state = gateway.pipeline.working
        for name, since_us in self._cut_since_us.items():
            view = state.agents.get((SITE, name))
            if view is not None and view.online and now_us - since_us > PATH_S * 1e6:
                self.fail("I7", f"{name} was cut off for {(now_us - since_us) / 1e6:.0f} s and is shown as there")
        for device, since_us in self._silent_since_us.items():
            owner = "edge2" if device in ("hydrant-03", "bay-01") else "edge1"
            if now_us - since_us < SILENCE_S * 1e6 or now_us - self._good_since_us < SILENCE_S * 1e6:
                continue
            if owner in self._cut_since_us or self.troubles:
                continue  # it is the agent, or the gateway itself, that cannot be heard
            for name in world.equipment[device].values:
                slot = state.engine.value(f"{SITE}/{device}/{name}")
                if slot is not None and slot.received_ms and slot.quality == "good":
                    self.fail("I7", f"{device}/{name} is shown as {slot.value!r}, nothing was heard of it for so long")
            self.looks["silent"] += 1

    def _look_losses(self) -> None:
        """I7, the other way round: nobody is said to be lost whose word could come all the time, whatever clocks do."""
        pipeline, now_us = self._world.gateway.pipeline, self._world.timeline.now_us
        if not self._world.gateway.is_up or pipeline is None or pipeline._state is None:
            return
        lost = [alarm for alarm in pipeline.working.book.open.values() if alarm.rule == LOST_RULE]
        fresh = [alarm for alarm in lost if alarm.id > self._loss]
        self._loss = max([self._loss, *(alarm.id for alarm in fresh)])
        if self.troubles or now_us - self._way_good_since_us < PATH_S * 1e6:
            return
        for alarm in fresh:
            self.fail("I7", f"alarm {alarm.id}: {alarm.subject} is said to be lost, and nothing kept it from speaking")

    def _can_see(self, now_us: int) -> bool:
        """Whether the gateway has run undisturbed for long enough to know."""
        gateway = self._world.gateway
        pipeline = gateway.pipeline
        if not gateway.is_up or pipeline is None or pipeline._state is None or gateway.disk.fault is not None:
            self._gateway_since_us = now_us
            return False
        if gateway.loop is not self._gateway_loop:
            self._gateway_loop, self._gateway_since_us = gateway.loop, now_us
        return now_us - self._gateway_since_us > PATH_S * 1e6

    _gateway_loop: Any = None
    _gateway_since_us = 0

    def _look_limits(self) -> None:
        """I9: everything that has a bound keeps it. Then the page reads what it was sent."""
        if self.looks["looks"] % 3 == 1 and (why := broken_limit(self._world)) is not None:
            self.fail("I9", why)
        gateway = self._world.gateway
        screen = gateway.screen
        if screen.had_secret:
            self.fail("I14", "the broker's password was sent to a page")
        screen.read()
        if screen.cut:
            gateway.follow()

    # --- in the calm -------------------------------------------------------------------------------------------------

    def all_right(self) -> None:
        """Everything worked for CALM_S: nothing waits any more, and what is shown is true. Raises Broken."""
        world = self._world
        for process in world.processes.values():
            if not process.is_up:
                self.fail("I13", f"{process.name} does not run ({process.ended_by})")
            if process.faults or (process.loop is not None and process.loop.faults):
                self.fail("I13", f"{process.name}: {process.faults or process.loop.faults}")  # type: ignore[union-attr]
        self.raise_broken()
        pipeline = world.gateway.pipeline
        assert pipeline is not None
        status = pipeline.status()
        if status["ledger_fault"] is not None or status["pending"] > 8:
            self.fail("I13", f"the gateway still has {status}")
        state = pipeline.working
        for name, agent in world.agents.items():
            self._check_agent_right(agent)
            if not state.agents[SITE, name].online:
                self.fail("I13", f"{name} is shown as away")
        values = {point: slot for point, slot in state.engine.values() if slot.received_ms}
        for device in world.equipment.values():
            for name, value in device.values.items():
                slot = values.get(f"{SITE}/{device.name}/{name}")
                settled_us = device.edges[name][-1][0]
                if world.timeline.now_us - settled_us < 15e6:
                    continue
                shown = None if slot is None else slot.value
                close = isinstance(shown, float) and isinstance(value, float) and abs(shown - value) < 20
                if slot is None or slot.quality != "good" or not (shown == value or close):
                    quality = None if slot is None else slot.quality
                    self.fail("calm", f"{device.name}/{name} is {value!r}, shown {shown!r} ({quality})")
        burning = {
            f"{SITE}/panel-01/{point}"
            for point in FIRE_POINTS
            if world.equipment["panel-01"].values[point] == "fire"
            and world.timeline.now_us - world.equipment["panel-01"].edges[point][-1][0] > 15e6
        }
        cold = {
            f"{SITE}/panel-01/{point}"
            for point in FIRE_POINTS
            if world.equipment["panel-01"].values[point] == "normal"
            and world.timeline.now_us - world.equipment["panel-01"].edges[point][-1][0] > 15e6
        }
        active = {a.subject for a in state.book.open.values() if a.rule == FIRE_RULE and a.state in ACTIVE}
        if burning - active or active & cold:
            self.fail("calm", f"burning {sorted(burning)}, shown {sorted(active)}")
        self.raise_broken()

    def _check_agent_right(self, agent: AgentProcess) -> None:
        connection = agent.connection()
        assert connection is not None
        for lane in LANES:
            rows = connection.execute("SELECT count(*) FROM batch WHERE lane = ?", (lane,)).fetchone()[0]
            if rows > 4:
                self.fail("I13", f"{agent.name}: {rows} batches of the {lane} lane still wait")
