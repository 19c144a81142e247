"""The audit chain: whatever is done to the rows afterwards shows."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from contract.errors import RetryLater
from gateway.ledger import audit
from gateway.ledger.records import AuditEntry
from gateway.ledger.store import FILE, Store, open_ledger


async def make_chain(folder: Path, count: int = 5) -> Path:
    async with Store(folder) as store:
        for number in range(count):
            entry = AuditEntry(1000 + number, "王", "alarm.acknowledge", f"shuiye/p{number}", {"note": "看过"})
            await store.run(lambda connection, entry=entry: audit.append(connection, [entry]))  # type: ignore[misc] # bound
    return folder / FILE


def tamper(path: Path, *statements: str) -> None:
    """As somebody with the file in hand would."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("DROP TRIGGER audit_no_update")
    connection.execute("DROP TRIGGER audit_no_delete")
    for statement in statements:
        connection.execute(statement)
    connection.close()


async def test_chain_is_whole_when_nobody_touched_it(tmp_path: Path) -> None:
    """A chain as written verifies."""
    assert audit.verify(await make_chain(tmp_path)) is None


SWAP = (
    "UPDATE audit SET id = 99 WHERE id = 2",
    "UPDATE audit SET id = 2 WHERE id = 3",
    "UPDATE audit SET id = 3 WHERE id = 99",
)
SWAP_CONTENT = (
    "UPDATE audit SET (at_ms, actor, action, subject, detail) = "
    "(SELECT at_ms, actor, action, subject, detail FROM audit WHERE id = 4) WHERE id = 3",
)


@pytest.mark.parametrize(
    ("statements", "row"),
    [
        (("UPDATE audit SET actor = 'li' WHERE id = 3",), 3),
        (("UPDATE audit SET detail = '{}' WHERE id = 1",), 1),
        (("DELETE FROM audit WHERE id = 2",), 2),
        (("DELETE FROM audit WHERE id = 1",), 1),
        (SWAP, 2),
        (SWAP_CONTENT, 3),
        (("UPDATE audit SET hash = previous WHERE id = 5",), 5),
    ],
)
async def test_first_broken_row_is_named_when_rows_were_tampered_with(
    tmp_path: Path, statements: tuple[str, ...], row: int
) -> None:
    """An edit, a deletion and a swap each show at their place."""
    path = await make_chain(tmp_path)
    tamper(path, *statements)
    broken = audit.verify(path)
    assert broken is not None
    assert broken.id == row


async def test_cut_tail_is_found_when_a_head_was_exported(tmp_path: Path) -> None:
    """A chain without its last rows is whole in itself; the exported head tells."""
    path = await make_chain(tmp_path)
    connection = open_ledger(path)
    head = audit.head(connection)
    connection.close()
    assert audit.verify(path, head) is None
    tamper(path, "DELETE FROM audit WHERE id > 3")
    assert audit.verify(path) is None
    assert audit.verify(path, head) == audit.Broken(4, "rows 4 to 5 were cut off")


async def test_rewritten_chain_is_found_when_a_head_was_exported(tmp_path: Path) -> None:
    """Somebody who computes every hash anew is found by the head."""
    head = audit.Head(3, "f" * 64)
    assert audit.verify(await make_chain(tmp_path), head) == audit.Broken(3, "row 3 is not the one exported earlier")


async def test_rows_cannot_be_changed_when_the_program_itself_tries(tmp_path: Path) -> None:
    """Triggers guard against our own mistakes."""
    connection = open_ledger(await make_chain(tmp_path))
    attempts: list[Callable[[], object]] = [
        lambda: connection.execute("UPDATE audit SET actor = 'x'"),
        lambda: connection.execute("DELETE FROM audit"),
    ]
    for attempt in attempts:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            attempt()
    connection.close()


def test_verify_says_so_when_there_is_no_ledger(tmp_path: Path) -> None:
    """No file is no verdict."""
    with pytest.raises(RetryLater, match="Check that a ledger is there"):
        audit.verify(tmp_path / FILE)
