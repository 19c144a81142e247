"""A whole installation on one machine: equipment, broker, agent, gateway and pages, started and waited for.

What it starts is what a site runs; the equipment is simulated, and the broker is the embedded one unless a real one is
given.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cli.processes import Child, Family
from contract.errors import RetryLater, StartError
from contract.profile import ONLINE, ProfileLibrary
from contract.site import Site, load_site
from rules.model import load_packs
from simulators.ports import free_port

READY_S = 60.0
"""Everything must be up within this."""
GATEWAY, AGENT = "gateway", "shuiye-demo/edge-01"
"""The broker's users: the gateway and the agent of the demo's station."""


@dataclass(frozen=True)
class Broker:
    """A broker that runs already. passwords: of the users GATEWAY and AGENT."""

    port: int
    passwords: dict[str, str]


@dataclass(frozen=True)
class Plan:
    """What to start.

    story, seed: of the simulators; given: NAME=VALUE of the story's parameters; network: water of the town.
    agent: its site and id. speed: story seconds a second; rules wait accordingly less.
    overrides: durations and limits of rules; None: their delays by the speed.
    loop: the story begins anew when it ends. web_port: port of the pages; None: no pages.
    broker: a real one; None: the embedded one. history: the section `history` of the configuration.
    """

    story: str = "micro-station"
    seed: int = 1
    speed: float = 1.0
    loop: bool = False
    web_port: int | None = 8080
    broker: Broker | None = None
    history: dict[str, Any] = field(default_factory=lambda: {"kind": "embedded"})
    given: tuple[str, ...] = ()
    network: str = "district"
    agent: str = AGENT
    overrides: dict[str, dict[str, float]] | None = None


@dataclass(frozen=True)
class Installation:
    """An installation that is up. `simulators` takes `start` on stdin and tells its steps on stdout."""

    folder: Path
    site: Site
    truth: Path
    url: str
    passwords: dict[str, str]
    simulators: Child

    @property
    def data_dir(self) -> Path:
        """The gateway's folder."""
        return self.folder / "gateway"

    @property
    def config(self) -> Path:
        """The gateway's configuration file."""
        return self.folder / "gateway.yaml"


async def start_installation(family: Family, folder: Path, plan: Plan) -> Installation:
    """Start every part and wait until the gateway has heard every device.

    Raises:
        StartError: a part did not come up; the text has the end of its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    broker = plan.broker or await _start_embedded_broker(family, folder, plan.agent)
    simulators = await family.add(
        "simulators", "-m", "simulators", "--out", str(folder / "station"), "--story", plan.story,
        "--seed", str(plan.seed), "--speed", f"{plan.speed:.4f}", "--rule-speed", f"{plan.speed:.4f}",
        "--broker-port", str(broker.port), "--network", plan.network, *(["--loop"] if plan.loop else []),
        *(part for text in plan.given for part in ("--set", text)), keep=False,
    )  # fmt: skip
    ready = json.loads(await simulators.next_line(READY_S))
    site_file = Path(ready["site"])
    site = load_site(site_file, ProfileLibrary())
    web_port = free_port(plan.web_port) if plan.web_port is not None else 0
    _write_configuration(folder, plan, site, site_file, broker, ready["broker_port"], web_port)
    await family.add("gateway", "-m", "cli.main", "gateway", "run", "-c", str(folder / "gateway.yaml"))
    await family.add("edge", "-m", "cli.main", "edge", "run", "-c", str(folder / "agent.yaml"))
    if plan.web_port is not None:
        await family.add("web", "-m", "cli.main", "web", "run", "-c", str(folder / "gateway.yaml"))
    await _in_time(_until_heard(site, folder / "gateway"), "the gateway to hear every device", family.log_dir)
    url = f"http://127.0.0.1:{web_port}"
    if plan.web_port is not None:
        await _in_time(_until_serving(url), f"the pages at {url}", family.log_dir)
    passwords = _one_time_passwords(folder / "gateway")
    return Installation(folder, site, Path(ready["truth"]), url, passwords, simulators)


async def tell_steps(simulators: Child) -> AsyncIterator[dict[str, Any]]:
    """The story's steps (step, at_ms, zh, en) as they happen, until it is finished."""
    while not (told := json.loads(await simulators.lines.get())).get("finished"):
        if "step" in told:
            yield told


def story_length_s(story: str) -> float:
    """How long a story lasts at speed 1."""
    from simulators.story import load_story

    loaded = load_story(story)
    return float(loaded.length_s + loaded.tail_s)


