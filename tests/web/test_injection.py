"""Names and words that are commands elsewhere: every store, page and export has them as they were said, and no more."""

from __future__ import annotations

import csv
import io
import sqlite3
from pathlib import Path

import pytest

from contract.errors import MessageError
from contract.topics import DEFAULT_ROOT, is_ident, parse
from gateway.history.line_protocol import escape_tag
from gateway.ledger.store import FILE
from tests.web.office import open_office

WORDS = (
    "'; DROP TABLE audit; --",
    "x' OR '1'='1",
    '" OR time > 0; DROP MEASUREMENT reading; --',
    "a,site=shuiye value=1 1700000000000",
    "trail\\",
    "one\r\n2026-01-01 00:00:00,000 WARNING forged line",
    "{{ 7*7 }}{% for x in () %}{% endfor %}${7*7}#{7*7}",
    "weizhan/v1/+/#",
    "$SYS/broker",
    "<img src=x onerror=alert(1)>",
    "=cmd|'/c calc'!A1",
    "%(name)s %s %n {0} {name}",
    "\u202egnp.exe",
    "../../etc/passwd",
)
"""SQL, InfluxQL, line protocol, log lines, templates, MQTT topics, markup, formulas, formats, paths."""


async def test_words_are_stored_as_they_were_said_and_nothing_else_happens_when_they_are_commands(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Through a form, a search, a failed sign-in, the audit trail, its CSV and its page."""
    async with open_office(tmp_path / "o") as office:
        browser = office.browser
        for word in WORDS:
            body = {"work": "inspection", "note": word}
            answer = await office.api("POST", "/api/v1/devices/shuiye/hydrant-01/work", json=body)
            assert answer.status_code == 200, word
            found = await browser.get("/api/v1/audit", params={"subject": word, "actor": word, "action": word})
            assert (found.status_code, found.json()["items"]) == (200, []), word
            found = await browser.get("/admin/audit", params={"subject": word, "who": word, "what": word})
            assert found.status_code == 200, word
            assert "<img src=x" not in found.text
        with sqlite3.connect(f"file:{office.settings.data_dir / FILE}?mode=ro", uri=True) as ledger:
            notes = [row[0] for row in ledger.execute("SELECT note FROM work ORDER BY id")]
            tables = ledger.execute("SELECT count(*) FROM sqlite_schema WHERE type = 'table'").fetchone()[0]
        ledger.close()
        assert notes == list(WORDS)
        assert tables > 30
        device = (await browser.get("/devices/shuiye/hydrant-01")).text
        assert "<img src=x" not in device
        assert "{{ 7*7 }}" in device
        text = (await browser.get("/admin/audit.csv?what=work")).content.decode("utf-8-sig")
        table = list(csv.reader(io.StringIO(text, newline="")))
        assert len(table) == len(WORDS) + 1
        assert [cell for row in table for cell in row if cell[:1] in ("=", "+", "-", "@", "\t", "\r")] == []
        for word in WORDS[5:7]:
            await browser.post("/sign-in", data={"name": word, "password": "x"})
    assert [record for record in caplog.records if "\n2026-01-01" in record.getMessage()] == []


@pytest.mark.parametrize("word", WORDS)
def test_no_such_word_is_a_name_on_the_wire_when_it_is_tried(word: str) -> None:
    """Topics and tags are made of idents; what reaches a tag all the same is escaped or refused."""
    assert not is_ident(word)
    for topic in (f"{DEFAULT_ROOT}/{word}/edge1/alarm", f"{DEFAULT_ROOT}/shuiye/{word}/alarm"):
        with pytest.raises(MessageError):
            parse(DEFAULT_ROOT, topic)
    try:
        escaped = escape_tag(word)
    except ValueError:
        return
    bare = escaped.replace("\\,", "").replace("\\=", "").replace("\\ ", "")
    assert not set(bare) & set(",= \n\r")
