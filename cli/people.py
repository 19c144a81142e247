"""`weizhan people`: everything kept about one person, as a file; who they were, erased."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.failures import errors

app = typer.Typer(no_args_is_help=True, help="The people of the stations: their data, handed out or erased.")
Config = Annotated[Path, typer.Option("--config", "-c", help="Configuration file.")]
DEFAULT = Path("weizhan.yaml")
WIPED_S = 30.0
"""So long an erasure may take to be out of the log as well."""


@app.command("export")
def export(
    person: Annotated[int, typer.Argument(min=1, help="Number of the person.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write (JSON, for its owner only).")],
    config: Config = DEFAULT,
) -> None:
    """Write everything the ledger keeps of a person to a file; that it was handed out is audited."""
    with errors():
        found = asyncio.run(export_person(_data_dir(config), person))
        write_private(output, json.dumps(found, ensure_ascii=False, indent=2) + "\n")
    print(f"{output}: {len(found['records'])} records, {len(found['done'])} actions.")


@app.command("erase")
def erase(
    person: Annotated[int, typer.Argument(min=1, help="Number of the person; they must have left.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: Config = DEFAULT,
) -> None:
    """Erase name, telephone, numbers of certificates and PIN of a person for good; the record keeps the number."""
    if not yes:
        typer.confirm(f"Erase who person {person} is, for good?", abort=True)
    with errors():
        data_dir = _data_dir(config)
        wiped = asyncio.run(erase_person(data_dir, person))
    print(f"Person {person} is erased.")
    if not wiped:
        print("note: a reader still holds the ledger's log; the gateway wipes it as soon as it is let go.")
    for copy in old_copies(data_dir):
        print(f"note: {copy} is an older copy and may still name them; delete it when it is no longer needed.")


async def export_person(data_dir: Path, person: int) -> dict[str, Any]:
    """Everything kept of a person.

    Raises:
        RetryLater: the gateway is not running, so that the export could not be audited.
        ConfigError: nobody has this number.
    """
    from contract.errors import ConfigError
    from gateway.control.client import SOCKET, ControlClient
    from gateway.ledger.dossier import make_dossier
    from gateway.ledger.store import FILE

    async with ControlClient(data_dir / SOCKET) as gateway:
        connection = sqlite3.connect(f"file:{data_dir / FILE}?mode=ro", uri=True)
        try:
            found = make_dossier(connection, person)
        finally:
            connection.close()
        if found is None:
            raise ConfigError(f"person {person}: got a number nobody has.")
        await gateway.ask("exported", "local", what=f"person/{person}")
    return found


async def erase_person(data_dir: Path, person: int) -> bool:
    """Erase who a person is; whether the ledger's log is wiped as well by now.

    Raises:
        RetryLater: the gateway is not running. ConfigError: it refused, with the reason.
    """
    from contract.errors import ConfigError
    from gateway.control.client import SOCKET, ControlClient, ControlError

    async with ControlClient(data_dir / SOCKET) as gateway:
        try:
            await gateway.ask("person.erase", "local", id=person)
        except ControlError as exc:
            raise ConfigError(str(exc)) from exc
    for _ in range(int(WIPED_S / 0.25)):
        if not await asyncio.to_thread(_is_wiping, data_dir):
            return True
        await asyncio.sleep(0.25)
    return False


def _is_wiping(data_dir: Path) -> bool:
    from gateway.ledger.personal import WIPE
    from gateway.ledger.store import FILE

    connection = sqlite3.connect(f"file:{data_dir / FILE}?mode=ro", uri=True)
    try:
        return connection.execute("SELECT 1 FROM meta WHERE key = ?", (WIPE,)).fetchone() is not None
    finally:
        connection.close()


def old_copies(data_dir: Path) -> list[Path]:
    """Copies of the ledger that upgrades made: an erasure does not reach them."""
    from gateway.ledger.store import FILE

    return sorted(data_dir.glob(f"{FILE}.v*"))


def write_private(path: Path, text: str) -> None:
    """A file only its owner can read."""
    import os

    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        os.fchmod(fd, 0o600)
        file.write(text)


def _data_dir(config: Path) -> Path:
    from cli.settings import load_checked

    settings = load_checked(config, "web")
    assert settings.gateway is not None
    return settings.gateway.data_dir
