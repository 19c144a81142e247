"""`weizhan gb26875 decode`: what a capture of GB/T 26875.3 says, frame by frame."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.failures import errors
from contract.errors import MessageError

if TYPE_CHECKING:
    from contract.gb26875.stream import Found
    from contract.gb26875.tables import Tables

app = typer.Typer(no_args_is_help=True, help="GB/T 26875.3: transmitters and monitoring centres.")
MAX_INPUT_BYTES = 64 * 1024 * 1024
_HEX_TEXT = re.compile(rb"[0-9A-Fa-f\s:,#-]*")
_SEPARATORS = re.compile(r"[\s:,-]|0[xX]")


@app.callback()
def group() -> None:
    """GB/T 26875.3: transmitters and monitoring centres."""


@app.command()
def decode(
    file: Annotated[Path | None, typer.Argument(help="Capture: bytes, or hex text; - is standard input.")] = None,
    hex_text: Annotated[
        str | None, typer.Option("--hex", help="Hex digits; spaces, : , - and 0x are passed over.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a frame and line.")] = False,
    dialect: Annotated[list[str] | None, typer.Option(help="Private tables to read by; may be given again.")] = None,
    is_unit: Annotated[bool, typer.Option("--unit", help="Each line is an application unit without a frame.")] = False,
) -> None:
    """Decode frames, glued, split and with rubbish between them; what is refused is told with its reason.

    A line of hex that is no frame but exactly an application unit is read as one.
    """
    from contract.gb26875.tables import Tables

    with errors():
        tables = Tables(*(dialect or []))
        pieces = read_pieces(hex_text, file)
        for found in describe_pieces(pieces, tables, is_unit=is_unit):
            print(json.dumps(found, ensure_ascii=False) if as_json else summary(found))


def read_pieces(hex_text: str | None, file: Path | None) -> list[bytes]:
    """The input: a line of hex text a piece, or the bytes of a file in one.

    Raises:
        MessageError: reason `input`: neither or both given, nothing in it, no hex, half a byte, too large, unreadable.
    """
    if (hex_text is None) == (file is None):
        raise MessageError("input", f"got {'both' if file else 'neither'}, want either --hex H or FILE.")
    if hex_text is not None:
        pieces = _hex_lines(hex_text, "--hex")
    else:
        assert file is not None
        raw = _read(file)
        is_text = _HEX_TEXT.fullmatch(b"\n".join(line for line in raw.splitlines() if not line.startswith(b"#")))
        pieces = _hex_lines(raw.decode("ascii", "replace"), str(file)) if is_text else [raw]
    if not any(pieces):
        raise MessageError(
            "input", "got nothing, want at least one byte. Give a frame in hex or a file that holds one."
        )
    return [piece for piece in pieces if piece]


def describe_pieces(pieces: list[bytes], tables: Tables, *, is_unit: bool = False) -> Iterator[dict[str, Any]]:
    """One description a frame, in the order of the input; bytes that belong to none come as `skipped`."""
    from contract.gb26875.stream import FrameStream

    if is_unit:
        yield from (_unit(piece, tables) for piece in pieces)
        return
    stream = FrameStream(hold_s=float("inf"))
    whole, told = b"", 0
    for piece in [*pieces, None]:
        if piece is not None and not stream.pending and (bare := _bare_unit(piece, tables)) is not None:
            yield bare
            continue
        found = stream.finish() if piece is None else stream.feed(piece)
        whole += piece or b""
        for item in found:
            if item.offset > told:
                yield _skipped(whole, told, item.offset, tables)
            yield _found(item, tables)
            told = max(told, item.offset + len(item.raw))
    if len(whole) > told:
        yield _skipped(whole, told, len(whole), tables)


def summary(found: dict[str, Any]) -> str:
    """One frame for people, in one line and one more a remark."""
    decoded = found["decoded"] or {}
    head = "frame" if found["kind"] == "frame" else found["kind"]
    if "serial" in decoded:
        head += (
            f" {decoded['serial']} {decoded['command_name']} {decoded['command_name_zh']} "
            f"{decoded['src']} -> {decoded['dst']} {decoded['sent'] or decoded['sent_state']}"
        )
    lines = [f"{head}: {'good' if found['valid'] else 'REFUSED'}: {found['why']}"]
    unit = decoded.get("unit", {})
    if "type" in unit:
        lines.append(f"  type {unit['type']} {unit['type_name']} {unit['type_name_zh']}, {unit['layout']}")
    objects = unit.get("objects") or ([unit["tolerant"]] if "tolerant" in unit else [])
    for item in objects:
        shown = {
            key: value for key, value in item.items() if not key.endswith(("_raw", "_hints")) and value is not None
        }
        lines.append("  " + json.dumps(shown, ensure_ascii=False))
    lines += [f"  ~ {item['code']} {item['where']} {item['detail']}".rstrip() for item in found["tolerances"]]
    return "\n".join(lines)


def _read(file: Path) -> bytes:
    try:
        with sys.stdin.buffer if str(file) == "-" else file.open("rb") as source:
            raw = source.read(MAX_INPUT_BYTES + 1)
    except OSError as exc:
        raise MessageError("input", f"{file}: {exc.strerror or exc}. Check the path.") from exc
    if len(raw) > MAX_INPUT_BYTES:
        raise MessageError("input", f"{file}: got more than {MAX_INPUT_BYTES} bytes. Cut the capture.")
    return raw


def _hex_lines(text: str, where: str) -> list[bytes]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        digits = "" if line.startswith("#") else _SEPARATORS.sub("", line)
        if odd := re.search(r"[^0-9A-Fa-f]", digits):
            raise MessageError("input", f"{where}:{number}: got {odd[0]!r}, want hex digits. Take it out.")
        if len(digits) % 2:
            raise MessageError(
                "input", f"{where}:{number}: got {len(digits)} hex digits, want an even number. Half a byte is missing."
            )
        found.append(bytes.fromhex(digits))
    return found


def _bare_unit(raw: bytes, tables: Tables) -> dict[str, Any] | None:
    """The description of a line that is a unit, not part of a frame: no start in it, a known type in front."""
    if b"@@" in raw:
        return None
    found = _unit(raw, tables)
    layout = found["decoded"]["unit"]["layout"]
    # 40 would be a type as well, but is rather a damaged start marker.
    is_damaged = layout == "malformed" and raw[:1] != b"@" and not raw.endswith(b"##")
    return found if layout == "standard" or is_damaged else None


def _unit(raw: bytes, tables: Tables) -> dict[str, Any]:
    from contract.gb26875.codec import decode_unit
    from contract.gb26875.describe import describe_bare_unit

    unit, tolerances = decode_unit(raw, tables)
    return describe_bare_unit(raw, unit, tolerances, tables)


def _found(item: Found, tables: Tables) -> dict[str, Any]:
    from contract.gb26875.describe import describe_frame

    found = describe_frame(item.raw, tables)
    if item.problems:
        found["why"] = found["deny"] = "; ".join(problem.text for problem in item.problems)
    return {**found, "offset": item.offset}


def _skipped(whole: bytes, start: int, end: int, tables: Tables) -> dict[str, Any]:
    from contract.gb26875.describe import describe_frame

    raw = whole[start:end]
    # With nothing else in the input this was meant to be the frame, so its head is told as well.
    found = describe_frame(raw, tables)
    return {**found, "kind": "frame" if len(raw) == len(whole) else "skipped", "offset": start}
