"""The ledger for those who only look: web pages, exports, tests. A read-only connection; the writer is not disturbed.

Calls block for the time of a query; on an event loop use `asyncio.to_thread`. One reader may be shared by threads.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from contract.errors import RetryLater
from contract.messages import Reading
from gateway.control.protocol import AgentView, AlarmView
from gateway.ledger import records as r
from gateway.ledger.alarm_rows import ALARMS, DRILLS, MAINTENANCE, alarm_view, drill_row, maintenance_row
from gateway.ledger.entries import E, Kind, entries, find_entry

T = TypeVar("T")
_readings = msgspec.json.Decoder(list[Reading])
_json = msgspec.json.Decoder()
_scalar = msgspec.json.Decoder(float | bool | str | None)


_USER = ", ".join(r.User._fields)
_SESSION = ", ".join(r.Session._fields)


class LedgerReader:
    """Typed answers from a ledger file.

    Raises:
        RetryLater: from every call, when there is no ledger yet or it cannot be read now.
    """

    def __init__(self, path: Path) -> None:
        """`path` is the ledger file (`data_dir/ledger.sqlite`); it is opened at the first question."""
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> LedgerReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; a later call opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    # --- alarms --------------------------------------------------------------------------------------------------

    def open_alarms(self) -> list[AlarmView]:
        """Every alarm that is not back to normal, oldest first."""
        return [alarm_view(row) for row in self._all(ALARMS + "WHERE state <> 'normal' ORDER BY id")]

    def alarm(self, alarm_id: int) -> AlarmView | None:
        """One alarm."""
        rows = self._all(ALARMS + "WHERE id = ?", (alarm_id,))
        return alarm_view(rows[0]) if rows else None

    def alarms(
        self,
        *,
        site: str | None = None,
        device: str | None = None,
        severity: str | None = None,
        rule: str | None = None,
        state: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[AlarmView]:
        """Alarms that fit, newest first. `before`: only ids below it (the next page)."""
        wanted = {"site": site, "device": device, "severity": severity, "rule": rule, "state": state}
        terms = [f"{name} = ?" for name, value in wanted.items() if value is not None]
        values: list[Any] = [value for value in wanted.values() if value is not None]
        if before is not None:
            terms.append("id < ?")
            values.append(before)
        where = f"WHERE {' AND '.join(terms)} " if terms else ""
        return [alarm_view(row) for row in self._all(f"{ALARMS}{where}ORDER BY id DESC LIMIT ?", (*values, limit))]

    def transitions(self, alarm_id: int | None = None) -> list[r.TransitionRow]:
        """Steps of one alarm's life, or of all, in the order they were committed."""
        query = (
            "SELECT id, alarm_id, event, from_state, to_state, event_ms, recorded_ms, actor, note, inputs "
            "FROM transition WHERE alarm_id = ? OR ? IS NULL ORDER BY id"
        )
        rows = self._all(query, (alarm_id, alarm_id))
        return [r.TransitionRow._make((*row[:9], _json.decode(row[9]))) for row in rows]

    def alarms_raised(self, from_ms: int, until_ms: int, site: str | None = None) -> list[AlarmView]:
        """Alarms raised in a span (event time), oldest first; of one site or of all."""
        query = ALARMS + "WHERE raised_ms >= ? AND raised_ms < ? AND (site = ? OR ? IS NULL) ORDER BY raised_ms, id"
        return [alarm_view(row) for row in self._all(query, (from_ms, until_ms, site, site))]

    def alarms_standing(self, at_ms: int, site: str | None = None) -> list[AlarmView]:
        """Alarms whose condition held at that moment, oldest first."""
        query = (
            ALARMS + "WHERE raised_ms <= ? AND (cleared_ms IS NULL OR cleared_ms > ?) AND (active OR cleared_ms > ?) "
            "AND (site = ? OR ? IS NULL) ORDER BY raised_ms, id"
        )
        return [alarm_view(row) for row in self._all(query, (at_ms, at_ms, at_ms, site, site))]

    def rule_versions(self, rule: str | None = None) -> list[r.RuleVersion]:
        """Every version of a rule (or of all) that was in force, in the order they came."""
        query = "SELECT id, version, first_ms, json FROM rule_version WHERE id = ? OR ? IS NULL ORDER BY first_ms, id"
        return [r.RuleVersion(*row) for row in self._all(query, (rule, rule))]

    def alarm_changes(self, site: str, after_id: int, limit: int) -> tuple[int, list[r.AlarmChange]]:
        """Raises and clears of a site's equipment among the transitions after an id, in order; the last id seen."""
        # One row: each further one would have to win the interpreter back from a gateway that is busy judging.
        query = (
            "SELECT coalesce(max(id), ?), json_group_array(json_array(event, event_ms, rule, subject, device, "
            "severity, drill)) FILTER (WHERE event IN ('raise', 'clear') AND site = ? AND device IS NOT NULL) FROM "
            "(SELECT t.id, t.event, t.event_ms, a.rule, a.subject, a.site, a.device, a.severity, a.drill "
            "FROM transition t JOIN alarm a ON a.id = t.alarm_id WHERE t.id > ? ORDER BY t.id LIMIT ?)"
        )
        ((last, rows),) = self._all(query, (after_id, site, after_id, limit))
        return last, [r.AlarmChange(*row) for row in _json.decode(rows)]

    def upward_next(self, centre: str, besides: Iterable[int], fires: int, others: int) -> list[r.UpwardRow]:
        """What a centre is to be told next: at most so many fires, then of the rest the most urgent, oldest first.

        besides: ids that are left out.
        """
        # One row here too.
        query = (
            "SELECT json_group_array(json_array(id, urgency, type, hex(object), created_ms)) FROM "
            "(SELECT * FROM upward WHERE centre = ? AND done_ms IS NULL AND urgency BETWEEN ? AND ? "
            "AND id NOT IN (SELECT value FROM json_each(?)) ORDER BY urgency, id LIMIT ?)"
        )
        out, found = json.dumps(sorted(besides)), list[tuple[int, int, int, str, int]]()
        for lowest, highest, limit in ((0, 0, fires), (1, 9, others)):
            if limit:
                found += _json.decode(self._all(query, (centre, lowest, highest, out, limit))[0][0])
        return [r.UpwardRow(*row[:3], bytes.fromhex(row[3]), row[4]) for row in found]

    def deciding_rule(self, alarm_id: int) -> r.RuleVersion | None:
        """The version of the rule that raised an alarm; its `json` is empty where the record was not kept. None: no
        such alarm."""
        rows = self._all(
            "SELECT a.rule, a.rule_version, coalesce(v.first_ms, 0), coalesce(v.json, '') FROM alarm a "
            "LEFT JOIN rule_version v ON v.id = a.rule AND v.version = a.rule_version WHERE a.id = ?",
            (alarm_id,),
        )
        return r.RuleVersion(*rows[0]) if rows else None

    def notices_of(self, alarm_id: int) -> list[r.NoticeRow]:
        """Who was told of an alarm, on which way, and how that went."""
        query = (
            "SELECT n.id, n.person, n.channel, n.kind, n.state, n.due_ms, n.sent_ms, n.delivered_ms, n.read_ms, "
            "n.error FROM notice n, json_each(n.alarms) told WHERE told.value = ? ORDER BY n.id"
        )
        return [r.NoticeRow(*row) for row in self._all(query, (alarm_id,))]

    # --- what holds alarms, and work -----------------------------------------------------------------------------

    def shelves(self) -> list[r.Shelf]:
        """What lies on the shelf, the first to end first."""
        return [r.Shelf(*row) for row in self._all("SELECT * FROM shelf ORDER BY until_ms")]

    def out_of_service(self) -> list[r.OutOfService]:
        """What is out of service, the longest first."""
        return [r.OutOfService(*row) for row in self._all("SELECT * FROM out_of_service ORDER BY from_ms")]

    def maintenance(self, site: str | None = None, limit: int = 100) -> list[r.Maintenance]:
        """Maintenance windows, the latest first: planned, in force and over."""
        query = MAINTENANCE + "WHERE site = ? OR ? IS NULL ORDER BY from_ms DESC, id DESC LIMIT ?"
        return [maintenance_row(row) for row in self._all(query, (site, site, limit))]

    def drills(self, site: str | None = None, limit: int = 100) -> list[r.Drill]:
        """Drills, the latest first: running and over."""
        query = DRILLS + "WHERE site = ? OR ? IS NULL ORDER BY id DESC LIMIT ?"
        return [drill_row(row) for row in self._all(query, (site, site, limit))]

    def drill(self, drill_id: int) -> r.Drill | None:
        """One drill."""
        rows = self._all(DRILLS + "WHERE id = ?", (drill_id,))
        return drill_row(rows[0]) if rows else None

    def drill_items(self, drill_id: int) -> list[r.DrillItem]:
        """A drill's list: what was to speak, and when it did."""
        query = "SELECT drill, subject, spoke_ms, how, alarm_id FROM drill_item WHERE drill = ? ORDER BY subject"
        return [r.DrillItem(*row) for row in self._all(query, (drill_id,))]

    def tested(self) -> dict[str, r.LastTest]:
        """Last test of every point or device that was ever tested, by subject (for `alarms.coverage.untested`)."""
        return {row[0]: r.LastTest(*row) for row in self._all("SELECT subject, at_ms, drill, by FROM tested")}

    def work(self, site: str | None = None, device: str | None = None, limit: int = 100) -> list[r.WorkRow]:
        """Work recorded on devices, the latest first."""
        query = (
            "SELECT id, site, device, work, at_ms, recorded_ms, by, note FROM work "
            "WHERE (site = ? OR ? IS NULL) AND (device = ? OR ? IS NULL) ORDER BY at_ms DESC, id DESC LIMIT ?"
        )
        return [r.WorkRow(*row) for row in self._all(query, (site, site, device, device, limit))]

    # --- registers -----------------------------------------------------------------------------------------------

    def entries(self, kind: Kind[E], **terms: Any) -> list[E]:
        """Rows of a register that fit, newest first; terms as of `gateway.ledger.entries.entries`."""
        return self._ask(lambda connection: list(entries(connection, kind, **terms)))

    def entry(self, kind: Kind[E], entry_id: int) -> E | None:
        """One row of a register, open or not."""
        return self._ask(lambda connection: find_entry(connection, kind, entry_id))

    def first_ms(self) -> int:
        """When this ledger began, ms UTC; of the time before nothing is known. 2**62: it has no row yet."""
        rows = self._all("SELECT at_ms FROM audit ORDER BY id LIMIT 1")
        return int(rows[0][0]) if rows else 2**62

    def entry_history(self, kind: str, entry_id: int) -> list[r.AuditRow]:
        """Every change of a row of a register, oldest first; `detail` holds the row as it was then."""
        query = (
            "SELECT id, at_ms, actor, action, subject, detail, previous, hash FROM audit WHERE subject = ? ORDER BY id"
        )
        return [r.AuditRow(*row) for row in self._all(query, (f"{kind}/{entry_id}",))]

    # --- devices and messages ------------------------------------------------------------------------------------

    def quarantine(self) -> list[r.QuarantineRow]:
        """Refused messages by source and reason, latest first."""
        query = (
            "SELECT id, source, reason, detail, first_ms, last_ms, count, bytes, sample FROM quarantine "
            "ORDER BY last_ms DESC, id"
        )
        return [r.QuarantineRow(*row) for row in self._all(query)]

    def refused_count(self) -> int:
        """Messages in quarantine, all sources together."""
        return int(self._all("SELECT coalesce(sum(count), 0) FROM quarantine")[0][0])

    def unknown_devices(self) -> list[r.UnknownDevice]:
        """Devices that report but nobody approved yet."""
        query = (
            "SELECT site, device, agent, first_ms, last_ms, readings, dropped FROM unknown_device ORDER BY site, device"
        )
        return [r.UnknownDevice(*row) for row in self._all(query)]

    def unknown_readings(self, site: str, device: str, limit: int = 100) -> list[r.LastValue]:
        """The latest readings kept of an unknown device, newest first."""
        query = (
            "SELECT point, observed_ms, received_ms, value, quality FROM unknown_reading "
            "WHERE site = ? AND device = ? ORDER BY id DESC LIMIT ?"
        )
        return [_value(row) for row in self._all(query, (site, device, limit))]

    def approved_devices(self) -> list[r.ApprovedDevice]:
        """Devices approved at run time."""
        query = (
            "SELECT site, device, agent, profile, title_zh, title_en, approved_ms, approved_by FROM approved_device "
            "ORDER BY site, device"
        )
        return [r.ApprovedDevice(*row) for row in self._all(query)]

    def agents(self) -> list[AgentView]:
        """Every agent ever heard."""
        query = "SELECT site, agent, online, heard_ms, clock_offset_ms, state FROM agent ORDER BY site, agent"
        return [
            AgentView(
                site=row[0],
                agent=row[1],
                online=bool(row[2]),
                heard_ms=row[3],
                clock_offset_ms=row[4],
                state=_json.decode(row[5]),
            )
            for row in self._all(query)
        ]

    def last_values(self) -> list[r.LastValue]:
        """Last value of every point as of the latest checkpoint (seconds old; live ones come from the socket)."""
        query = "SELECT point, observed_ms, received_ms, value, quality FROM last_value ORDER BY point"
        return [_value(row) for row in self._all(query)]

    def gaps(self) -> list[r.GapRow]:
        """Readings that will never come."""
        query = (
            "SELECT id, site, agent, epoch, lane, first_seq, seq, readings, first_ms, last_ms, reason, recorded_ms "
            "FROM gap ORDER BY id"
        )
        return [r.GapRow(*row) for row in self._all(query)]

    def resent(self, site: str, agent: str, device: str, first_day: str, last_day: str) -> list[r.ResentRow]:
        """What came again from a device (\"\": in the agent's batches as a whole) on these days, and was dropped."""
        query = (
            "SELECT site, agent, device, lane, day, batches, readings FROM resent "
            "WHERE site = ? AND agent = ? AND device = ? AND day BETWEEN ? AND ? ORDER BY day, lane"
        )
        return [r.ResentRow(*row) for row in self._all(query, (site, agent, device, first_day, last_day))]

    # --- people --------------------------------------------------------------------------------------------------

    def user(self, name: str) -> r.User | None:
        """A person who may sign in."""
        rows = self._all(f"SELECT {_USER} FROM user WHERE name = ?", (name,))  # noqa: S608 # columns are ours
        return r.User(*rows[0]) if rows else None

    def users(self) -> list[r.User]:
        """Everybody who may sign in."""
        return [r.User(*row) for row in self._all(f"SELECT {_USER} FROM user ORDER BY name")]  # noqa: S608 # ours

    def session(self, token_hash: str) -> r.Session | None:
        """Who is let in with a token; whether it has expired is for the caller to see."""
        rows = self._all(f"SELECT {_SESSION} FROM session WHERE token_hash = ?", (token_hash,))  # noqa: S608 # ours
        return _session(rows[0]) if rows else None

    def sessions(self, user: str | None = None) -> list[r.Session]:
        """Everything that is let in: browsers, programs, wall displays; of one user or of all, newest first."""
        query = f"SELECT {_SESSION} FROM session WHERE ? IN (user, '*') ORDER BY created_ms DESC"  # noqa: S608 # ours
        return [_session(row) for row in self._all(query, (user or "*",))]

    # --- proof ---------------------------------------------------------------------------------------------------

    def audit(self, *, before: int | None = None, limit: int = 100) -> list[r.AuditRow]:
        """Audit rows, newest first."""
        query = (
            "SELECT id, at_ms, actor, action, subject, detail, previous, hash FROM audit WHERE id < ? "
            "ORDER BY id DESC LIMIT ?"
        )
        return [r.AuditRow(*row) for row in self._all(query, (2**62 if before is None else before, limit))]

    def inbox(self, after_id: int = 0, limit: int | None = None) -> Iterator[r.InboxRow]:
        """Batches still in the inbox, in the order they were committed, each checked against its checksum."""
        left = limit
        while left is None or left > 0:
            rows = self._all(
                "SELECT id, site, agent, epoch, lane, seq, received_ms, readings, crc, correction_ms FROM inbox "
                "WHERE id > ? ORDER BY id LIMIT ?",
                (after_id, min(500, left or 500)),
            )
            if not rows:
                return
            for row in rows:
                yield _inbox(row)
            after_id = rows[-1][0]
            left = None if left is None else left - len(rows)

    def stored(self) -> Iterator[tuple[str, Reading]]:
        """Every reading in the inbox with its site."""
        for row in self.inbox():
            for reading in row.readings:
                yield row.site, reading

    def stored_count(self) -> int:
        """How many readings the inbox holds."""
        return sum(len(row.readings) for row in self.inbox())

    def mirrored(self) -> dict[str, int]:
        """How far each mirror has drained the inbox: name -> inbox id."""
        return dict(self._all("SELECT name, inbox_id FROM mirror"))

    def watermarks(self) -> dict[tuple[str, str, str, str], int]:
        """Highest seq committed: (site, agent, epoch, lane) -> seq."""
        return {row[:4]: row[4] for row in self._all("SELECT site, agent, epoch, lane, seq FROM watermark")}

    def meta(self, key: str) -> str | None:
        """A single fact."""
        rows = self._all("SELECT value FROM meta WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    def _all(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._ask(lambda connection: connection.execute(query, values).fetchall())

    def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = sqlite3.connect(
                        f"file:{self.path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
                    )
                return question(self._connection)
            except sqlite3.Error as exc:
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None
                raise RetryLater(f"{self.path}: {exc}. Has the gateway been started there once?") from exc


def _session(row: Any) -> r.Session:
    found = r.Session(*row)
    return found._replace(read_only=bool(found.read_only))


def _value(row: Any) -> r.LastValue:
    return r.LastValue(row[0], row[1], row[2], decode_value(row[3]), row[4])


def decode_value(text: str) -> float | bool | str | None:
    """A value as the ledger keeps it (JSON); numbers come back as float."""
    value: float | bool | str | None = _scalar.decode(text)
    return value


def _inbox(row: Any) -> r.InboxRow:
    intact = zlib.crc32(row[7]) == row[8]
    return r.InboxRow._make((*row[:7], _readings.decode(row[7]) if intact else [], intact, row[9]))
