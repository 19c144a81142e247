"""`weizhan ledger verify`: the audit chain, and every row that it holds."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from cli.audit import BrokenChain, verify_audit
from contract.errors import RetryLater
from gateway.ledger.store import FILE
from gateway.ledger.verify import Checked, Damage, damages

NAMED = 20
"""Rows named at most."""


def verify_ledger(data_dir: Path, exported: str | None) -> str:
    """Check the chain and then the rows of a data folder; gives the sentences to print.

    Raises:
        ConfigError: there is no ledger, or the head has another form.
        BrokenChain: with the first rows that are not what was written.
        RetryLater: the file cannot be read now.
    """
    sentence = verify_audit(data_dir, exported)
    path = data_dir / FILE
    wrong: list[Damage] = []
    checked = Checked(0, 0, 0, 0)
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        try:
            connection.execute("BEGIN")
            for found in damages(connection):
                if isinstance(found, Checked):
                    checked = found
                else:
                    wrong.append(found)
        finally:
            connection.close()
    except sqlite3.OperationalError as exc:
        raise RetryLater(f"{path}: {exc}. Check that a ledger is there and readable.") from exc
    if wrong:
        names = "; ".join(f"{each.row}: {each.why}{_by(each)}" for each in wrong[:NAMED])
        more = "" if len(wrong) <= NAMED else f"; and {len(wrong) - NAMED} more"
        raise BrokenChain(f"{path}: {names}{more}. The audit chain is whole, so these rows were changed beside it.")
    counts = (
        f"{checked.alarms} alarms, {checked.transitions} transitions, {checked.rule_versions} versions of rules, "
        f"{checked.entries} rows of registers"
    )
    return f"{sentence}\nEvery row is what was written: {counts}."


def _by(damage: Damage) -> str:
    return "" if damage.audit is None else f" (audit row {damage.audit})"
