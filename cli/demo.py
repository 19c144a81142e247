"""`weizhan demo`: the whole product on one machine, with a simulated station and a story.

    simulators ──Modbus, printer──> edge ──link that a story can cut──> broker ──> gateway ──> web ──> a board
         └── truth.jsonl: what really was ──────────────────> report <── history, ledger, board ──┘

What it starts is what a site runs; only the broker (embedded) and the equipment (simulated) are stand-ins.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import signal
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from cli.processes import Child, Family
from contract.errors import RetryLater, StartError
from contract.profile import ONLINE, ProfileLibrary
from contract.site import Site, load_site
from rules.model import load_packs

READY_S = 60.0
"""Everything must be up within this."""
_console = Console(stderr=True, highlight=False)


@dataclass(frozen=True)
class DemoOptions:
    """seconds: fit the story into this, headless; None: play it at its own speed until interrupted."""

    seconds: int | None = None
    story: str = "micro-station"
    seed: int = 1
    port: int = 8080
    folder: Path | None = None


@dataclass(frozen=True)
class Installation:
    """A demo that is up. `simulators` takes `start` on stdin and tells its steps on stdout."""

    folder: Path
    site: Site
    truth: Path
    url: str
    passwords: dict[str, str]
    story_s: float
    simulators: Child
    data_dir: Path


async def run_demo(options: DemoOptions) -> dict[str, Any] | None:
    """Run the demo.

    Returns:
        The report when headless; None after an interactive run.

    Raises:
        StartError: a part did not come up; the text has the end of its log.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with contextlib.ExitStack() as folders:
        folder = options.folder
        if folder is None:
            folder = Path(folders.enter_context(tempfile.TemporaryDirectory(prefix="weizhan-demo-")))
        folder = folder.resolve()
        async with Family(folder / "logs", on_change=lambda text: _console.print(f"[yellow]{text}[/]")) as family:
            with _console.status("Starting broker, equipment, agent, gateway and pages …"):
                up = await _first_of(start_installation(family, folder, options), stop, family)
            if up is None:
                return None
            if options.seconds is None:
                await _interactive(up, stop, family)
                return None
            return await _first_of(_headless(up, options), stop, family)


async def start_installation(family: Family, folder: Path, options: DemoOptions) -> Installation:
    """Start every part and wait until the gateway has heard every device."""
    broker_port, web_port = free_port(), free_port(options.port)
    passwords = _write_secrets(folder)
    broker = await family.add("broker", "-m", "cli.broker", str(broker_port), str(folder / "users.json"))
    speed_args = []
    if options.seconds is not None:
        length_s = _story_length_s(options.story)
        speed_args = ["--speed", f"{max(1.0, length_s / options.seconds):.4f}"]
    simulators = await family.add(
        "simulators", "-m", "simulators", "--out", str(folder / "station"), "--story", options.story,
        "--seed", str(options.seed), "--broker-port", str(broker_port), *speed_args,
        *([] if options.seconds is not None else ["--loop"]), keep=False,
    )  # fmt: skip
    await broker.next_line(READY_S)
    ready = json.loads(await simulators.next_line(READY_S))
    site = load_site(Path(ready["site"]), ProfileLibrary())
    speed = float(speed_args[1]) if speed_args else 1.0
    _write_configuration(folder, site, Path(ready["site"]), broker_port, ready["broker_port"], web_port, speed)
    assert passwords
    await family.add("gateway", "-m", "cli.main", "gateway", "run", "-c", str(folder / "gateway.yaml"))
    await family.add("edge", "-m", "cli.main", "edge", "run", "-c", str(folder / "agent.yaml"))
    await family.add("web", "-m", "cli.main", "web", "run", "-c", str(folder / "gateway.yaml"))
    data_dir = folder / "gateway"
    await _until_heard(site, data_dir)
    url = f"http://127.0.0.1:{web_port}"
    await _until_serving(url)
    return Installation(
        folder, site, Path(ready["truth"]), url, _one_time_passwords(data_dir), ready["story_s"], simulators, data_dir
    )


