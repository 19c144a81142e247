"""The audit trail as an administrator reads it, on the gateway itself."""

from __future__ import annotations

import asyncio
import csv
import io
import sqlite3
from pathlib import Path

from gateway.ledger.store import FILE
from tests.web.office import Office, open_office


async def _verified(office: Office) -> dict[str, object]:
    """What verifying found, once it is done."""
    async with asyncio.timeout(15):
        while True:
            chain = (await office.browser.get("/api/v1/audit-chain")).json()
            if chain["verified_ms"] is not None and not chain["running"]:
                return dict(chain)
            await asyncio.sleep(0.05)


async def test_rows_are_found_read_exported_and_verified_when_an_administrator_looks(tmp_path: Path) -> None:
    """By who, what, about and time; in words; the chain is verified in the background, and its damage is named."""
    async with open_office(tmp_path / "o") as office:
        browser = office.browser
        await office.api("POST", "/api/v1/devices/shuiye/hydrant-01/work", json={"work": "inspection", "note": "=1+1"})
        html = (await browser.get("/admin/audit", params={"what": "work", "who": "administrator"})).text
        assert "work on a device · recorded" in html
        assert html.count("data-audit=") == 1
        zh = (await browser.get("/admin/audit?what=work&language=zh")).text
        assert "维修记录 · 记录" in zh
        assert (await browser.get("/admin/audit?subject=hydrant-01")).text.count("data-audit=") == 1
        assert (await browser.get("/admin/audit?begin=2099-01-01T00:00")).text.count("data-audit=") == 0
        backwards = await browser.get("/admin/audit?begin=2026-01-02T00:00&end=2026-01-01T00:00")
        assert backwards.status_code == 422
        rows = (await browser.get("/api/v1/audit", params={"limit": 2})).json()
        further = (await browser.get("/api/v1/audit", params={"limit": 2, "after": rows["next"]})).json()
        numbers = [row["id"] for row in (*rows["items"], *further["items"])]
        assert numbers == list(range(numbers[0], numbers[0] - 4, -1))
        text = (await browser.get("/admin/audit.csv?what=work")).content.decode("utf-8-sig")
        table = list(csv.reader(io.StringIO(text)))
        assert [row[5] for row in table] == ["subject", "shuiye/hydrant-01"]
        assert not any(cell[:1] in "=+-@\t\r" for row in table for cell in row if cell)
        head = await browser.get("/admin/audit/head.json")
        assert set(head.json()) == {"ledger", "id", "hash", "at_ms", "signature"}

        await browser.submit("/admin/audit", "/admin/audit/verify")
        chain = await _verified(office)
        assert chain["problem"] == ""
        assert head.json()["ledger"] == chain["public_key"]
        assert "every row is what was written" in (await browser.get("/admin/audit")).text
        # While it runs the element asks for itself, and has to come back whole or it would leave the page.
        asks = {"HX-Request": "true", "HX-Target": "chain"}
        answer = (await browser.get("/admin/audit", headers=asks)).text
        assert 'id="chain"' in answer
        assert "every row is what was written" in answer
        assert "<html" not in answer

        with sqlite3.connect(office.settings.data_dir / FILE) as other:
            other.execute("DROP TRIGGER audit_no_update")
            other.execute("UPDATE audit SET actor = 'li' WHERE id = 2")
        other.close()
        before = chain["verified_ms"]
        await office.api("POST", "/api/v1/audit-chain/verify")
        async with asyncio.timeout(15):
            while (chain := await _verified(office))["verified_ms"] == before:
                await asyncio.sleep(0.05)
        assert chain["problem"] == "row 2: row 2 was changed"
        assert "Something was changed" in (await browser.get("/admin/audit")).text
