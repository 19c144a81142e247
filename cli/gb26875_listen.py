"""`weizhan gb26875 listen`: what transmitters in the field send, as it comes.

For the first hour with a new transmitter: is it heard, who is it, which habits has it. Answers nothing unless told to;
told to, it confirms only what it has written to the capture first.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from cli.failures import errors
from cli.gb26875 import summary
from contract.errors import StartError

READ_BYTES = 8192


def listen(
    port: Annotated[int, typer.Argument(min=1, max=65535, help="Port the transmitters report to.")],
    host: Annotated[str, typer.Option(help="Own address to listen on; 0.0.0.0 is every one.")] = "127.0.0.1",
    capture: Annotated[Path | None, typer.Option(help="File the bytes are added to.")] = None,
    confirm: Annotated[bool, typer.Option("--confirm", help="Answer, once the bytes are in the capture.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a frame and line.")] = False,
    dialect: Annotated[list[str] | None, typer.Option(help="Private tables to read by; may be given again.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Stop after so long.")] = None,
) -> None:
    """Show what transmitters send over TCP. Without --confirm they get no answer and send again."""
    with errors():
        if confirm and capture is None:
            raise StartError("--confirm: got no --capture, want one. What is confirmed is gone from the transmitter.")
        asyncio.run(_listen(host, port, capture, confirm, as_json, tuple(dialect or ()), seconds))


async def _listen(
    host: str, port: int, capture: Path | None, confirm: bool, as_json: bool, dialects: tuple[str, ...],
    seconds: float | None,
) -> None:  # fmt: skip
    with ExitStack() as stack:
        file = stack.enter_context(_open(capture)) if capture is not None else None
        ear = _Ear(dialects, file, as_json=as_json, confirm=confirm)
        try:
            server = await asyncio.start_server(ear.connected, host, port)
        except OSError as exc:
            raise StartError(f"{host}:{port}: {exc.strerror}. Free the port or name another.") from exc
        async with server:
            typer.echo(f"listening on {host}:{port}" + ("" if confirm else ", answering nothing"), err=True)
            try:
                async with asyncio.timeout(seconds):
                    await server.serve_forever()
            except TimeoutError:
                pass
            ear.close()


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("ab")
    except OSError as exc:
        raise StartError(f"{path}: {exc.strerror}. Name a file we may write.") from exc


class _Ear:
    """Shows, keeps and perhaps confirms what comes over every connection."""

    def __init__(self, dialects: tuple[str, ...], file: BinaryIO | None, *, as_json: bool, confirm: bool) -> None:
        from contract.gb26875.tables import Tables

        self._tables = Tables(*dialects)
        self._file = file
        self._as_json = as_json
        self._confirm = confirm
        self._tasks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from edge_agents.drivers.gb26875.session import Session

        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer = writer.get_extra_info("peername")
        typer.echo(f"{peer[0]}:{peer[1]} connected", err=True)
        session = Session(self._tables, lambda: time.time_ns() // 1_000_000)
        try:
            while data := await reader.read(READ_BYTES):
                if self._file is not None:
                    self._file.write(data)
                    self._file.flush()
                    await asyncio.to_thread(os.fsync, self._file.fileno())
                for heard in session.feed(data, time.monotonic()):
                    self._show(heard.raw)
                    if self._confirm and heard.answer is not None:
                        writer.write(heard.answer)
                        await writer.drain()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            typer.echo(f"{peer[0]}:{peer[1]} gone", err=True)
            writer.close()

    def _show(self, raw: bytes) -> None:
        from contract.gb26875.describe import describe_frame

        found = describe_frame(raw, self._tables)
        print(json.dumps(found, ensure_ascii=False) if self._as_json else summary(found), flush=True)
