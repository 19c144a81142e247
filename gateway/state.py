"""The gateway's working state: what it must know to judge the next message. Rebuilt from the ledger at any time.

It runs ahead of the ledger while a commit is under way. When that commit fails it is thrown away and built again, so
that nothing that was never committed can have an effect.
"""

from __future__ import annotations

import sqlite3
import zlib
from typing import Any, NamedTuple

import msgspec

from contract.messages import AgentState, Batch, Reading, Value
from contract.site import REGISTER_DEVICE
from gateway.alarms.book import Book
from gateway.alarms.holding import held, make_holds
from gateway.control.protocol import AgentView, Snapshot
from gateway.duty.checks import DutyChecks, view
from gateway.duty.freshness import Freshness
from gateway.ingest.clock import SAID, AgentTime, corrected
from gateway.ingest.door import Door
from gateway.installation import Installation
from gateway.ledger.alarm_rows import AlarmRows, load_alarms
from gateway.ledger.changes import ALIVE, LAST_VALUE_INBOX
from gateway.ledger.entries import SavedEntries, load_entries
from gateway.ledger.reader import decode_value
from gateway.ledger.records import ApprovedDevice, UnknownDevice
from gateway.ledger.secret import load_secret
from gateway.notify.names import InstalledNames
from gateway.notify.state import Notification, NotifyParts, SavedNotification, load_notification, no_parts
from gateway.registers import Registers
from gateway.work.dates import Done, load_work, tell_dates
from gateway.work.witness import EngineWitness
from rules.memory import RuleState
from rules.restoring import Tail

_readings = msgspec.json.Decoder(list[Reading])
_json = msgspec.json.Decoder()


class Saved(NamedTuple):
    """The ledger's rows that the working state is built from."""

    watermarks: dict[tuple[str, str, str, str], int]
    agents: list[AgentView]
    rule_states: list[RuleState]
    book: AlarmRows
    unknown: list[UnknownDevice]
    approved: list[ApprovedDevice]
    quarantine: dict[tuple[str, str], int]
    users: dict[str, str]
    areas: dict[str, str]
    """Users of one area of the grid only, and which."""
    disabled: set[str]
    """Users who may not sign in."""
    unused: set[str]
    """Users whose one-time password has let nobody in yet."""
    values: dict[str, tuple[int, int, Value, str]]
    damaged: list[int]
    notification: SavedNotification
    done: Done
    entries: SavedEntries
    secret: bytes
    alive_ms: int
    series: list[tuple[str, Any]]
    tail: list[Tail]


def load(connection: sqlite3.Connection) -> Saved:
    """Read everything, within the caller's transaction."""
    ask = connection.execute
    values, damaged, tail = _load_values(connection)
    return Saved(
        {tuple(row[:4]): row[4] for row in ask("SELECT site, agent, epoch, lane, seq FROM watermark")},
        [
            AgentView(
                site=row[0],
                agent=row[1],
                online=bool(row[2]),
                heard_ms=row[3],
                clock_offset_ms=row[4],
                state=_json.decode(row[5]),
            )
            for row in ask("SELECT site, agent, online, heard_ms, clock_offset_ms, state FROM agent")
        ],
        [
            RuleState(row[0], row[1], row[2], row[3], row[4], _json.decode(row[5]))
            for row in ask("SELECT rule, subject, phase, since_ms, alarm_id, detail FROM rule_state")
        ],
        load_alarms(connection),
        [
            UnknownDevice(*row)
            for row in ask("SELECT site, device, agent, first_ms, last_ms, readings, dropped FROM unknown_device")
        ],
        [
            ApprovedDevice(*row)
            for row in ask(
                "SELECT site, device, agent, profile, title_zh, title_en, approved_ms, approved_by FROM approved_device"
            )
        ],
        {(row[1], row[2]): row[0] for row in ask("SELECT id, source, reason FROM quarantine")},
        dict(ask("SELECT name, role FROM user").fetchall()),
        dict(ask("SELECT name, area FROM user WHERE area <> ''").fetchall()),
        {row[0] for row in ask("SELECT name FROM user WHERE disabled_ms IS NOT NULL")},
        {row[0] for row in ask("SELECT name FROM user WHERE one_time_until_ms > 0 AND one_time_used_ms IS NULL")},
        values,
        damaged,
        load_notification(connection),
        load_work(connection),
        load_entries(connection),
        load_secret(connection),
        last_alive_ms(connection),
        [(point, _json.decode(data)) for point, data in ask("SELECT point, data FROM series")],
        tail,
    )


def last_alive_ms(connection: sqlite3.Connection) -> int:
    """When a gateway is last known to have run on this ledger, ms UTC; 0 when none did."""
    row = connection.execute(
        "SELECT max((SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM meta WHERE key = ?), "
        "coalesce((SELECT at_ms FROM audit ORDER BY id DESC LIMIT 1), 0), "
        "(SELECT coalesce(max(received_ms), 0) FROM inbox))",
        (ALIVE,),
    ).fetchone()
    return int(row[0])


