"""How a command ends when something is wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from cli.processes import CONFIG_EXIT
from contract.errors import ConfigError, StartError, WeizhanError


@contextmanager
def errors() -> Iterator[None]:
    """What is wrong goes to stderr as its own text, without a traceback."""
    try:
        yield
    except (ConfigError, StartError) as exc:
        print(exc, file=sys.stderr, flush=True)
        raise typer.Exit(CONFIG_EXIT) from exc
    except WeizhanError as exc:
        print(exc, file=sys.stderr, flush=True)
        raise typer.Exit(1) from exc