async def _interactive(up: Installation, stop: asyncio.Event, family: Family) -> None:
    from rich.table import Table

    table = Table(
        title="一次性密码，首次登录后自行设定 · one-time passwords, choose your own at first sign-in",
        title_justify="left",
    )
    table.add_column("用户 user", style="bold")
    table.add_column("密码 password")
    for name, password in up.passwords.items():
        table.add_row(name, password)
    _console.print(f"\n[bold]微站 Weizhan[/]  {up.url}/\n")
    _console.print(table)
    _console.print(
        f"\n模拟站点与剧情已开始 · the simulated station and its story run.  日志 logs: {up.folder / 'logs'}"
    )
    _console.print("Ctrl-C 结束 · ends it.\n")
    up.simulators.say("start")
    telling = asyncio.create_task(_tell_steps(up.simulators), name="tell story")
    waits = [asyncio.create_task(stop.wait()), asyncio.create_task(family.failed.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (telling, *waits):
            task.cancel()
    if family.failed.is_set():
        raise StartError(family.failure)


async def _headless(up: Installation, options: DemoOptions) -> dict[str, Any]:
    from cli.board import Board
    from cli.report import make_report

    async with Board(up.url, "duty", up.passwords["duty"]) as board:
        up.simulators.say("start")
        await _tell_steps(up.simulators)
        return await make_report(up.truth, up.data_dir, up.site.site, board.seen, story=options.story)


async def _tell_steps(simulators: Child) -> None:
    """Print the story's steps as they happen, until it is finished."""
    while True:
        told = json.loads(await simulators.lines.get())
        if told.get("finished"):
            return
        if step := told.get("step"):
            say = step if isinstance(step, str) else f"{step.get('zh', '')}  {step.get('en', '')}"
            _console.print(f"[dim]{told.get('at', '')}[/] {say}")


async def _first_of(work: Any, stop: asyncio.Event, family: Family) -> Any:
    """The result of `work`, unless the person stops it (None) or a part needs a person (StartError)."""
    task = asyncio.ensure_future(work)
    others = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(family.failed.wait())]
    try:
        await asyncio.wait([task, *others], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if family.failed.is_set():
            raise StartError(family.failure)
        return None
    finally:
        for other in (task, *others):
            other.cancel()
        await asyncio.gather(task, *others, return_exceptions=True)


def free_port(wanted: int = 0) -> int:
    """A free loopback port: the wanted one, or one the system chooses when it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise StartError("127.0.0.1: got no free port.")


def _write_secrets(folder: Path) -> dict[str, str]:
    """Passwords for the broker's users, made anew for this run; nothing has a default one."""
    folder.mkdir(parents=True, exist_ok=True)
    passwords = {"gateway": secrets.token_urlsafe(18), "edge": secrets.token_urlsafe(18)}
    for name, password in passwords.items():
        path = folder / f"{name}.secret"
        path.touch(mode=0o600)
        path.write_text(password + "\n", "utf-8")
    users = folder / "users.json"
    users.touch(mode=0o600)
    users.write_text(json.dumps({"gateway": passwords["gateway"], "shuiye-demo/edge-1": passwords["edge"]}), "utf-8")
    return passwords


def _write_configuration(
    folder: Path, site: Site, site_file: Path, broker_port: int, agent_port: int, web_port: int, speed: float
) -> None:
    """The files a site would have; a faster story gets rules that wait accordingly less."""
    agent = site.agents[0].id
    overrides = {}
    if speed > 1.0:
        for rule in load_packs().values():
            changes = {"for_s": rule.for_s / speed, "clear_for_s": rule.clear_for_s / speed}
            overrides[rule.id] = {name: round(value, 3) for name, value in changes.items() if value}
    _write(
        folder / "agent.yaml",
        {
            "mqtt": {
                "port": agent_port, "username": f"{site.site}/{agent}", "password_file": "edge.secret",
            },
            "agent": {
                "site_file": str(site_file), "agent_id": agent, "data_dir": "edge", "heartbeat_s": 2.0, "seal_ms": 200,
            },
        },
    )  # fmt: skip
    _write(
        folder / "gateway.yaml",
        {
            "mqtt": {"port": broker_port, "username": "gateway", "password_file": "gateway.secret"},
            "gateway": {
                "sites": [str(site_file)], "data_dir": "gateway",
                "rule_overrides": {name: changes for name, changes in overrides.items() if changes},
            },
            "web": {"port": web_port},
        },
    )  # fmt: skip


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), "utf-8")


async def _until_heard(site: Site, data_dir: Path) -> None:
    """Wait until the gateway has a value of every device."""
    from gateway.control.client import SOCKET, ControlClient

    wanted = {f"{site.site}/{placed.entry.id}/{ONLINE}" for placed in site.placed()}
    heard: set[str] = set()
    async with asyncio.timeout(READY_S) as limit:
        while not wanted <= heard:
            with contextlib.suppress(RetryLater):
                async with ControlClient(data_dir / SOCKET) as client:
                    async for event in client.subscribe():
                        if event.event == "snapshot":
                            heard |= {p for p, v in event.data["values"].items() if v[1] is not None}
                        elif event.event == "reading":
                            heard |= {reading[0] for reading in event.data}
                        if wanted <= heard:
                            return
            await asyncio.sleep(0.2)
    if limit.expired():
        raise StartError(f"the gateway has not heard {', '.join(sorted(wanted - heard))} within {READY_S:.0f} s.")


async def _until_serving(url: str) -> None:
    """Wait until the pages answer."""
    import httpx

    async with asyncio.timeout(READY_S), httpx.AsyncClient() as client:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(f"{url}/healthz")).status_code == 200:
                    return
            await asyncio.sleep(0.1)


def _one_time_passwords(data_dir: Path) -> dict[str, str]:
    lines = (data_dir / "one-time-passwords.txt").read_text("utf-8").splitlines()
    pairs = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    return {pair[0]: pair[-1] for pair in pairs}


def _story_length_s(story: str) -> float:
    """How long a story lasts at speed 1."""
    from simulators.story import load_story

    loaded = load_story(story)
    return float(loaded.length_s + loaded.tail_s)