def _load_values(
    connection: sqlite3.Connection,
) -> tuple[dict[str, tuple[int, int, Value, str]], list[int], list[Tail]]:
    """Last values as of the checkpoint; ids of inbox rows since then that are damaged; what the others hold."""
    values: dict[str, tuple[int, int, Value, str]] = {}
    damaged: list[int] = []
    tail: list[Tail] = []
    for point, observed_ms, received_ms, value, quality in connection.execute(
        "SELECT point, observed_ms, received_ms, value, quality FROM last_value"
    ):
        values[point] = (observed_ms, received_ms, decode_value(value), quality)
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (LAST_VALUE_INBOX,)).fetchone()
    for row_id, site, received_ms, readings, crc, correction_ms in connection.execute(
        "SELECT id, site, received_ms, readings, crc, correction_ms FROM inbox WHERE id > ? ORDER BY id",
        (int(row[0]) if row else 0,),
    ):
        if zlib.crc32(readings) != crc:
            damaged.append(row_id)
            continue
        tail.append((site, corrected(_readings.decode(readings), correction_ms), received_ms, 0))
    return values, damaged, tail


class WorkingState:
    """Engine, watermarks, open alarms, agents, strangers."""

    def __init__(
        self, saved: Saved, installation: Installation, root: str, now_ms: int, notify: NotifyParts | None = None
    ) -> None:
        self.installation = installation
        self.watermarks = saved.watermarks
        self.agents = {(agent.site, agent.agent): agent for agent in saved.agents}
        self.book = Book(saved.book, make_holds(saved.book))
        self.unknown = {(device.site, device.device): device for device in saved.unknown}
        self.approved = {(device.site, device.device): device for device in saved.approved}
        self.quarantine = saved.quarantine
        self.next_quarantine = max(saved.quarantine.values(), default=0) + 1
        self.users = saved.users
        self.areas = saved.areas
        self.disabled = saved.disabled
        self.unused = saved.unused
        self.owners = installation.owners(saved.approved)
        self.times: dict[tuple[str, str], AgentTime] = {}
        self.engine = installation.engine(saved.approved)
        self.door = Door(root, lambda site, device: self.owners.get((site, device)), self.engine.points)
        self.engine.restore(
            saved.rule_states,
            ((point, *value) for point, value in saved.values.items()),
            ((agent.site, agent.agent, agent.online, agent.heard_ms) for agent in saved.agents),
            now_ms,
            saved.series,
            saved.tail,
            saved.alive_ms,
        )
        self.done = saved.done
        said = {
            point: (slot.value, slot.observed_ms)
            for point, slot in self.engine.values()
            if slot.received_ms and point.split("/")[1] == REGISTER_DEVICE
        }
        self.registers = Registers(
            saved.entries,
            saved.secret,
            installation,
            said,
            Freshness(self.engine, self.agents),
            EngineWitness(self.engine, self.agents, lambda site, device: self.owners.get((site, device))),
        )
        tell_dates(self.engine, installation, saved.done)
        self.book.tell(self.engine)
        self.registers.restore(self.book.open.values(), saved.alive_ms, now_ms)
        self._names: InstalledNames | None = None
        self.notification = Notification(notify or no_parts(), self.names)
        self.notification.restore(saved.notification, self.book.open.values(), now_ms)

    @property
    def duty(self) -> DutyChecks:
        """Duty checks that are open or were missed lately."""
        return self.registers.checks

    def install(self, installation: Installation) -> None:
        """Another installation is in force; the engine is the caller's."""
        self.installation = installation
        self.owners = installation.owners(self.approved.values())
        self.registers.install(installation)

    def names(self) -> InstalledNames:
        """Names for people of rules, sites and devices."""
        installed, known = self.installation, self._names
        if known is None or not known.are_of(installed.rules, installed.sites, len(self.approved)):
            approved = [(d.site, d.device, d.title_zh, d.title_en) for d in self.approved.values()]
            known = self._names = InstalledNames(installed.rules, installed.sites, approved)
        return known

    def next_due_ms(self) -> int | None:
        """When something next happens by itself; None: nothing is waiting."""
        parts = (self.engine, self.book.holds, self.notification, self.registers)
        times = (part.next_due_ms() for part in parts)
        return min((time for time in times if time is not None), default=None)

    def clock_offset(self, said: Batch | AgentState, received_ms: int) -> int:
        """Note a message's times; gives how far the agent's wall clock is ahead of ours (ms)."""
        return self.time_of(said.site, said.agent).hear(said.boot, said.steady_ms, said.sent_ms, received_ms)

    def time_of(self, site: str, agent: str) -> AgentTime:
        """What is known of the clock of an agent."""
        known = self.times.get((site, agent))
        if known is None:
            view = self.agents.get((site, agent))
            known = self.times[site, agent] = AgentTime(view.state.get(SAID) if view is not None else None)
        return known

    def snapshot(self, now_ms: int) -> Snapshot:
        """Everything current, for a new subscriber."""
        return Snapshot(
            at_ms=now_ms,
            values={
                point: [slot.observed_ms, slot.value, slot.quality]
                for point, slot in self.engine.values()
                if slot.received_ms
            },
            alarms=list(self.book.open.values()),
            agents=list(self.agents.values()),
            unknown_devices=[device._asdict() for device in self.unknown.values()],
            **held(self.book.holds),
            proofs=self.notification.proofs.view(),
            notices=self.notification.parts.ways.view(),
            duty_checks=[msgspec.to_builtins(view(check)) for check in self.duty.shown.values()],
            entries=self.registers.view(),
        )
