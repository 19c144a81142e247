"""`weizhan export verify`: what it says of a file that is whole, changed, or nobody's."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from cli.export_verify import NotWhole, verify_export
from contract.errors import ConfigError
from gateway.ledger import audit
from gateway.ledger.records import AuditEntry
from gateway.ledger.upgrade import SCHEMA
from tests.exports.papers import NOW, document, written


def test_a_file_is_told_whole_known_or_made_up_when_verified(tmp_path: Path) -> None:
    """Alone it is whole; beside a ledger it has to stand in the chain."""
    path, code = written(document(), "csv", tmp_path)
    assert f"Code: {code}" in verify_export(path, None)
    data_dir = tmp_path / "d"
    data_dir.mkdir()
    with pytest.raises(ConfigError, match="no ledger"):
        verify_export(path, data_dir)
    connection = sqlite3.connect(data_dir / "ledger.sqlite")
    connection.executescript(SCHEMA.read_text("utf-8"))
    with pytest.raises(NotWhole, match="made up"):
        verify_export(path, data_dir)
    with connection:
        audit.append(connection, [AuditEntry(NOW, "li", "exported", f"export/{code}", {"range": "life csv"})])
    connection.close()
    assert "Audit row 1: handed out to li." in verify_export(path, data_dir)
    path.write_text(path.read_text("utf-8-sig").replace("水业", "水北"), "utf-8-sig")
    with pytest.raises(NotWhole, match="changed after it was made"):
        verify_export(path, data_dir)
