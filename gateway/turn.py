"""One turn of the pipeline: what a group of messages does to the working state, what is to be written for it, and
what may be told once that is durable. No I/O.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any

import msgspec

from contract.messages import Batch, Reading, Receipt, Request, encode_readings
from contract.site import GATEWAY_DEVICE, agent_device
from gateway.alarms.book import Moves
from gateway.alarms.coverage import names_behind
from gateway.alarms.holding import Before, Holding
from gateway.alarms.holds import FIRE
from gateway.control.protocol import AgentView, Event
from gateway.ingest.clock import SAID, corrected, doubted
from gateway.ingest.door import Accepted, Arrival, Refusal, Told
from gateway.ingest.order import judge
from gateway.ingest.resent import count_resent, day_of
from gateway.installation import Installation
from gateway.ledger.changes import Changes, encode_value
from gateway.ledger.entries import Pen
from gateway.ledger.records import UnknownDevice
from gateway.notify.proof import PROOF
from gateway.notify.state import NotifyChanges
from gateway.state import WorkingState
from rules.keeping import lost_at
from rules.memory import RuleState, Transition

QUARANTINE_SOURCES = 1000
"""Pairs of source and reason kept apart; further ones are counted together."""
HEARD_AGAIN_MS = 1000
"""Batches are noted as a sign of life once in this long."""
ROUNDS = 16
"""An alarm may make another rule speak, which makes another speak; rules that chase each other go on next turn."""
OWN_AGENT = GATEWAY_DEVICE
"""Who the gateway's own readings are of, in the inbox."""
OWN_EPOCH = "own"


