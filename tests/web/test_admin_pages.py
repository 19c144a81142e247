"""What an administrator looks after, on the gateway itself: the overview, and backups made, read through and taken."""

from __future__ import annotations

import asyncio
import io
import zipfile
from pathlib import Path
from typing import Any

from tests.web.office import Office, open_office


async def backup_row(office: Office, is_right: Any) -> dict[str, Any]:
    """The newest backup once it is right."""
    async with asyncio.timeout(20):
        while True:
            rows = (await office.browser.get("/api/v1/backups")).json()["items"]
            if rows and is_right(rows[0]):
                return dict(rows[0])
            await asyncio.sleep(0.05)


async def todo(office: Office, name: str) -> str:
    """How something stands."""
    items = (await office.browser.get("/api/v1/administration")).json()["items"]
    return str(next(item["state"] for item in items if item["name"] == name))


async def test_a_backup_is_made_verified_and_taken_when_an_administrator_asks(tmp_path: Path) -> None:
    """Pressed twice it is one; the overview then asks for nothing; damage of the file is found."""
    async with open_office(tmp_path / "o") as office:
        assert await todo(office, "backup") == "bad"
        assert await todo(office, "audit") == "unknown"
        await asyncio.gather(*(office.api("POST", "/api/v1/backups") for _ in range(2)))
        row = await backup_row(office, lambda row: row["state"] == "done")
        assert row["id"] == 1
        assert await todo(office, "backup") == "unknown"
        await office.browser.submit("/admin/backups", "/admin/backups/1/verify")
        row = await backup_row(office, lambda row: row["verified_ms"] is not None)
        assert row["problem"] == ""
        assert await todo(office, "backup") == "good"
        answer = await office.browser.get("/admin/backups/1/file")
        assert answer.headers["content-disposition"].startswith("attachment")
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            names = archive.namelist()
        assert {"data/ledger.sqlite", "configuration/weizhan.yaml", "configuration/shuiye.yaml"} <= set(names)
        html = (await office.browser.get("/admin/backups")).text
        assert "whole" in html
        assert row["file"] in html
        file = office.settings.data_dir / "backups" / row["file"]
        raw = bytearray(file.read_bytes())
        raw[len(raw) // 3] ^= 1
        file.write_bytes(bytes(raw))
        await office.api("POST", "/api/v1/backups/1/verify")
        row = await backup_row(office, lambda row: row["problem"] != "")
        assert "damaged" in row["problem"]
        assert await todo(office, "backup") == "bad"
        for path in ("/admin/backups/7/file", "/admin/backups/0/file"):
            assert (await office.browser.get(path)).status_code == 404
        overview = (await office.browser.get("/admin")).text
        assert "The last one is damaged." in overview
        with office.ledger as ledger:
            done = [row.action for row in ledger.audit() if row.subject.startswith("backup/")]
        assert done == ["backup.verify", "exported", "backup.verify", "backup.finish", "backup.start"]
