"""Ways to people as an administrator sees and tests them: on the gateway itself, with a real service to take them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.gateway.notify.sending import SECRET, secret_file
from tests.gateway.notify.servers import server
from tests.web.office import Office, open_office


async def _far(office: Office, way: str, wanted: str) -> dict[str, object]:
    """The test of a way once it came as far as wanted."""
    person, channel = way.split("/")
    async with asyncio.timeout(15):
        while True:
            rows = (await office.browser.get("/api/v1/channels")).json()["items"]
            row = next(row for row in rows if (row["person"], row["channel"]) == (person, channel))
            if row["test"] is not None and row["test"]["far"] == wanted:
                return dict(row["test"])
            await asyncio.sleep(0.05)


async def test_a_test_shows_how_far_it_came_and_no_secret_when_ways_differ(tmp_path: Path) -> None:
    """A service that takes it, one that is away, a screen that nobody looks at; pressed twice it goes out once."""
    async with server() as service:
        url = service.url + "key-of-the-hook"
        secret = secret_file(tmp_path, "hook", SECRET)
        people = [
            {"id": "wang", "name": "王强", "channels": [
                {"kind": "webhook", "id": "hook", "url": url, "secret_file": secret},
                {"kind": "webhook", "id": "away", "url": "http://127.0.0.1:9/x", "secret_file": secret},
                {"kind": "screen", "id": "screen"},
            ]}
        ]  # fmt: skip
        routes = [{"chain": "all"}]
        chains = [{"id": "all", "steps": [{"after_s": 0, "people": ["wang"]}]}]
        notify = {"people": people, "chains": chains, "routes": routes, "retry_s": 0.1}
        async with open_office(tmp_path / "o", notify) as office:
            for way in ("hook", "hook", "away", "screen"):
                answer = await office.browser.submit("/admin/channels", f"/admin/channels/wang/{way}/test")
                assert answer.headers["location"] == "/admin/channels"
            await _far(office, "wang/hook", "sent")
            assert len(service.posts) == 1
            away = await _far(office, "wang/away", "planned")
            async with asyncio.timeout(10):
                while not (away := await _far(office, "wang/away", "planned"))["why"]:
                    await asyncio.sleep(0.05)
            assert away["why"] == "The service cannot be reached."
            await _far(office, "wang/screen", "sent")
            html = (await office.browser.get("/admin/channels")).text
            assert "No screen of a duty desk with its sound on has answered yet." in html
            assert "weizhan.yaml:" in html
            assert "http://127.0.0.1:" in html
            for hidden in (SECRET, "key-of-the-hook"):
                assert hidden not in html
            told = (await office.browser.get("/notifications")).text
            assert "The service cannot be reached." in told
            assert "ConnectError" not in told
            unknown = await office.api("POST", "/api/v1/channels/wang/nothing/test")
            assert unknown.status_code == 404
            with office.ledger as ledger:
                tests = [row.subject for row in ledger.audit() if row.action == "notify.test"]
            assert sorted(tests) == ["wang/away", "wang/hook", "wang/screen"]
