"""Alarms that stand, with the rule each was raised under: what registers start from."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

_STANDING = (
    "SELECT a.id, a.rule, a.subject, a.site, a.device, a.recorded_ms, a.drill, v.json FROM alarm a "
    "LEFT JOIN rule_version v ON v.id = a.rule AND v.version = a.rule_version "
    "WHERE a.state <> 'normal' AND a.active ORDER BY a.id"
)


class SavedStanding(NamedTuple):
    """A standing alarm of the ledger. record: the rule as it was in force then, JSON; None where it is not kept."""

    id: int
    rule: str
    subject: str
    site: str
    device: str | None
    raised_ms: int
    drill: int | None
    record: str | None


def load_standing(connection: sqlite3.Connection) -> list[SavedStanding]:
    """Every alarm that stands, within the caller's transaction."""
    return [SavedStanding._make(row) for row in connection.execute(_STANDING)]
