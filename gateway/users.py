"""The first people: made at the first start, each with a one-time password that is told once."""

from __future__ import annotations

import os
import secrets
import sqlite3
from pathlib import Path

from argon2 import PasswordHasher, Type

from gateway.ledger import audit
from gateway.ledger.records import AuditEntry
from gateway.ledger.store import Store

ROLES = ("duty", "maintainer", "inspector", "administrator")
ONE_TIME_MS = 24 * 3600 * 1000
FILE = "one-time-passwords.txt"
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""No characters that are mistaken for one another when read from a sheet of paper."""


def hasher() -> PasswordHasher:
    """Argon2id, 2 passes over 19 MiB, 1 lane: the OWASP setting for small machines."""
    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)


async def create_first_users(store: Store, data_dir: Path, now_ms: int) -> dict[str, str]:
    """Make one person a role when there is nobody yet; gives name -> one-time password (empty later on).

    The passwords also stand in data_dir/one-time-passwords.txt (0600) until every one of them was used or expired.

    Raises:
        RetryLater: the ledger cannot be written. OSError: the file cannot.
    """
    if await store.run(_count):
        return {}
    passwords = {role: one_time_password() for role in ROLES}
    hashing = hasher()
    rows = [(name, name, hashing.hash(password), now_ms + ONE_TIME_MS, now_ms) for name, password in passwords.items()]
    # The file first: passwords that nobody could read would lock everybody out.
    _write(data_dir / FILE, passwords)
    await store.run(lambda connection: _insert(connection, rows, now_ms))
    return passwords


async def remove_used_file(store: Store, data_dir: Path, now_ms: int) -> bool:
    """Delete the file of one-time passwords once none of them works any more; True when it is gone."""
    path = data_dir / FILE
    if not path.exists():
        return True
    if await store.run(lambda connection: _living(connection, now_ms)):
        return False
    path.unlink(missing_ok=True)
    return True


def one_time_password() -> str:
    """A fresh one-time password (59 bits)."""
    return "-".join(_word() for _ in range(3))


def _word() -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(4))


def _count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM user").fetchone()[0])


def _living(connection: sqlite3.Connection, now_ms: int) -> int:
    query = "SELECT count(*) FROM user WHERE one_time_until_ms > ? AND one_time_used_ms IS NULL"
    return int(connection.execute(query, (now_ms,)).fetchone()[0])


def _insert(connection: sqlite3.Connection, rows: list[tuple[str, str, str, int, int]], now_ms: int) -> None:
    query = "INSERT INTO user (name, role, password_hash, one_time_until_ms, created_ms) VALUES (?,?,?,?,?)"
    connection.executemany(query, rows)
    audit.append(connection, [AuditEntry(now_ms, "gateway", "user.create", row[0], {"role": row[1]}) for row in rows])


def _write(path: Path, passwords: dict[str, str]) -> None:
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write("# One-time passwords, valid for 24 hours. 一次性密码，24 小时内有效。\n")
        file.writelines(f"{name} {password}\n" for name, password in passwords.items())
        file.flush()
        os.fsync(file.fileno())
