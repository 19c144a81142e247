"""`weizhan panel ...`: tools for whoever stands before a panel with a laptop."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.failures import errors
from contract.errors import ConfigError, StartError
from contract.panel_profile import OPTIONS

if TYPE_CHECKING:
    from edge_agents.panels.receiver import Frame, Noise

panel = typer.Typer(no_args_is_help=True, help="Alarm panels.")
LISTENING: dict[str, dict[str, Any]] = {
    "gst_crt": {"calls": False}, "songjiang": {"answers": False}, "ld128e": {"asks": False}
}  # fmt: skip
MOST_BYTES = 16 * 1024 * 1024


@panel.command("decode")
def decode(
    driver: Annotated[str, typer.Option(help=f"Protocol: {', '.join(OPTIONS)}.")],
    file: Annotated[Path | None, typer.Argument(help="File of bytes as recorded.")] = None,
    hex_: Annotated[str | None, typer.Option("--hex", help="The bytes in hex, spaces allowed.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array, one object a frame.")] = False,
) -> None:
    """Decode recorded bytes of a panel. What is no frame is told on stderr; without one good frame the status is 1."""
    with errors():
        data = _bytes_of(file, hex_)
        frames, noises = decode_bytes(driver, data)
    for noise in noises:
        kept = noise.data[:48].hex().upper() + ("..." if noise.size > 48 else "")
        print(f"{driver}: got {noise.size} bytes that are no frame ({noise.reason}): {kept}", file=sys.stderr)
    if as_json:
        print(json.dumps([frame.fields for frame in frames], ensure_ascii=False, indent=1))
    else:
        for frame in frames:
            print(" ".join(f"{name}={value}" for name, value in frame.fields.items() if value is not None))
    if not frames:
        print(f"{driver}: got no good frame, want one. Check the driver and the capture.", file=sys.stderr)
        raise typer.Exit(1)


def decode_bytes(driver: str, data: bytes) -> tuple[list[Frame], list[Noise]]:
    """What a fresh receiver makes of a capture. Raises ConfigError for an unknown driver."""
    from edge_agents.panels.drivers import new_receiver
    from edge_agents.panels.receiver import Frame, Noise

    receiver, now_ms = new_receiver(driver, LISTENING.get(driver)), time.time_ns() // 1_000_000
    items = [item for at in range(0, len(data), 1024) for item in receiver.feed(data[at : at + 1024], now_ms)]
    items += receiver.flush(now_ms)
    return [item for item in items if isinstance(item, Frame)], [item for item in items if isinstance(item, Noise)]


def _bytes_of(file: Path | None, text: str | None) -> bytes:
    if (file is None) == (text is None):
        raise StartError("panel decode: got neither or both of --hex and a file, want one of them.")
    if file is not None:
        try:
            if file.stat().st_size > MOST_BYTES:
                raise StartError(
                    f"{file}: got {file.stat().st_size} bytes, want at most {MOST_BYTES}. Cut the capture."
                )
            return file.read_bytes()
        except OSError as exc:
            raise StartError(f"{file}: {exc.strerror or exc}. Check the path.") from exc
    assert text is not None
    digits = re.sub(r"[\s:,-]", "", text)
    try:
        return bytes.fromhex(digits)
    except ValueError as exc:
        raise ConfigError(f"--hex: got {text[:60]!r}, want pairs of hex digits. Mend the text.") from exc
