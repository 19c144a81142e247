"""The whole API asked with generated requests as each role: nothing outside its description comes back."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from bench.api_fuzz import SignedIn
from contract.mqtt import MqttSettings
from gateway.app import open_gateway
from gateway.history.settings import EmbeddedSettings
from gateway.web.access import ROLES
from tests.web.station import SITE, Browser, Station, serving

NEW = "a new password 站 for the test"


async def test_no_answer_lies_outside_the_description_when_asked_as_each_role(tmp_path: Path, free_port: int) -> None:
    """No error of the server, no status, content type or body that is not described."""
    station = Station.__new__(Station)
    station.data_dir = tmp_path / "d"
    station.site_file = tmp_path / "shuiye.yaml"
    station.site_file.write_text(SITE, "utf-8")
    async with open_gateway(station.settings(), EmbeddedSettings(), MqttSettings(port=free_port)) as gateway:
        passwords = gateway.one_time_passwords
        async with serving(station) as address:
            people = []
            for role in ROLES:
                async with Browser(address) as browser:
                    await browser.sign_in(role, passwords[role])
                    await browser.submit("/first-password", "/first-password", password=NEW, again=NEW)
                    people.append(SignedIn(role, dict(browser.cookies), await browser.csrf()))
            asked = {"address": address, "people": [p._asdict() for p in people], "examples": 2, "seed": 1}
            command = (sys.executable, "-W", "ignore", "-m", "bench.api_fuzz")
            fuzz = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
            told, _ = await fuzz.communicate(json.dumps(asked).encode())
    found = json.loads(told)
    assert found["faults"] == {}
    assert found["operations"] > 80
    assert found["answers"].get("200", 0) > 100, found["answers"]
