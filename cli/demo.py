"""`weizhan demo`: the whole product on one machine, with a simulated station and a story.

simulators ──Modbus, printer──> edge ──link that a story can cut──> broker ──> gateway ──> web ──> a board
     └── truth.jsonl: what really was ──────────────────> report <── history, ledger, board ──┘
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cli.demo_crew import man_station
from cli.demo_plans import hang_plans
from cli.installation import Installation, Plan, start_installation, story_length_s, tell_steps
from cli.processes import Child, Family
from contract.errors import StartError

_console = Console(stderr=True, highlight=False)


@dataclass(frozen=True)
class DemoOptions:
    """seconds: fit the story into this, headless; None: play it at its own speed until interrupted."""

    seconds: int | None = None
    story: str = "micro-station"
    seed: int = 1
    port: int = 8080
    folder: Path | None = None

    @property
    def plan(self) -> Plan:
        """What to start."""
        headless = self.seconds is not None
        speed = max(1.0, story_length_s(self.story) / self.seconds) if self.seconds else 1.0
        return Plan(self.story, self.seed, speed, loop=not headless, web_port=0 if headless else self.port)


async def run_demo(options: DemoOptions) -> dict[str, Any] | None:
    """Run the demo.

    Returns:
        The report when headless; None after an interactive run, or when interrupted.

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
        async with Family(
            folder.resolve() / "logs", on_change=lambda text: _console.print(f"[yellow]{text}[/]")
        ) as family:
            with _console.status("Starting equipment, broker, agent, gateway and pages …"):
                up = await unless_stopped(start_installation(family, folder.resolve(), options.plan), stop, family)
            if up is None:
                return None
            await man_station(up.data_dir, up.site)
            await hang_plans(up.data_dir, up.site)
            work = _watch(up) if options.seconds is None else _measure(up, options.story)
            outcome: dict[str, Any] | None = await unless_stopped(work, stop, family)
            return outcome


def tell_address(up: Installation) -> None:
    """Say where the pages are, who may sign in with which one-time password, and where the logs lie."""
    table = Table(
        title="一次性密码，首次登录后自设密码 · one-time passwords; choose your own at first sign-in",
        title_justify="left",
    )
    table.add_column("用户 user", style="bold")
    table.add_column("密码 password")
    for name, password in up.passwords.items():
        table.add_row(name, password)
    _console.print(f"\n[bold]微站 Weizhan[/]  {up.url}/\n")
    _console.print(table)
    _console.print(f"\n日志 logs: {up.folder / 'logs'}    Ctrl-C 结束 · ends it.\n")


async def _watch(up: Installation) -> None:
    """Say where it is and tell the story, for ever."""
    tell_address(up)
    up.simulators.say("start")
    while True:
        await _tell(up.simulators)


async def _measure(up: Installation, story: str) -> dict[str, Any]:
    """Play the story once and judge what the product made of it."""
    from cli.board import Board
    from cli.report import make_report
    from cli.settings import load_settings
    from gateway.history import open_history

    settings = load_settings(up.config)
    async with Board(up.url, "duty", up.passwords["duty"]) as board:
        up.simulators.say("start")
        await _tell(up.simulators)
        up.simulators.say("stop")
        async with open_history(settings.history, up.data_dir, read_only=True) as history:
            return await make_report(up.truth, up.data_dir, history, up.site.site, board.seen, story=story)


async def _tell(simulators: Child) -> None:
    async for step in tell_steps(simulators):
        tell_step(step)


def tell_step(step: dict[str, Any]) -> None:
    """Say that the story reached a step."""
    clock = datetime.fromtimestamp(step["at_ms"] / 1000).astimezone().strftime("%H:%M:%S")
    _console.print(f"[dim]{clock}[/]  {step['zh']}  [dim]{step['en']}[/]")


async def unless_stopped(work: Coroutine[Any, Any, Any], stop: asyncio.Event, family: Family) -> Any:
    """The result of `work`, unless a person stops it (None) or a part needs a person (StartError)."""
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
