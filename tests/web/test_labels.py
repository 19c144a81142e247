"""Labels of devices against the real gateway: what a stranger sees, and when nothing any more."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from contract.mqtt import MqttSettings
from gateway.app import open_gateway
from gateway.history.settings import EmbeddedSettings
from gateway.ledger.changes import Changes
from gateway.ledger.entries import Pen, SavedEntries
from gateway.web.ledger import WebLedger
from gateway.work.device_labels import DAY_MS, LABEL, DeviceLabels, is_token, number_of, token_of
from tests.web.station import SITE, Browser, Station, serving

NEW = "correct horse 站 2"
HYDRANT = "/records/shuiye/hydrant-01"


@asynccontextmanager
async def maintaining(folder: Path, port: int) -> AsyncIterator[tuple[Browser, Path]]:
    """A maintainer's browser on a real gateway, and its data folder."""
    station = Station.__new__(Station)
    station.data_dir, station.site_file = folder / "d", folder / "shuiye.yaml"
    station.site_file.write_text(SITE, "utf-8")
    async with (
        open_gateway(station.settings(), EmbeddedSettings(), MqttSettings(port=port)) as gateway,
        serving(station) as address,
        Browser(address, "en") as browser,
    ):
        await browser.sign_in("maintainer", gateway.one_time_passwords["maintainer"])
        await browser.submit("/first-password", "/first-password", password=NEW, again=NEW)
        yield browser, station.data_dir


def token_in(data_dir: Path) -> str:
    """What the QR code of the hydrant's label carries."""
    ledger = WebLedger(data_dir / "ledger.sqlite")
    try:
        return token_of(ledger.secret(), next(row for row in ledger.entries(LABEL) if row.device == "hydrant-01"))
    finally:
        ledger.close()


async def test_a_stranger_sees_one_device_until_its_label_is_taken_back(tmp_path: Path, free_port: int) -> None:
    """Identity and state, no way further; forged codes are 404, one that was taken back is 410; too many tries 429."""
    async with maintaining(tmp_path, free_port) as (browser, data_dir):
        assert "No label holds here" in (await browser.get(f"{HYDRANT}/label")).text
        assert (await browser.submit(f"{HYDRANT}/label", f"{HYDRANT}/label", days="365")).status_code == 303
        assert (await browser.submit(f"{HYDRANT}/label", f"{HYDRANT}/label", days="365")).status_code == 303
        sheet = (await browser.get(f"{HYDRANT}/label")).text
        assert sheet.count("<figure") == 1
        token = token_in(data_dir)
        async with Browser(str(browser.base_url), "en") as stranger:
            answer = await stranger.get(f"/l/{token}")
            assert answer.status_code == 200
            assert "shuiye/hydrant-01" in answer.text
            assert "set-cookie" not in answer.headers
            links = set(re.findall(r'href="(/[^"]*)"', answer.text)) - set(
                re.findall(r'href="(/static[^"]*)"', answer.text)
            )
            assert links == {HYDRANT}
            assert (await stranger.get(HYDRANT)).status_code == 303
            for forged in (f"{token[:-1]}{'a' if token[-1] != 'a' else 'b'}", "1.x", "999.abc", "x" * 300, "é.é"):
                assert (await stranger.get(f"/l/{forged}")).status_code == 404, forged
            assert (await browser.submit(f"{HYDRANT}/label", f"{HYDRANT}/label/revoke", note="lost")).status_code == 303
            gone = await stranger.get(f"/l/{token}")
            assert (gone.status_code, "was taken back" in gone.text) == (410, True)
            assert (
                await browser.submit("/records/labels/shuiye", "/records/labels/shuiye", days="30")
            ).status_code == 303
            assert (await browser.get("/records/labels/shuiye")).text.count("<figure") == 10
            assert {(await stranger.get("/l/1.x")).status_code for _ in range(40)} == {404, 429}


def pen_at(now_ms: int) -> Pen:
    """What a turn at that time writes with."""
    return Pen(Changes(now_ms), now_ms)


def test_a_label_is_over_when_its_time_is() -> None:
    """It ends by itself, and a new one has another token."""
    labels = DeviceLabels(SavedEntries({}, {}))
    pen = pen_at(1_000)
    first = labels.issue(pen, "s", ["a", "b"], 1, "li")
    assert labels.issue(pen, "s", ["a"], 30, "li") == first[:1]
    assert labels.next_due_ms() == 1_000 + DAY_MS
    labels.advance(pen_at(1_000 + DAY_MS))
    assert (labels.next_due_ms(), dict(labels.sheet.rows)) == (None, {})
    again = labels.issue(pen_at(2_000 + DAY_MS), "s", ["a"], 1, "li")[0]
    secret = b"s" * 32
    assert is_token(secret, token_of(secret, again), again)
    assert not is_token(secret, token_of(secret, first[0]), again)
    assert not is_token(b"t" * 32, token_of(secret, again), again)


@pytest.mark.parametrize("token", ["", ".", "1", "1.", ".a", "-1.a", "１.a", "1" * 20 + ".a", "1\n.a"])
def test_a_token_of_no_form_names_no_label(token: str) -> None:
    """Whatever stands in the address."""
    assert number_of(token) is None
