"""What a first start makes secret: another one at each installation, and the way in dies in time."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from contract.mqtt import MqttSettings
from gateway.app import Gateway, open_gateway
from gateway.history.settings import EmbeddedSettings
from gateway.ledger.reader import LedgerReader
from gateway.ledger.secret import load_secret
from gateway.ledger.store import FILE
from gateway.users import FILE as PASSWORDS
from gateway.users import ONE_TIME_MS, ROLES
from tests.web.office import NEVER_PORT
from tests.web.station import SITE, Browser, Station, now_ms, serving

NEW = "three short horns at noon"
MINUTE_MS = 60_000
DEFAULTS = ("admin", "administrator", "password", "weizhan", "12345678", "duty", "root", "")


@asynccontextmanager
async def installation(folder: Path, ago_ms: int = 0) -> AsyncIterator[tuple[Gateway, Station]]:
    """A gateway that was started for the first time `ago_ms` ago."""
    station = Station.__new__(Station)
    station.data_dir, station.site_file = folder / "d", folder / "shuiye.yaml"
    folder.mkdir()
    station.site_file.write_text(SITE, "utf-8")
    mqtt = MqttSettings(port=NEVER_PORT)
    async with open_gateway(station.settings(), EmbeddedSettings(), mqtt, now_ms=lambda: now_ms() - ago_ms) as gateway:
        yield gateway, station


async def secrets_of(gateway: Gateway, station: Station) -> dict[str, bytes]:
    """Everything in the data folder that is a secret, by what it is."""
    found = {f"password of {role}": text.encode() for role, text in gateway.one_time_passwords.items()}
    with LedgerReader(station.data_dir / FILE) as ledger:
        found |= {f"hash of {user.name}": user.password_hash.encode() for user in ledger.users()}
        found["secret of the ledger"] = ledger._ask(load_secret)
    for path in station.data_dir.rglob("*"):
        if path.is_file() and ("key" in path.name or "secret" in path.name or path.name == PASSWORDS):
            assert path.stat().st_mode & 0o077 == 0, path
            found[path.name] = path.read_bytes()
    return found


async def test_two_installations_share_no_secret_and_none_has_a_password_that_is_guessed(tmp_path: Path) -> None:
    """Passwords, hashes with their salts, the ledger's own secret, keys in files; nothing that ships opens a door."""
    async with installation(tmp_path / "a") as one, installation(tmp_path / "b") as two:
        first, second = await secrets_of(*one), await secrets_of(*two)
        assert first.keys() == second.keys()
        assert {f"password of {role}" for role in ROLES} | {"secret of the ledger", PASSWORDS} <= first.keys()
        assert set(first.values()) & set(second.values()) == set()
        assert len({value for name, value in first.items() if name.startswith("password")}) == len(ROLES)
        assert all(re.fullmatch(rb"[a-z2-9]{4}(-[a-z2-9]{4}){2}", first[f"password of {role}"]) for role in ROLES)
        async with serving(one[1]) as address:
            for word in DEFAULTS[:4]:
                async with Browser(address) as browser:
                    assert (await browser.sign_in("administrator", word)).status_code == 401, word
            async with Browser(address) as browser:  # nor does the other installation's
                assert (await browser.sign_in("inspector", two[0].one_time_passwords["inspector"])).status_code == 401


async def test_a_one_time_password_is_dead_once_it_was_used(tmp_path: Path) -> None:
    """For whoever used it and for everybody else who has read it; the others' still work."""
    async with (
        installation(tmp_path / "a") as (gateway, station),
        serving(station) as address,
        Browser(address) as one,
        Browser(address) as two,
    ):
        word = gateway.one_time_passwords["duty"]
        assert (await one.sign_in("duty", word)).headers["location"] == "/first-password"
        assert (await one.submit("/first-password", "/first-password", password=NEW, again=NEW)).status_code == 303
        for browser in (one, two):
            browser.cookies.clear()
            assert (await browser.sign_in("duty", word)).status_code == 401
        other = gateway.one_time_passwords["maintainer"]
        assert (await two.sign_in("maintainer", other)).headers["location"] == "/first-password"


@pytest.mark.parametrize(("ago_ms", "works"), [(-5 * MINUTE_MS, True), (5 * MINUTE_MS, False)], ids=["23:55", "24:05"])
async def test_a_one_time_password_is_dead_after_a_day(tmp_path: Path, ago_ms: int, works: bool) -> None:
    """It is told that it expired, and leads nowhere."""
    async with (
        installation(tmp_path / "a", ONE_TIME_MS + ago_ms) as (gateway, station),
        serving(station) as address,
        Browser(address) as browser,
    ):
        answer = await browser.sign_in("duty", gateway.one_time_passwords["duty"])
        if works:
            assert answer.headers["location"] == "/first-password"
        else:
            assert (answer.status_code, "has expired" in answer.text) == (403, True)
            assert (await browser.get("/first-password")).headers["location"] == "/sign-in"