async def _start_embedded_broker(family: Family, folder: Path, agent: str) -> Broker:
    """The embedded broker, with passwords made anew for this run; nothing has a default one."""
    broker = Broker(free_port(), {user: secrets.token_urlsafe(18) for user in (GATEWAY, agent)})
    users = folder / "users.json"
    _write_secret(users, json.dumps(broker.passwords))
    child = await family.add("broker", "-m", "cli.broker", str(broker.port), str(users))
    await child.next_line(READY_S)
    return broker


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text + "\n", "utf-8")


def _write_configuration(
    folder: Path, plan: Plan, site: Site, site_file: Path, broker: Broker, agent_port: int, web_port: int
) -> None:
    """The files a site would have; a faster story gets rules that wait accordingly less."""
    overrides = _shorter_delays(plan.speed) if plan.overrides is None else plan.overrides
    for user, name in ((GATEWAY, "gateway"), (plan.agent, "edge")):
        _write_secret(folder / f"{name}.secret", broker.passwords[user])
    agent = {
        "mqtt": {"port": agent_port, "username": plan.agent, "password_file": "edge.secret"},
        "agent": {
            "site_file": str(site_file), "agent_id": site.agents[0].id, "data_dir": "edge",
            "heartbeat_s": 2.0, "seal_ms": 200,
        },
    }  # fmt: skip
    gateway = {
        "mqtt": {"port": broker.port, "username": GATEWAY, "password_file": "gateway.secret"},
        "gateway": {
            "sites": [str(site_file)], "data_dir": "gateway",
            "rule_overrides": overrides,
        },
        "history": plan.history,
        "notify": _notify(plan),
        "web": {"port": web_port, "report_form": {"open": True}},
    }  # fmt: skip
    for name, content in (("agent", agent), ("gateway", gateway)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), "utf-8")


def _shorter_delays(speed: float) -> dict[str, dict[str, float]]:
    if speed == 1.0:
        return {}
    found = {}
    for rule in load_packs().values():
        delays = {"for_s": rule.for_s, "clear_for_s": rule.clear_for_s}
        found[rule.id] = {name: round(delay_s / speed, 3) for name, delay_s in delays.items() if delay_s}
    return {name: changes for name, changes in found.items() if changes}


def _notify(plan: Plan) -> dict[str, Any]:
    """The duty screen is told of everything, and its path is proven while somebody may sit before it."""
    return {
        "people": [{"id": "duty", "name": "值班室", "channels": [{"kind": "screen"}]}],
        "chains": [{"id": "duty", "steps": [{"after_s": 0, "people": ["duty"]}]}],
        "routes": [{"chain": "duty", "severities": ["fire", "critical", "warning"]}],
        # Who tries the demo has five minutes to find the button that turns the sound on.
        "proof": {"period_s": 600.0, "timeout_s": 300.0, "channels": plan.loop},
    }


async def _in_time(work: Coroutine[Any, Any, None], what: str, logs: Path) -> None:
    try:
        await asyncio.wait_for(work, READY_S)
    except TimeoutError as exc:
        raise StartError(f"waited {READY_S:.0f} s for {what}, in vain. The logs are in {logs}.") from exc


async def _until_heard(site: Site, data_dir: Path) -> None:
    """Wait until the gateway has a value of every device."""
    from gateway.control.client import SOCKET, ControlClient

    wanted = {f"{site.site}/{placed.entry.id}/{ONLINE}" for placed in site.placed()}
    while wanted:
        with contextlib.suppress(RetryLater):
            async with ControlClient(data_dir / SOCKET) as client:
                async for event in client.subscribe():
                    if event.event == "snapshot":
                        wanted -= {point for point, last in event.data["values"].items() if last[1] is not None}
                    elif event.event == "reading":
                        wanted -= {reading[0] for reading in event.data}
                    if not wanted:
                        return
        await asyncio.sleep(0.2)


async def _until_serving(url: str) -> None:
    """Wait until the pages answer."""
    import httpx

    async with httpx.AsyncClient() as client:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(f"{url}/healthz")).status_code == 200:
                    return
            await asyncio.sleep(0.1)


def _one_time_passwords(data_dir: Path) -> dict[str, str]:
    lines = (data_dir / "one-time-passwords.txt").read_text("utf-8").splitlines()
    pairs = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    return {pair[0]: pair[-1] for pair in pairs}
