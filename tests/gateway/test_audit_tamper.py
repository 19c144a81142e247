"""The audit chain: whatever is done to any row shows, and a cut tail against a head exported before."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import msgspec
import pytest

from contract.errors import ConfigError
from gateway.ledger import audit
from gateway.ledger.heads import public_key, read_head, sign_head
from tests.gateway.test_audit import make_chain

ROWS = 60
TRIES = 1000
COLUMNS = ("at_ms", "actor", "action", "subject", "detail", "previous", "hash")
HOWS = ("edit", "edit", "edit", "delete", "swap", "put in", "cut")


def _tamper(connection: sqlite3.Connection, rng: random.Random) -> str:
    """One change of one row or its place, as somebody with the file in hand would make it."""
    how, row = rng.choice(HOWS), rng.randint(1, ROWS)
    execute = connection.execute
    if how == "edit":
        column = rng.choice(COLUMNS)
        old = execute(f"SELECT {column} FROM audit WHERE id = ?", (row,)).fetchone()[0]
        new = old + rng.choice((-1, 1, 3_600_000)) if isinstance(old, int) else _other(old, rng)
        execute(f"UPDATE audit SET {column} = ? WHERE id = ?", (new, row))
        return f"{how} {column} {row}"
    if how == "delete":
        execute("DELETE FROM audit WHERE id = ?", (rng.randint(1, ROWS - 1),))
    elif how == "swap":
        other = rng.choice([n for n in range(1, ROWS + 1) if n != row])
        for was, becomes in ((row, 999), (other, row), (999, other)):
            execute("UPDATE audit SET id = ? WHERE id = ?", (becomes, was))
    elif how == "put in":
        # With a right hash of its own: what stands behind it still tells.
        at, previous = rng.randint(2, ROWS), ""
        for number in range(ROWS, at - 1, -1):
            execute("UPDATE audit SET id = ? WHERE id = ?", (number + 1, number))
        previous = execute("SELECT hash FROM audit WHERE id = ?", (at - 1,)).fetchone()[0]
        made = audit.link(at, 1, "li", "alarm.note", "x", "{}", previous)
        execute("INSERT INTO audit VALUES (?,?,?,?,?,?,?,?)", (at, 1, "li", "alarm.note", "x", "{}", previous, made))
    else:
        execute("DELETE FROM audit WHERE id > ?", (rng.randint(0, ROWS - 1),))
    return f"{how} {row}"


def _other(text: str, rng: random.Random) -> str:
    place = rng.randrange(len(text))
    return text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :]


async def test_every_one_of_a_thousand_changes_is_found_when_any_row_is_touched(tmp_path: Path) -> None:
    """Edited, taken out, put in, swapped, cut: each against the head exported before it."""
    path = await make_chain(tmp_path, ROWS)
    source = sqlite3.connect(path, isolation_level=None)
    source.execute("DROP TRIGGER audit_no_update")
    source.execute("DROP TRIGGER audit_no_delete")
    head = audit.head(source)
    memory = sqlite3.connect(":memory:", isolation_level=None)
    memory.execute("CREATE TABLE audit (id, at_ms, actor, action, subject, detail, previous, hash)")
    memory.executemany("INSERT INTO audit VALUES (?,?,?,?,?,?,?,?)", source.execute("SELECT * FROM audit").fetchall())
    source.close()
    assert audit.verify_chain(memory, head) is None
    missed = []
    rng = random.Random(14)
    for number in range(TRIES):
        memory.execute("BEGIN")
        done = _tamper(memory, rng)
        if audit.verify_chain(memory, head) is None:
            missed.append(f"{number}: {done}")
        memory.execute("ROLLBACK")
    memory.close()
    assert missed == []


def test_a_signed_head_is_taken_as_it_was_exported_and_no_other_when_given_to_verify(tmp_path: Path) -> None:
    """A head whose number, hash, time or key was changed is refused; one line of text still works."""
    secret = b"s" * 32
    signed = sign_head(secret, audit.Head(17, "a" * 64), 1_760_000_000_000)
    file = tmp_path / "head.json"
    file.write_bytes(msgspec.json.encode(signed))
    assert read_head(str(file)) == audit.Head(17, "a" * 64)
    assert read_head(f"17:{'a' * 64}") == audit.Head(17, "a" * 64)
    assert signed.ledger == public_key(secret) != public_key(b"t" * 32)
    changes = (
        {"id": 16},
        {"hash": "b" * 64},
        {"at_ms": 1},
        {"ledger": public_key(b"t" * 32)},
        {"signature": "0" * 128},
    )
    for change in changes:
        file.write_bytes(msgspec.json.encode(msgspec.structs.replace(signed, **change)))
        with pytest.raises(ConfigError, match="signature does not fit"):
            read_head(str(file))
    file.write_text("{}")
    with pytest.raises(ConfigError, match="want ID:HASH"):
        read_head(str(file))
