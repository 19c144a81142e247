"""The pages on the gateway itself instead of its stand-in: what the stand-in claims about the socket holds."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from pathlib import Path

from contract.messages import Reading
from contract.mqtt import MqttSettings
from gateway.app import open_gateway
from gateway.history.settings import EmbeddedSettings
from gateway.ledger.reader import LedgerReader
from gateway.ledger.store import FILE
from tests.web.station import SITE, Browser, Station, serving

NEW = "three short horns at noon"


async def test_a_first_sign_in_goes_through_the_gateway_and_is_audited(tmp_path: Path, free_port: int) -> None:
    """One-time password, new password, session, failed try and sign-out: each stands in the ledger."""
    station = Station.__new__(Station)
    station.data_dir = tmp_path / "d"
    station.site_file = tmp_path / "shuiye.yaml"
    station.site_file.write_text(SITE, "utf-8")
    settings = station.settings()
    async with open_gateway(settings, EmbeddedSettings(), MqttSettings(port=free_port)) as gateway:
        one_time = gateway.one_time_passwords["duty"]
        async with serving(station) as address, Browser(address) as browser:
            assert (await browser.sign_in("duty", "wrong")).status_code == 401
            assert (await browser.sign_in("duty", one_time)).headers["location"] == "/first-password"
            answer = await browser.submit("/first-password", "/first-password", password=NEW, again=NEW)
            assert answer.headers["location"] == "/"
            html = (await browser.get("/")).text
            assert "Not everything is seen" in html  # no agent was ever heard
            answer = await browser.submit("/", "/sign-out")
            assert answer.status_code == 303
            assert (await browser.get("/")).status_code == 303
    with LedgerReader(settings.data_dir / FILE) as ledger:
        user = ledger.user("duty")
        assert user is not None
        assert user.one_time_until_ms is None
        actions = [row.action for row in ledger.audit()]
    assert {"sign_in.failed", "user.set_password", "session.open", "session.close"} <= set(actions)


async def test_holds_drills_and_work_go_through_the_gateway(tmp_path: Path, free_port: int) -> None:
    """Each form is taken as it is sent, stands on its page, and is audited; what the gateway refuses is told."""
    station = Station.__new__(Station)
    station.data_dir = tmp_path / "d"
    station.site_file = tmp_path / "shuiye.yaml"
    station.site_file.write_text(SITE, "utf-8")
    settings = station.settings()
    async with open_gateway(settings, EmbeddedSettings(), MqttSettings(port=free_port)) as gateway:
        one_time = gateway.one_time_passwords["maintainer"]
        async with serving(station) as address, Browser(address) as browser:
            await browser.sign_in("maintainer", one_time)
            await browser.submit("/first-password", "/first-password", password=NEW, again=NEW)
            form = {"site": "shuiye", "scope": "panel-01", "reason": "walk test", "hours": "1"}
            assert (await browser.submit("/drills", "/drills", **form)).status_code == 303
            assert "DRILL" in (await browser.get("/")).text
            assert "0 of " in (await browser.get("/drills/1")).text
            assert (await browser.submit("/drills/1", "/drills/1/close", note="done")).status_code == 303
            assert "DRILL" not in (await browser.get("/")).text
            window = {"site": "shuiye", "scope": "pump-01", "reason": "bearings", "begin": "2020-01-01T00:00"}
            answer = await browser.submit("/maintenance", "/maintenance", **window, end="2090-01-01T00:00")
            assert answer.status_code == 422  # a window of decades is no window
            page = "/devices/shuiye/hydrant-02"
            out = {"subject": "shuiye/hydrant-02", "next": page}
            await browser.submit(page, "/service/take-out", **out, reason="valve is broken")
            assert "valve is broken" in (await browser.get("/alarms?show=held")).text
            await browser.submit(page, "/service/return", **out)
            await browser.submit(page, f"{page}/work", work="inspection", note="all well")
            assert "all well" in (await browser.get(page)).text
            answer = await browser.submit("/r/made-up-token", "/r/made-up-token")
            assert answer.status_code == 404
    with LedgerReader(settings.data_dir / FILE) as ledger:
        actions = {row.action for row in ledger.audit() if row.actor == "maintainer"}
    assert {"drill.open", "drill.close", "service.take_out", "service.return", "work.record"} <= actions


def listening() -> set[tuple[str, int]]:
    """(address, port) of every TCP socket of this process that waits for connections, as the kernel has them."""
    mine = set()
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one this loop itself has open
            mine.add(os.fstat(int(fd.name)).st_ino)
    found = set()
    for family, table in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        for line in Path(f"/proc/self/net/{table}").read_text("ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[9]) in mine:
                host, port = fields[1].split(":")
                words = [bytes.fromhex(host[n : n + 8])[::-1] for n in range(0, len(host), 8)]
                found.add((socket.inet_ntop(family, b"".join(words)), int(port, 16)))
    return found


async def test_nothing_listens_but_the_pages_on_this_machine(tmp_path: Path, free_port: int) -> None:
    """As docs/access.md lists: the gateway opens no port, the pages one, and that for this machine only."""
    station = Station.__new__(Station)
    station.data_dir = tmp_path / "d"
    station.site_file = tmp_path / "shuiye.yaml"
    station.site_file.write_text(SITE, "utf-8")
    before = listening()
    async with open_gateway(station.settings(), EmbeddedSettings(), MqttSettings(port=free_port)):
        assert listening() - before == set()
        assert stat.S_IMODE((station.data_dir / "control.sock").stat().st_mode) == 0o600
        async with serving(station) as address:
            assert listening() - before == {("127.0.0.1", int(address.rpartition(":")[2]))}


def test_a_reading_has_the_shape_the_stand_in_sends() -> None:
    """[point, observed_ms, value, quality]: the order of the wire."""
    assert Reading.__struct_fields__ == ("point", "observed_ms", "value", "quality")
