"""A large station for the benchmarks of the pages: a real gateway here, the web process as a process of its own.

Agents are not run: their messages are handed to the pipeline as the subscriber hands them, so that the broker and the
agents, which run elsewhere, take nothing of the machine that is measured.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import yaml

from bench.load import NORMAL, Plan, lines_of, plan_site, write_site
from bench.paper_rows import write_rows
from contract.messages import AgentState, Batch, Lane, Reading, encode
from contract.mqtt import MqttSettings
from contract.topics import DEFAULT_ROOT, topic
from gateway.app import Gateway, open_gateway
from gateway.history.settings import EmbeddedSettings
from gateway.ingest.door import Arrival
from gateway.settings import GatewaySettings

SEALED = 500
"""Readings a batch."""
ROLES = ("duty", "maintainer", "inspector", "administrator")
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


class SignedIn(NamedTuple):
    """A person signed in: their role, cookies and CSRF token."""

    role: str
    cookies: dict[str, str]
    csrf: str


class WebStation:
    """What a benchmark works with. address: of the web process, pid: its number."""

    def __init__(self, gateway: Gateway, plan: Plan, address: str, pid: int, data_dir: Path) -> None:
        self.gateway, self.plan, self.address, self.pid, self.data_dir = gateway, plan, address, pid, data_dir
        self._seqs: dict[tuple[str, str], int] = {}
        self.passwords = dict(gateway.one_time_passwords)

    async def say(self, agent: str, readings: list[Reading], lane: Lane = "telemetry") -> None:
        """Hand over a batch; waits while the pipeline's queue is full."""
        seq = self._seqs[agent, lane] = self._seqs.get((agent, lane), 0) + 1
        now_ms = time.time_ns() // 1_000_000
        batch = Batch(
            site=self.plan.site, agent=agent, epoch="e", lane=lane, seq=seq, oldest=1, sent_ms=now_ms, readings=readings
        )
        arrival = Arrival(topic(DEFAULT_ROOT, self.plan.site, agent, lane), encode(batch), now_ms)
        while not self.gateway.pipeline.offer(arrival):  # noqa: ASYNC110  # it offers no event
            await asyncio.sleep(0.01)

    async def fill(self) -> None:
        """Every agent is there and every point has a good value of now."""
        now_ms = time.time_ns() // 1_000_000
        for agent, ids in self.plan.device_ids.items():
            state = AgentState(
                site=self.plan.site, agent=agent, epoch="e", online=True, sent_ms=now_ms, heartbeat_s=3600
            )
            where = f"{DEFAULT_ROOT}/{self.plan.site}/{agent}/state"
            assert self.gateway.pipeline.offer(Arrival(where, encode(state), now_ms, True))
            readings = [
                Reading(f"line-{agent}-line-{n}/online", now_ms, True) for n in range(1, len(lines_of(ids)) + 1)
            ]
            for device in ids:
                readings.append(Reading(f"{device}/online", now_ms, True))
                readings += [Reading(f"{device}/{name}", now_ms, _normal(name)) for name in self.plan.points]
            for at in range(0, len(readings), SEALED):
                await self.say(agent, readings[at : at + SEALED])
        while self.gateway.pipeline.status()["pending"]:  # noqa: ASYNC110  # it offers no event
            await asyncio.sleep(0.05)

    async def sign_in(self, role: str) -> SignedIn:
        """As a person does: the one-time password, then one of their own."""
        async with httpx.AsyncClient(base_url=self.address, timeout=60) as client:
            token = token_in(await client.get("/sign-in"))
            await client.post("/sign-in", data={"name": role, "password": self.passwords[role], "csrf": token})
            own = secrets.token_urlsafe(15)
            token = token_in(await client.get("/first-password"))
            await client.post("/first-password", data={"password": own, "again": own, "csrf": token})
            session = (await client.get("/api/v1/session")).raise_for_status().json()
            return SignedIn(role, dict(client.cookies), session["csrf"])


def _normal(name: str) -> float | bool:
    return NORMAL[name][0] if name in NORMAL else False


def token_in(page: httpx.Response) -> str:
    """The CSRF token of a page's form."""
    found = _CSRF.search(page.text)
    assert found is not None, f"{page.url}: {page.status_code} without a form"
    return found[1]


@asynccontextmanager
async def web_station(
    folder: Path,
    devices: int,
    agents: int = 5,
    streams: int = 250,
    web_settings: dict[str, Any] | None = None,
    papers: tuple[int, int] = (0, 0),
) -> AsyncIterator[WebStation]:
    """A station of that many devices in `folder`, its gateway and its web process, until left.

    papers: work orders and hazards that stand in its ledger, and how many of each are open.
    """
    plan = plan_site(devices, agents)
    wanted = {
        agent: ids[: -(-devices // agents)] for agent, ids in plan_site(devices * len(plan.points), agents)[1].items()
    }
    plan = plan._replace(device_ids=wanted)
    site = folder / "bench.yaml"
    write_site(plan, site, [20_000 + n for n in range(sum(len(lines_of(ids)) for ids in wanted.values()))])
    data_dir = folder / "data"
    if papers[0]:
        write_rows(data_dir, plan.site, *papers)
    settings = GatewaySettings(sites=[site], data_dir=data_dir)
    config = folder / "weizhan.yaml"
    record = {
        "gateway": {"sites": [str(site)], "data_dir": str(data_dir)},
        "web": {
            "port": 0,
            "language": "en",
            "stream_clients": streams,
            "session_hours": 744,
            "stream_clients_session": streams,
            "stream_clients_account": streams,
            **(web_settings or {}),
        },
    }
    config.write_text(yaml.safe_dump(record), "utf-8")
    async with open_gateway(settings, EmbeddedSettings(kind="embedded"), MqttSettings(port=1)) as gateway:
        command = (str(Path(sys.executable).with_name("weizhan")), "web", "run", "--config", str(config))
        web = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=dict(os.environ))
        assert web.stdout is not None
        try:
            async with asyncio.timeout(60):
                address = (await web.stdout.readline()).decode().strip()
            yield WebStation(gateway, plan, address, web.pid, data_dir)
        finally:
            web.terminate()
            await web.wait()


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
