"""`weizhan backup`: make, list, check and restore."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.failures import errors

app = typer.Typer(no_args_is_help=True, help="Backups of ledger, history, photos, plans and configuration.")
Config = Annotated[Path, typer.Option("--config", "-c", help="Configuration file.")]
DEFAULT = Path("weizhan.yaml")
Key = Annotated[
    Path | None, typer.Option("--key", help="File of the key it was made with; that of the configuration by default.")
]
WithoutKey = Annotated[
    bool,
    typer.Option(
        "--without-key", help="The key is lost: nobody can tell who made the backup, and links and codes are made anew."
    ),
]


@app.command("make")
def make(config: Config = DEFAULT) -> None:
    """Make a backup now. A running gateway makes it and goes on meanwhile; without one it is made here."""
    from cli.settings import load_checked

    with errors():
        settings = load_checked(config, "web")
        assert settings.gateway is not None
        print(asyncio.run(_make(settings, config)))


@app.command("list")
def list_backups(config: Config = DEFAULT) -> None:
    """The backups there are, oldest first."""
    from cli.settings import load_checked
    from gateway.backup.archive import open_archive, read_manifest
    from gateway.backup.sealing import load_key

    with errors():
        settings = load_checked(config, "web")
        assert settings.gateway is not None
        gateway = settings.gateway
        files = sorted(gateway.backup.folder_in(gateway.data_dir).glob("*.zip"))
        key = load_key(gateway.backup.key_in(gateway.data_dir)) if files else b""
        for path in files:
            with open_archive(path) as archive:
                found = read_manifest(archive, key)
            print(
                f"{path}  {_stamp(found.covers_ms)}  {path.stat().st_size / 2**20:.1f} MiB  {len(found.files)} files  "
                f"head {found.head}:{found.head_hash[:12]}…"
            )
        if not files:
            print("No backup was made yet.")


@app.command("verify")
def verify(file: Annotated[Path, typer.Argument(help="The backup.")], key: Key = None, without_key: WithoutKey = False,
           config: Config = DEFAULT) -> None:  # fmt: skip
    """Read a backup through: signature, every file, the audit chain of its ledger and every row that holds."""
    from gateway.backup.restore import check_backup

    with errors():
        found = check_backup(file, _key(key, without_key, config), _progress())
    print(
        f"{file}: whole. Everything committed before {_stamp(found.covers_ms)} is in it. "
        f"Head: {found.head}:{found.head_hash}"
    )


@app.command("restore")
def restore(file: Annotated[Path, typer.Argument(help="The backup.")], key: Key = None, without_key: WithoutKey = False,
            config: Config = DEFAULT,
            folder: Annotated[Path | None, typer.Option(help="Data folder; by default that of --config.")] = None,
            ) -> None:  # fmt: skip
    """Put a backup in the place of the data folder; what was there is set aside. The gateway must not run."""
    from gateway.backup.restore import restore_backup

    with errors():
        target = folder or _gateway(config).data_dir
        done = restore_backup(file, target, _key(key, without_key, config), _progress())
    print(f"{target}: restored as of {_stamp(done.manifest.covers_ms)}.")
    if done.aside is not None:
        print(f"What was there is in {done.aside}; delete it once all is well.")
    print(f"The configuration of the backup is in {target / 'restored-configuration'}; nothing of it is in force.")
    if done.manifest.history != "embedded":
        print("The history is on a server of its own and was not in the backup.")


@app.command("key")
def show_key(config: Config = DEFAULT) -> None:
    """Print the key of the backups, to be kept apart from them: on paper, or in a safe."""
    from gateway.backup.sealing import load_key

    with errors():
        gateway = _gateway(config)
        print(load_key(gateway.backup.key_in(gateway.data_dir), make=True).hex())


def _gateway(config: Path) -> Any:
    from cli.settings import load_settings
    from contract.errors import ConfigError

    gateway = load_settings(config).gateway
    if gateway is None:
        raise ConfigError(f"{config}:1: gateway: got nothing, want a section. Name another file with --config.")
    return gateway


def _key(key: Path | None, without: bool, config: Path) -> bytes | None:
    from gateway.backup.sealing import load_key

    if without:
        return None
    if key is not None:
        return load_key(key)
    gateway = _gateway(config)
    return load_key(gateway.backup.key_in(gateway.data_dir))


async def _make(settings: Any, config: Path) -> str:
    """Have the gateway make one; without a gateway make it here."""
    from contract.errors import RetryLater
    from gateway.control.client import SOCKET, ControlClient
    from gateway.ledger.reader import LedgerReader
    from gateway.ledger.store import FILE

    gateway = settings.gateway
    folder = gateway.backup.folder_in(gateway.data_dir)
    if not (gateway.data_dir / SOCKET).exists():
        return await asyncio.to_thread(_make_here, settings, config, folder)
    from gateway.backup.register import BACKUP, RUNNING

    show = _progress()
    async with ControlClient(gateway.data_dir / SOCKET) as client:
        number = (await client.ask("backup.make", "local"))["id"]
        with LedgerReader(gateway.data_dir / FILE) as ledger:
            while (row := ledger.entry(BACKUP, number)) is None or row.state == RUNNING:
                told = (await client.ask("status", "local"))["backup"]
                show(told["done"], told["total"] or None)
                await asyncio.sleep(0.3)
    if row.why:
        raise RetryLater(f"backup {number}: {row.why}")
    return f"{folder / row.file}: everything committed before {_stamp(row.covers_ms or 0)} is in it."


def _make_here(settings: Any, config: Path, folder: Path) -> str:
    import os

    from gateway.backup.make import Source, make_backup
    from gateway.backup.sealing import load_key
    from gateway.backup.service import configuration_files
    from gateway.ledger.store import lock_folder

    gateway = settings.gateway
    lock = lock_folder(gateway.data_dir)
    try:
        history = "embedded" if settings.history.kind == "embedded" else "elsewhere"
        source = Source(gateway.data_dir, tuple(configuration_files(gateway, config)), history)
        key = load_key(gateway.backup.key_in(gateway.data_dir), make=True)
        name = f"weizhan-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-local.zip"
        made = make_backup(source, folder, name, key, "local", _progress(), lambda: time.time_ns() // 1_000_000)
    finally:
        os.close(lock)
    return f"{made.path}: everything is in it."


def _progress() -> Callable[[int, int | None], None]:
    """Tells a person at a terminal how far it is; nobody else."""
    last = [0.0]

    def told(done: int, total: int | None) -> None:
        if sys.stderr.isatty() and time.monotonic() - last[0] > 0.5:
            last[0] = time.monotonic()
            of = f" of {total / 2**20:.0f}" if total else ""
            print(f"\r{done / 2**20:.0f}{of} MiB ", end="", file=sys.stderr, flush=True)

    return told


def _stamp(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
