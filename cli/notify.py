"""`weizhan notify`: what a person at the machine may ask of the ways to people."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from cli.failures import errors

app = typer.Typer(no_args_is_help=True, help="The ways to people.")


@app.callback()
def _group() -> None:
    """The ways to people."""


@app.command("test")
def notify_test(
    person: Annotated[str, typer.Argument(help="Who is to get a marked test message.")],
    channel: Annotated[str | None, typer.Argument(help="By which way only; all of them by default.")] = None,
    config: Annotated[Path, typer.Option("--config", "-c", help="Configuration file.")] = Path("weizhan.yaml"),
) -> None:
    """Send a person a marked test message and say what came back. The gateway need not run."""
    from cli.notify_send import send_tests
    from cli.settings import load_checked

    with errors():
        settings = load_checked(config, "gateway").notify
        lines = asyncio.run(send_tests(settings, person, channel))
    for _, line in lines:
        print(line)
    if not all(good for good, _ in lines):
        raise typer.Exit(1)
