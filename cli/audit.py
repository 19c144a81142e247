"""`weizhan audit`: the chain checked, and its head to keep somewhere else."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from contract.errors import ConfigError, WeizhanError
from gateway.ledger import audit
from gateway.ledger.heads import read_head
from gateway.ledger.store import FILE


class BrokenChain(WeizhanError):
    """A row of the chain, or a row before it, is not what was written."""


def verify_audit(data_dir: Path, exported: str | None) -> str:
    """Check the chain of a data folder; gives the sentence to print, with the head.

    Args:
        exported: a head printed earlier, `ID:HASH`, or the path of a signed head.

    Raises:
        ConfigError: there is no ledger, or the head has another form.
        BrokenChain: with the row that does not fit and why.
    """
    path = data_dir / FILE
    if not path.is_file():
        raise ConfigError(f"{path}: got no ledger, want one. Has a gateway run with this configuration?")
    head = read_head(exported) if exported is not None else None
    broken = audit.verify(path, head)
    if broken is not None:
        raise BrokenChain(f"{path}: audit row {broken.id}: {broken.why}. It, or a row before it, was changed.")
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        last = audit.head(connection)
    connection.close()
    return f"The audit chain is whole. Head: {last.id}:{last.hash}"
