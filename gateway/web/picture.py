"""The live picture: everything current as the gateway committed it, and whether the gateway still answers.

Kept from the control socket's snapshot and events. While the gateway is away the last picture stays, and `connected`
says that nothing in it may be taken for the state of now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from contract.messages import Value
from gateway.control.protocol import AgentView, AlarmView, Event, Snapshot
from gateway.web.alarm_cards import WAITING, silent
from gateway.web.duty import DutyScreen
from gateway.web.kept_rows import KeptRows
from gateway.web.printed import MOST, Told, place_told
from gateway.web.standing import EVENTS, Standing

FAILURES = 2
"""Messages in a row that did not go out, after which a way counts as failing, as the gateway counts."""


class Current(msgspec.Struct, frozen=True, gc=False):
    """Last value of a point. observed_ms: when it was measured, UTC."""

    observed_ms: int
    value: Value
    quality: str


Sink = Callable[[str, Any], None]


class Picture:
    """What is current. `sink(event name, data)` is told of each change, in commit order."""

    def __init__(self, now_ms: Callable[[], int], sink: Sink) -> None:
        self._now_ms = now_ms
        self._sink = sink
        self.values: dict[str, Current] = {}
        self.names: dict[str, dict[str, None]] = {}
        """site/device -> names of its points that reported, in the order of their first report."""
        self.versions: dict[str, int] = {}
        """site/device -> number of its last reading, the newest last: rows made of them are kept until it moves."""
        self.readings = 0
        self.rows = KeptRows()
        self.version = 0
        """Counts everything that was applied, readings too."""
        self.alarms: dict[int, AlarmView] = {}
        self.agents: dict[tuple[str, str], AgentView] = {}
        self.unknown_devices: dict[tuple[str, str], dict[str, Any]] = {}
        self.told: dict[str, Told] = {}
        """site/device/address -> the place a panel told of it; kept, because its next line replaces the last."""
        self.standing = Standing()
        self.duty = DutyScreen()
        self.entries: dict[str, dict[int, dict[str, Any]]] = {}
        """Open rows of the registers, by kind and number."""
        self.entry_changes: Counter[str] = Counter()
        """How often a row of a kind changed since the picture came whole (`snapshots`)."""
        self.proofs: list[dict[str, Any]] = []
        """Rows of the proof of path, as the gateway tells them."""
        self.notices: dict[str, Any] = {}
        """Summary of the notifications."""
        self.centres: dict[str, dict[str, Any]] = {}
        """How the way to each monitoring centre goes, from the gateway's latest `status`."""
        self.backup: dict[str, Any] = {}
        """The backup that is being made and how far it is, from the same."""
        self.configuration_fault: str | None = None
        """Why the newest configuration files are not in force, from the same; None while they are."""
        self.snapshots = 0
        """How often the whole picture came: once a connection."""
        self.changes = now_ms()
        """Counts what was applied beside readings, from a number no earlier process has reached: a page draws itself
        anew when it missed one."""
        self.connected = False
        self.since_ms = now_ms()
        """When `connected` took its present value."""

    def apply(self, event: Event) -> None:
        """Take one event in and pass it on. Raises msgspec.ValidationError for one that does not fit the protocol."""
        self.version += 1
        if event.event not in ("reading", "agent"):
            self.changes += 1
        if event.event == "snapshot":
            self._replace(msgspec.convert(event.data, Snapshot))
        elif event.event == "reading":
            self._readings(event.data)
        elif event.event == "alarm":
            alarm = msgspec.convert(event.data, AlarmView)
            if alarm.state == "normal":
                self.alarms.pop(alarm.id, None)
            else:
                self.alarms[alarm.id] = alarm
            self._sink("alarm", alarm)
        elif event.event in EVENTS:
            self.standing.apply(event.event, event.data)
            self._sink("standing", None)
        elif event.event == "duty":
            self._sink("duty", self.duty.apply(event.data))
        elif event.event == "entry":
            self._entry(event.data)
        elif event.event == "proof":
            self._proof(dict(event.data))
        elif event.event == "notice":
            self._notice(dict(event.data))
        elif event.event == "configuration":
            self._sink("configuration", None)
        elif event.event == "agent":
            agent = msgspec.convert(event.data, AgentView)
            before = self.agents.get((agent.site, agent.agent))
            self.agents[agent.site, agent.agent] = agent
            # Heartbeats are no news to a screen; a change of state is.
            if before is None or before.online != agent.online:
                self._sink("agent", agent)
        else:
            row = dict(event.data)
            key = str(row.get("site")), str(row.get("device"))
            if row.get("approved"):
                self.unknown_devices.pop(key, None)
            else:
                self.unknown_devices[key] = row
            self._sink("unknown_device", row)

    def lose(self) -> None:
        """The gateway does not answer: what stands here is from before."""
        if self.connected:
            self.connected, self.since_ms = False, self._now_ms()
            self._sink("gateway", None)

    def waiting_fires(self, sites: frozenset[str] | None = None) -> list[int]:
        """Ids of the fires that nobody has acknowledged, whether they still hold or not: the siren sounds for them.

        sites: of these only.
        """
        return [
            alarm.id
            for alarm in self.alarms.values()
            if alarm.severity == "fire"
            and alarm.state in WAITING
            and not silent("fire", alarm.hold)
            and (sites is None or alarm.site in sites)
        ]

    def waiting_faults(self, sites: frozenset[str] | None = None) -> tuple[int, int]:
        """How many critical alarms and how many warnings speak and nobody has acknowledged. sites: of these only."""
        found = [
            alarm.severity
            for alarm in self.alarms.values()
            if alarm.severity in ("critical", "warning")
            and alarm.state in WAITING
            and alarm.hold is None
            and not alarm.retrospective
            and (sites is None or alarm.site in sites)
        ]
        return found.count("critical"), found.count("warning")

    def waiting_duty(self, sites: frozenset[str] | None = None) -> list[tuple[int, int]]:
        """(id, until_ms) of the duty checks that nobody has answered: screens sound for them. sites: of these only."""
        waiting = self.duty.waiting(self._now_ms())
        return [(check.id, check.until_ms) for check in waiting if sites is None or check.site in sites]

    def _replace(self, snapshot: Snapshot) -> None:
        self.values = {point: Current(*row[:3]) for point, row in snapshot.values.items()}
        self.names = {}
        self.rows.clear()
        for point, current in self.values.items():
            self._note(point)
            self._remember_place(point, current)
        self.alarms = {alarm.id: alarm for alarm in snapshot.alarms if alarm.state != "normal"}
        self.agents = {(agent.site, agent.agent): agent for agent in snapshot.agents}
        self.unknown_devices = {(str(r.get("site")), str(r.get("device"))): r for r in snapshot.unknown_devices}
        self.snapshots += 1
        self.standing.replace(snapshot)
        self.duty.replace(snapshot.duty_checks)
        self.entries = {kind: {int(row["id"]): row for row in rows} for kind, rows in snapshot.entries.items()}
        self.proofs, self.notices = list(snapshot.proofs), dict(snapshot.notices)
        self.connected, self.since_ms = True, self._now_ms()
        self._sink("gateway", None)

    def _entry(self, data: dict[str, Any]) -> None:
        """A row of a register as it is now; one that is over leaves."""
        kind, row = str(data["kind"]), data["row"]
        rows = self.entries.setdefault(kind, {})
        self.entry_changes[kind] += 1
        if data["open"]:
            rows[int(row["id"])] = row
        else:
            rows.pop(int(row["id"]), None)
        self._sink("entry", {"kind": kind, "id": row["id"], "site": row["site"]})

    def _proof(self, data: dict[str, Any]) -> None:
        """A row replaces the one of the same target; a test for the duty screens goes on to these."""
        if "target" not in data:
            self._sink("path", {"token": data.get("token"), "sound": bool(data.get("sound"))})
            return
        self.proofs = [old for old in self.proofs if old.get("target") != data["target"]] + [data]
        self._sink("proof", None)

    def _notice(self, data: dict[str, Any]) -> None:
        """How a message went tells how its way does: it fails once two in a row did not go out."""
        for way in self.notices.get("ways", []):
            if (way.get("person"), way.get("channel")) != (data.get("person"), data.get("channel")):
                continue
            if data.get("state") == "sent":
                way |= {"state": "ok", "last_sent_ms": data.get("at_ms"), "error": None, "tries": 0}
            elif data.get("state") == "failing":
                way["tries"] = tries = way.get("tries", 0) + 1
                way |= {"error": data.get("error"), "state": "failing" if tries >= FAILURES else way.get("state")}
        self._sink("notice", None)

    def _readings(self, rows: list[list[Any]]) -> None:
        for point, observed_ms, value, quality in rows:
            self.values[point] = current = Current(observed_ms, value, quality)
            self._note(point)
            self._remember_place(point, current)
        self._sink("reading", rows)

    def _note(self, point: str) -> None:
        device, _, name = point.rpartition("/")
        self.names.setdefault(device, {})[name] = None
        self.readings += 1
        self.versions.pop(device, None)  # to the end
        self.versions[device] = self.readings

    def _remember_place(self, point: str, current: Current) -> None:
        device, _, name = point.rpartition("/")
        found = place_told(name, current.value) if isinstance(current.value, str) else None
        if found is None:
            return
        address, place = found
        self.told.pop(f"{device}/{address}", None)
        self.told[f"{device}/{address}"] = Told(current.observed_ms, place)
        if len(self.told) > MOST:
            del self.told[next(iter(self.told))]
