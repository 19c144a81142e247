"""A ledger of the first version: copied, brought up to date in one transaction, and used."""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path

import pytest

from contract.errors import StartError
from contract.messages import Reading, encode_readings
from gateway.duty.checks import CHECKS
from gateway.ledger import audit, upgrade
from gateway.ledger.records import AuditEntry
from gateway.ledger.store import FILE, Store
from tests.gateway.harness import FIRE, START_MS, Clock, arrival, batch, open_bench, until

V1 = Path(__file__).with_name("ledger_v1.sql").read_text("utf-8")
"""The schema as the first version had it."""


def make_v1(folder: Path) -> Path:
    """A ledger as the first version left it: an open fire, its transition, its reading and the audit chain."""
    folder.mkdir(parents=True)
    path = folder / FILE
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.executescript(V1 + "INSERT INTO meta VALUES ('schema','1');")
    subject = f"shuiye/{FIRE}"
    connection.execute(
        "INSERT INTO alarm VALUES (7,'panel-fire','v1',?,'shuiye','panel-01','fire','unacknowledged',1,0,?,?,"
        "NULL,NULL,NULL,'{}')",
        (subject, START_MS, START_MS),
    )
    connection.execute(
        "INSERT INTO transition VALUES (1,7,'raise','normal','unacknowledged',?,?,'rule','','{}')", (START_MS, START_MS)
    )
    connection.execute("INSERT INTO rule_state VALUES ('panel-fire',?,'active',?,7,'{}')", (subject, START_MS))
    raw = encode_readings([Reading(FIRE, START_MS, "fire")])
    connection.execute(
        "INSERT INTO inbox VALUES (1,'shuiye','edge1','e1','alarm',1,?,?,?)", (START_MS, raw, zlib.crc32(raw))
    )
    connection.execute("INSERT INTO watermark VALUES ('shuiye','edge1','e1','alarm',1,?)", (START_MS,))
    audit.append(connection, [AuditEntry(START_MS, "rule", "alarm.raise", subject, {"alarm": 7})])
    connection.close()
    return path


def shape(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every table's columns in order, and every index's and trigger's name."""
    connection = sqlite3.connect(path)
    try:
        found = {}
        for name, kind in connection.execute("SELECT name, type FROM sqlite_schema").fetchall():
            rows = connection.execute(f"PRAGMA table_info({name})").fetchall() if kind == "table" else []
            found[f"{kind} {name}"] = [row[1:6] for row in rows]
        return found
    finally:
        connection.close()


async def test_old_ledger_is_used_as_it_was_when_the_gateway_is_newer(tmp_path: Path) -> None:
    """Its alarm is open still, is acknowledged and cleared; a duplicate has no effect; the chain is whole."""
    path = make_v1(tmp_path / "data")
    clock = Clock(START_MS + 60_000)
    async with open_bench(tmp_path, clock) as bench:
        (alarm,) = bench.reader.open_alarms()
        assert (alarm.id, alarm.count, alarm.hold, alarm.drill, alarm.notes) == (7, 1, None, None, 0)
        await bench.take(
            arrival(batch(1, Reading(FIRE, START_MS, "fire"), lane="alarm"), clock.now_ms),
            arrival(batch(2, Reading(FIRE, clock.now_ms, "normal"), lane="alarm"), clock.now_ms),
        )
        await until(lambda: [t.event for t in bench.reader.transitions(7)] == ["raise", "clear"])
        assert bench.reader.meta("schema") == str(upgrade.VERSION)
        assert bench.reader.meta(upgrade.RESENT_SINCE) == str(START_MS)
    assert audit.verify(path) is None


async def test_copy_stands_beside_the_ledger_when_it_was_upgraded(tmp_path: Path) -> None:
    """The copy is what the old program left, ready to be used by it; the ledger has the shape of a new one."""
    path = make_v1(tmp_path / "old")
    before = shape(path)
    async with Store(tmp_path / "old"), Store(tmp_path / "new"):
        pass
    copy = path.with_name(f"{FILE}.v1")
    assert shape(copy) == before
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT id, state FROM alarm").fetchall() == [(7, "unacknowledged")]
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    assert shape(path) == shape(tmp_path / "new" / FILE)
    # A second start finds nothing to do.
    made = copy.stat().st_mtime_ns
    async with Store(tmp_path / "old"):
        pass
    assert copy.stat().st_mtime_ns == made


async def test_ledger_is_left_alone_when_the_copy_cannot_be_made(tmp_path: Path) -> None:
    """No copy, no upgrade: the old program still runs on it."""
    path = make_v1(tmp_path / "data")
    before = shape(path)
    path.with_name(f"{FILE}.copying").mkdir()
    with pytest.raises(StartError, match=r"version 1 is copied before it is changed; free as much space"):
        async with Store(tmp_path / "data"):
            pass
    assert shape(path) == before


async def test_ledger_is_left_alone_when_the_upgrade_fails_half_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One transaction: what was added before the fault is gone again."""
    path = make_v1(tmp_path / "data")
    before = shape(path)

    def fail(connection: sqlite3.Connection) -> None:
        assert connection.execute("SELECT count(*) FROM drill").fetchone() == (0,)
        raise sqlite3.DatabaseError("disk I/O error")

    monkeypatch.setitem(upgrade.STEPS, upgrade.VERSION, fail)
    with pytest.raises(StartError, match="disk I/O error"):
        async with Store(tmp_path / "data"):
            pass
    assert shape(path) == before


async def test_duty_checks_are_rows_of_the_register_when_the_ledger_had_a_table_of_them(tmp_path: Path) -> None:
    """An open one is open still, one that nobody answered is missed, each stands in the audit chain; numbers go on."""
    path = make_v1(tmp_path / "data")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(
        "CREATE TABLE duty_check (id INTEGER PRIMARY KEY AUTOINCREMENT, site TEXT NOT NULL, origin TEXT NOT NULL, "
        "asked_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL, state TEXT NOT NULL, answered_ms INTEGER, "
        "answered_by TEXT); UPDATE meta SET value = '2' WHERE key = 'schema';"
    )
    for number, state, answered in ((1, "unanswered", None), (2, "late", START_MS + 9), (3, "open", None)):
        row = (number, "shuiye", "centre/city", START_MS, START_MS + 300_000, state, answered, answered and "wang")
        connection.execute("INSERT INTO duty_check VALUES (?,?,?,?,?,?,?,?)", row)
    connection.close()
    clock = Clock(START_MS + 60_000)
    async with open_bench(tmp_path, clock) as bench:
        (check,) = bench.pipeline.working.duty.shown.values()
        assert (check.id, check.state, check.until_ms) == (3, "open", START_MS + 300_000)
        assert bench.pipeline.working.duty.next_id == 4
        rows = bench.reader.entries(CHECKS)
        assert [(row.id, row.state, row.answered_ms, row.answered_by) for row in rows] == [
            (3, "open", None, None),
            (2, "late", START_MS + 9, "wang"),
            (1, "missed", None, None),
        ]
        moved = [row.subject for row in bench.reader.audit() if row.action == "duty_check.move"]
        assert sorted(moved) == ["duty_check/1", "duty_check/2", "duty_check/3"]
    assert audit.verify(path) is None
