"""Probes and figures: alive, ready with reasons, and what Prometheus reads."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from types import SimpleNamespace

import httpx

from contract.mqtt import MqttSettings
from gateway.app import open_gateway
from gateway.history.settings import EmbeddedSettings
from gateway.ledger.store import FILE
from gateway.web.latency import Latency
from gateway.web.metrics import METRICS
from tests.web.station import SITE, Browser, Station, serving

NEW = "a new password 站 for the test"
_LINE = re.compile(r'^(weizhan_[a-z_]+?)(?:_bucket|_sum|_count)?(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [0-9.e+-]+$')


async def test_it_is_ready_while_the_ledger_is_read_and_the_gateway_answers(station: Station) -> None:
    """Each part that is missing is named; alive it is all the time, and asked without a sign-in."""
    async with serving(station) as address, httpx.AsyncClient(base_url=address) as probe:
        async with station.gateway():
            async with asyncio.timeout(10):
                while (await probe.get("/readyz")).status_code != 200:
                    await asyncio.sleep(0.05)
        async with asyncio.timeout(10):
            while (found := await probe.get("/readyz")).status_code == 200:
                await asyncio.sleep(0.05)
        assert found.status_code == 503
        assert {c["part"]: c["ok"] for c in found.json()["checks"]} == {"ledger": True, "gateway": False}
        (station.data_dir / FILE).rename(station.data_dir / "away")
        parts = {c["part"]: c["reason"] for c in (await probe.get("/readyz")).json()["checks"]}
        (station.data_dir / "away").rename(station.data_dir / FILE)
        assert parts["gateway"] == "the gateway does not answer"
        assert (await probe.get("/healthz")).text == "ok\ngateway not answering\n"


async def test_figures_are_read_by_those_who_maintain_when_the_gateway_runs(tmp_path: Path, free_port: int) -> None:
    """In Prometheus' format, what is documented and nothing else; nobody else is told."""
    station = Station.__new__(Station)
    station.data_dir = tmp_path / "d"
    station.site_file = tmp_path / "shuiye.yaml"
    station.site_file.write_text(SITE, "utf-8")
    async with open_gateway(station.settings(), EmbeddedSettings(), MqttSettings(port=free_port)) as gateway:
        one_time = gateway.one_time_passwords
        async with serving(station) as address, Browser(address) as browser:
            assert (await browser.get("/metrics")).status_code in (303, 401)
            await browser.sign_in("maintainer", one_time["maintainer"])
            await browser.submit("/first-password", "/first-password", password=NEW, again=NEW)
            answer = await browser.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    odd = [line for line in lines if not _LINE.match(line)]
    names = {match.group(1) for line in lines if (match := _LINE.match(line))}
    assert (odd, names - METRICS.keys()) == ([], set())
    per_something = {n for n in METRICS if n.startswith(("weizhan_agent_", "weizhan_messages_dropped"))}
    assert METRICS.keys() - names <= per_something | {"weizhan_notifications_total"}
    values = {line.split(" ")[0]: float(line.split(" ")[1]) for line in lines}
    assert values["weizhan_gateway_connected"] == 1
    passed = values["weizhan_messages_passed_total"] + values["weizhan_messages_pending"]
    assert values["weizhan_messages_received_total"] == passed


def test_an_alarm_is_counted_once_and_not_when_it_was_told_late() -> None:
    """The histogram is of what was in time to be told: from measured to told."""
    latency = Latency()
    for number, took_ms, late in ((1, 200, False), (1, 900, False), (2, 90_000, True), (3, 3_000, False)):
        told = SimpleNamespace(id=number, retrospective=late, active=True, raised_ms=1_000_000)
        latency.told(told, 1_000_000 + took_ms)
    lines = {(s.suffix, s.labels.get("le", "")): s.value for s in latency.samples()}
    assert (lines["_bucket", "0.25"], lines["_bucket", "2.5"], lines["_bucket", "+Inf"]) == (1, 1, 2)
    assert (lines["_count", ""], lines["_sum", ""]) == (2, 3.2)