class Turn:
    """Takes messages one after the other; afterwards `changes` is to be committed, then the rest may be told."""

    def __init__(self, state: WorkingState, now_ms: int, *, unknown_readings: int, unknown_devices: int) -> None:
        self.state = state
        self.now_ms = now_ms
        self.until_ms = now_ms
        """Time may pass up to here: what arrived later than this still waits."""
        self.clock_ms = 0
        """How far the clock had been set by then, in all."""
        self.changes = Changes(now_ms)
        self.receipts: dict[tuple[str, str, str], Receipt] = {}
        self.requests: list[tuple[str, str, Request]] = []
        self.holes: set[tuple[str, str, str, str]] = set()
        self.readings: list[tuple[str, list[Reading]]] = []
        self.touched_agents: dict[tuple[str, str], AgentView] = {}
        self.new_devices: dict[tuple[str, str], UnknownDevice] = {}
        self.results: list[tuple[asyncio.Future[Any], Any]] = []
        self.passed = 0
        self.stored = 0
        self.strangers_dropped = 0
        self.dropped: dict[str, int] = {}
        planner = state.notification.planner
        self.moves = Moves(state.book, state.engine, planner, self.changes, now_ms, partial(names_behind, state))
        self.holding = Holding(self.moves)
        self.pen = Pen(self.changes, now_ms)
        self._unknown_readings = unknown_readings
        self._unknown_devices = unknown_devices
        self._refused: dict[tuple[str, str], tuple[int, int, Refusal]] = {}
        self.planned: NotifyChanges | None = None
        self.installation: Installation | None = None
        """What is in force once this is committed; None: what was."""

    def follow_clock(self, before_ms: int, clock_ms: int) -> bool:
        """How far the wall clock had been set, in all, at the last turn, and now; whether it was set in between.

        How long ago who was heard stays what it was.
        """
        self.clock_ms, by_ms = clock_ms, clock_ms - before_ms
        if not by_ms:
            return False
        self.state.engine.stepped(by_ms, self.now_ms)
        for view in list(self.state.agents.values()):
            self._set_agent(msgspec.structs.replace(view, heard_ms=view.heard_ms + by_ms))
        self.changes.add_audit("gateway", "clock.stepped", "gateway", by_ms=by_ms)
        return True

    def begin(self) -> None:
        """End and begin what is held until now. Call once, before all messages and commands."""
        self.holding.advance()
        self.state.registers.checks.advance(self.pen)  # before commands: one answered now may be late

    # --- messages ------------------------------------------------------------------------------------------------

    def take(self, arrival: Arrival) -> None:
        """Judge one message and apply it."""
        judged = self.state.door.admit(arrival)
        if isinstance(judged, Accepted):
            self._take_batch(judged)
        elif isinstance(judged, Told):
            self._take_state(judged)
        else:
            self.refuse(judged)

    def _take_batch(self, accepted: Accepted) -> None:
        batch = accepted.batch
        lane = (batch.site, batch.agent, batch.epoch, batch.lane)
        watermark = self.state.watermarks.get(lane)
        if watermark is None and not any(key[:3] == lane[:3] for key in self.state.watermarks):
            self.changes.add_audit("gateway", "agent.epoch", f"{batch.site}/{batch.agent}", epoch=batch.epoch)
        verdict = judge(batch, watermark or 0)
        receipt = self._receipt(batch.site, batch.agent, batch.epoch)
        if verdict.kind != "take":
            self._drop(verdict.kind)
            if verdict.kind == "hole":
                receipt.rewind = True
                self.holes.add(lane)
            else:
                self._count_again(batch, accepted.received_ms)
            return
        self.passed += 1
        self.state.watermarks[lane] = self.changes.watermarks[lane] = batch.seq
        if batch.lane == "alarm":
            receipt.alarm = batch.seq
        else:
            receipt.telemetry = batch.seq
        for lost in verdict.lost:
            self.changes.lost.append((*lane, lost))
        self._hear(batch, accepted.received_ms)
        self._apply(accepted, self.state.times[batch.site, batch.agent].place(batch, accepted.received_ms))

    def _count_again(self, batch: Batch, received_ms: int) -> None:
        site = self.state.installation.sites.get(batch.site)
        if site is not None:
            day = day_of(received_ms, site.time_zone)
            self.changes.add_resent(count_resent(batch, day, self.state.engine.knows))

    def _apply(self, accepted: Accepted, correction_ms: int) -> None:
        """The inbox gets the agent's times and the correction; everything else the corrected times."""
        batch, raw, received_ms, found = accepted
        if batch.clock_lost and batch.readings:
            batch.readings = doubted(batch.readings)
            raw = encode_readings(batch.readings)
        readings = corrected(batch.readings, correction_ms)
        if self.holding.listens(batch.site):
            for reading, slot in zip(readings, found, strict=True):
                before = None if slot is None else Before(slot.value, slot.quality)
                at_ms = min(reading.observed_ms, received_ms)
                self.holding.hear(batch.site, reading, before, at_ms)
        strangers = self.state.engine.observe(batch.site, readings, received_ms, 0, found)
        if batch.lane == "alarm":
            self._hear_proof(batch, received_ms)
        if strangers:
            known = self.state.engine.knows
            kept = [r for r in batch.readings if known(batch.site, r.point.partition("/")[0])]
            readings, raw = corrected(kept, correction_ms), encode_readings(kept)
            self._keep_strangers(batch, strangers, received_ms)
        if readings:
            lane = (batch.site, batch.agent, batch.epoch, batch.lane)
            self.changes.add_inbox(*lane, batch.seq, received_ms, raw, correction_ms)
            self.stored += len(readings)
            self.readings.append((batch.site, readings))

    def _hear_proof(self, batch: Batch, received_ms: int) -> None:
        """The virtual detector of an agent speaks by the alarm lane, as a device's alarm does."""
        name = f"{agent_device(batch.agent)}/{PROOF}"
        for reading in batch.readings:
            if reading.point == name:
                heard = (str(reading.value), reading.observed_ms, received_ms, self.now_ms)
                self.state.notification.proofs.answered(batch.site, batch.agent, *heard)

    def take_own(self, site: str, agent: str, epoch: str, readings: list[Reading]) -> None:
        """Apply readings the gateway made itself, as a batch numbered here: it is in the ledger exactly once."""
        lane = (site, agent, epoch, "telemetry")
        seq = self.state.watermarks.get(lane, 0) + 1
        self.state.watermarks[lane] = self.changes.watermarks[lane] = seq
        self.state.engine.observe(site, readings, self.now_ms)
        self.changes.add_inbox(*lane, seq, self.now_ms, encode_readings(readings))
        self.stored += len(readings)
        self.readings.append((site, readings))

    def _keep_strangers(self, batch: Batch, strangers: Iterable[Reading], received_ms: int) -> None:
        for reading in strangers:
            device_id = reading.point.partition("/")[0]
            key = (batch.site, device_id)
            device = self.state.unknown.get(key)
            if device is None:
                if len(self.state.unknown) >= self._unknown_devices:
                    self.strangers_dropped += 1
                    continue
                device = UnknownDevice(batch.site, device_id, batch.agent, received_ms, received_ms, 0, 0)
                self.changes.add_audit("gateway", "device.unknown", f"{batch.site}/{device_id}", agent=batch.agent)
            if device.readings < self._unknown_readings:
                device = device._replace(readings=device.readings + 1, last_ms=received_ms)
                self.changes.unknown_readings.append(
                    (
                        batch.site,
                        device_id,
                        reading.point.partition("/")[2],
                        reading.observed_ms,
                        received_ms,
                        encode_value(reading.value),
                        reading.quality,
                    )
                )
            else:
                device = device._replace(dropped=device.dropped + 1, last_ms=received_ms)
            self.state.unknown[key] = self.new_devices[key] = device
            self.changes.unknown_devices[key] = device[2:]

    def refuse(self, refusal: Refusal, *, message: bool = True) -> None:
        """Put a message (or what a later stage refused) into quarantine; its digest may be told once durable."""
        if message:
            self._drop(refusal.reason)
        quarantine = self.state.quarantine
        key = (refusal.source, refusal.reason)
        if key not in quarantine:
            if len(quarantine) >= QUARANTINE_SOURCES:
                refusal = refusal._replace(source="(further sources)")
                key = (refusal.source, refusal.reason)
            if key not in quarantine:
                quarantine[key] = self.state.next_quarantine
                self.state.next_quarantine += 1
                self.changes.add_audit("gateway", "message.refused", key[0], reason=key[1], detail=refusal.detail)
        count = self._refused[key][1] + 1 if key in self._refused else 1
        self._refused[key] = (quarantine[key], count, refusal)
        if refusal.digest:
            epoch = refusal.epoch
            if not epoch and (known := self.state.agents.get((refusal.site, refusal.agent))) is not None:
                epoch = str(known.state.get("epoch", ""))
            receipt = self._receipt(refusal.site, refusal.agent, epoch)
            if refusal.digest not in receipt.refused:
                receipt.refused = [*receipt.refused, refusal.digest]

    # --- agents --------------------------------------------------------------------------------------------------

    def _take_state(self, told: Told) -> None:
        said, key = told.state, (told.state.site, told.state.agent)
        known = self.state.agents.get(key)
        self.passed += 1
        # What the broker kept is noted as said, too: nothing older than it proves life when it comes later.
        again = said.online and self.state.time_of(*key).is_said_before(said.boot, said.steady_ms, said.sent_ms)
        if told.retained and known is not None:
            old = said.sent_ms <= int(known.state.get("sent_ms", -1))
            if old and (said.online == known.online or said.online):
                return  # the broker's memory of what was heard already; it proves no life
        elif again:
            return
        offset_ms = known.clock_offset_ms if known else 0
        if said.online and not told.retained:
            offset_ms = self.state.clock_offset(said, told.received_ms)
        view = AgentView(
            site=key[0],
            agent=key[1],
            online=said.online,
            heard_ms=told.received_ms,
            clock_offset_ms=offset_ms,
            state={**msgspec.to_builtins(said), SAID: self.state.time_of(*key).said},
        )
        if known is None or known.online != said.online or known.state.get("config_hash") != said.config_hash:
            self.changes.add_audit(
                "gateway", "agent.state", f"{key[0]}/{key[1]}", online=said.online, config_hash=said.config_hash
            )
        self._set_agent(view)
        # What the broker kept was true when it was said: it is a sign of life, and says nothing of a backlog now.
        held = None if told.retained else (said.outbox.alarm, said.outbox.telemetry)
        waited_s = said.outbox.unacknowledged_s
        self.state.engine.agent_heard(*key, said.online, told.received_ms, held, waited_s)

    def _hear(self, batch: Batch, received_ms: int) -> None:
        """A batch is a sign of life too, but it never overrules a last will."""
        site, agent = batch.site, batch.agent
        offset_ms = self.state.clock_offset(batch, received_ms)
        known = self.state.agents.get((site, agent))
        if known is None:
            view = AgentView(
                site=site, agent=agent, online=True, heard_ms=received_ms, clock_offset_ms=offset_ms, state={}
            )
            self._set_agent(view)
            self.state.engine.agent_heard(site, agent, True, received_ms, None)
        elif known.online or known.state.get("online"):
            if not known.online:
                self._set_agent(msgspec.structs.replace(known, online=True, heard_ms=received_ms))
            elif received_ms - known.heard_ms < HEARD_AGAIN_MS:
                return
            else:
                # Written down, too: after a crash it must be known when the agent was heard last.
                known.heard_ms = received_ms
                self.changes.agents[site, agent] = known
            self.state.engine.agent_heard(site, agent, True, received_ms, None)

    def _set_agent(self, view: AgentView) -> None:
        key = (view.site, view.agent)
        self.state.agents[key] = self.changes.agents[key] = self.touched_agents[key] = view

    # --- alarms --------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Let time pass up to now and turn the engine's decisions into alarms. Call once, after all messages."""
        engine = self.state.engine
        states: dict[tuple[str, str], RuleState] = {}
        for _ in range(ROUNDS):
            engine.advance(self.until_ms)  # again after each round: alarms may be what other rules look at
            effects = engine.take()
            states.update({(state.rule, state.subject): state for state in effects.states})
            for transition in in_order(effects.transitions):
                self._decide(transition)
            self.holding.finish()
            self._tell_presence(effects.states)
            if not self._keep_registers() and not effects.transitions:
                break
        self._notify()
        self.changes.rule_states = states
        self.changes.refusals = list(self._refused.values())

    def _keep_registers(self) -> bool:
        """Tell the registers what moved and let them speak; whether they said something new, to be judged."""
        moved, self.moves.moved = self.moves.moved, []
        self.state.registers.advance(self.pen, moved)
        news = self.state.registers.news(self.pen)
        for site, readings in news.items():
            self.take_own(site, OWN_AGENT, OWN_EPOCH, readings)
        return bool(news)

    def _tell_presence(self, moved: list[RuleState]) -> None:
        """Tell readiness from where something came, and what may have been lost."""
        readiness = self.state.registers.readiness
        readiness.heard({site for site, _ in self.readings} | {site for site, _ in self.touched_agents})
        for site in {lost for state in moved if (lost := lost_at(state)) is not None}:
            readiness.lost(site)

    def _decide(self, transition: Transition) -> None:
        alarm = self.moves.decide(transition)
        if alarm is not None and transition.event == "raise":
            if alarm.drill is not None:
                self.holding.alarm_spoke(alarm)
            self._lose_agent(transition)

    def _notify(self) -> None:
        """Plan the messages that follow from the alarms and calls of this turn, and from the time."""
        for ask in self.pen.take_calls():
            self.state.notification.planner.take_call(ask, self.now_ms)
        online = (key for key, agent in self.state.agents.items() if agent.online)
        self.planned = self.state.notification.advance(self.now_ms, online)
        self.requests += self.planned.proofs.requests
        if self.planned:
            self.changes.steps.append(self.planned.write)

    def _lose_agent(self, cause: Transition) -> None:
        """A heartbeat that stopped makes the agent's row say so."""
        site, _, agent = cause.subject.partition("/")
        known = self.state.agents.get((site, agent))
        if cause.device is None and known is not None and known.online and "online" in cause.inputs:
            self._set_agent(msgspec.structs.replace(known, online=False))

    # --- telling -------------------------------------------------------------------------------------------------

    def events(self) -> list[Event]:
        """What subscribers are told once it is committed; alarms first."""
        events = [Event(event="alarm", data=alarm) for alarm in self.moves.touched.values()]
        events += self.moves.events
        events += self.pen.events()
        events += [Event(event="agent", data=agent) for agent in self.touched_agents.values()]
        if self.readings:
            # The last of each point counts: it is the one the working state holds.
            last = {f"{site}/{r.point}": r for site, readings in self.readings for r in readings}
            rows = [[point, r.observed_ms, r.value, r.quality] for point, r in last.items()]
            events += [Event(event="reading", data=rows[at : at + 5000]) for at in range(0, len(rows), 5000)]
        if self.planned is not None:
            proofs = self.state.notification.proofs
            events += [Event(event="proof", data=proofs.row(proof)) for proof in self.planned.proofs.proofs]
        if self.installation is not None:
            events.append(Event(event="configuration", data={"configuration": self.installation.hash}))
        for key, device in self.new_devices.items():
            # Approved or forgotten: either way it is unknown no longer.
            data = {**device._asdict(), "approved": key not in self.state.unknown}
            events.append(Event(event="unknown_device", data=data))
        return events

    def _receipt(self, site: str, agent: str, epoch: str) -> Receipt:
        receipt = self.receipts.get((site, agent, epoch))
        if receipt is None:
            receipt = self.receipts[site, agent, epoch] = Receipt(
                epoch=epoch,
                alarm=self.state.watermarks.get((site, agent, epoch, "alarm"), 0),
                telemetry=self.state.watermarks.get((site, agent, epoch, "telemetry"), 0),
            )
        return receipt

    def _drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1


def in_order(transitions: list[Transition]) -> list[Transition]:
    """Fires first, so that they have the lower numbers and are sent first; then by time, and always the same way."""
    first: dict[tuple[str, str], int] = {}
    for each in transitions:
        first.setdefault((each.rule, each.subject), each.event_ms)

    def place(each: Transition) -> tuple[bool, int, str, str]:
        return each.severity != FIRE, first[each.rule, each.subject], each.rule, each.subject

    return sorted(transitions, key=place)
