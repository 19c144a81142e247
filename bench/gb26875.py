"""Fuzz campaign on the GB/T 26875.3 codec: no crash, nothing slow, nothing invented."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any

from contract.errors import MessageError
from contract.gb26875.codec import Message, decode_frame, encode, encode_unit
from contract.gb26875.describe import describe_frame
from contract.gb26875.frame import END, MAX_FRAME_BYTES, START, Frame, checksum_of, write_frame
from contract.gb26875.stream import Found, FrameStream
from contract.gb26875.tables import Tables, dialect_names
from contract.gb26875.time_tag import TimeTag
from contract.gb26875.units import LAYOUTS_2011

LIMIT_MS = 50.0
_MOST_BYTES = 8 * 1024
_TYPES = tuple(LAYOUTS_2011)


class Fault(Exception):
    """The codec did what it must never do: a finding of the campaign."""


def campaign(cases: int, seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Run so many cases; `passed` when none crashed, lied or took 50 ms of processor time.

    `worst_ms` is processor time of the slowest case, measured again where it came out over the limit: a busy machine is
    not the codec's doing. `worst_wall_ms` is time on the clock, for the record.
    """
    choose = random.Random(seed)
    tables = [Tables(), Tables(*(name for name in dialect_names() if name != "short-objects")), Tables("short-objects")]
    faults: list[dict[str, str]] = []
    worst_ms, worst_wall_ms, worst = 0.0, 0.0, b""
    counts = {"frames": 0, "refused": 0, "bytes": 0}
    start = time.monotonic()
    for case in range(cases):
        data, cuts, table = make_case(choose), choose.getrandbits(30), tables[case % 3 if case % 5 == 0 else 0]
        wall, used = time.perf_counter_ns(), time.thread_time_ns()
        try:
            found = check(data, cuts, table)
        except Exception as exc:  # noqa: BLE001 # a campaign is there to meet what nobody thought of
            faults.append({"case": str(case), "hex": data.hex(), "what": f"{type(exc).__name__}: {exc}"})
            continue
        used_ms = (time.thread_time_ns() - used) / 1e6
        worst_wall_ms = max(worst_wall_ms, (time.perf_counter_ns() - wall) / 1e6)
        if used_ms > LIMIT_MS:
            used_ms = _again(data, cuts, table)
        if used_ms > worst_ms:
            worst_ms, worst = used_ms, data
        counts["frames"] += sum(item.is_good for item in found)
        counts["refused"] += sum(not item.is_good for item in found)
        counts["bytes"] += len(data)
        if case % 100_000 == 99_999:
            say(f"{case + 1:,} cases, worst {worst_ms:.2f} ms, {len(faults)} faults")
    return {
        "cases": cases,
        "seed": seed,
        **counts,
        "seconds": round(time.monotonic() - start, 1),
        "worst_ms": round(worst_ms, 3),
        "worst_bytes": len(worst),
        "worst_hex": worst[:256].hex(),
        "worst_wall_ms": round(worst_wall_ms, 3),
        "limit_ms": LIMIT_MS,
        "faults": faults[:20],
        "fault_count": len(faults),
        "passed": not faults and worst_ms <= LIMIT_MS,
    }


def check(data: bytes, cuts: int, tables: Tables) -> list[Found]:
    """Put bytes through everything that reads them.

    Raises:
        Fault: a result that depends on how the stream was cut, a frame that is not in the input, a message that does
            not come back as it was, a tolerance not told. Anything else raised is a crash.
    """
    whole = FrameStream()
    found = whole.feed(data)
    if whole.pending >= MAX_FRAME_BYTES:
        raise Fault(f"keeps {whole.pending} bytes")
    # Not so small that a long case is slow only for being fed in thousands of calls.
    pieces, again, at, step = FrameStream(), [], 0, max(1 + cuts % 97, len(data) // 500)
    while at < len(data):
        again += pieces.feed(data[at : at + step])
        at += step
    found, again = found + whole.finish(), again + pieces.finish()
    if found != again:
        raise Fault(f"{len(found)} found in one piece, {len(again)} in pieces of {step}")
    for item in found:
        if data[item.offset : item.offset + len(item.raw)] != item.raw:
            raise Fault(f"bytes at {item.offset} are not of the input")
        if item.is_good and item.frame is not None:
            _check_message(item.raw, decode_frame(item.frame, tables), tables)
    if found and cuts % 4 == 0:
        json.dumps(describe_frame(found[cuts % len(found)].raw, tables))
    return found


def _check_message(raw: bytes, message: Message, tables: Tables) -> None:
    unit = encode_unit(message.unit, message.frame.main_version)
    if unit != message.frame.unit or write_frame(message.frame) != raw:
        raise Fault("does not encode to what it was decoded from")
    try:
        encode(message.frame, tables)
    except MessageError:
        if not message.tolerances:
            raise Fault("refused by the strict encoder without a tolerance told") from None
    else:
        if message.tolerances or message.unit.form == "malformed":
            raise Fault(f"taken by the strict encoder with {sorted(message.codes)}")


def _again(data: bytes, cuts: int, tables: Tables) -> float:
    best = float("inf")
    for _ in range(3):
        used = time.thread_time_ns()
        check(data, cuts, tables)
        best = min(best, (time.thread_time_ns() - used) / 1e6)
    return best


def make_case(choose: random.Random) -> bytes:
    """Bytes of one case: mostly near-frames, some of them glued, cut or damaged, some crafted to be slow."""
    kind = choose.randrange(20)
    if kind == 0:
        return choose.randbytes(choose.randrange(200))
    if kind == 1 and choose.randrange(4) == 0:
        return _flood(choose)
    data = b"".join(_frame(choose) for _ in range(choose.choice((1, 1, 1, 2, 3))))
    if kind < 10:
        return data
    if kind < 15:
        damaged = bytearray(data)
        for _ in range(choose.randrange(1, 6)):
            damaged[choose.randrange(len(damaged))] = choose.choice((0, 0x23, 0x40, 0xFF, choose.randrange(256)))
        return bytes(damaged)
    cut = choose.randrange(len(data))
    if kind == 15:
        return data[cut:] + data
    if kind == 16:
        return data[:cut] + data
    if kind == 17:
        return data[:cut] + choose.randbytes(choose.randrange(40)) + data[cut:]
    if kind == 18:
        return data[:cut]
    return START * choose.randrange(30) + data + END * choose.randrange(30)


def _frame(choose: random.Random) -> bytes:
    unit = _unit(choose)
    command = choose.choice((1, 2, 2, 2, 3, 4, 5, 6, 254, choose.randrange(256)))
    src, dst = choose.randbytes(6), choose.choice((bytes(6), choose.randbytes(6)))
    main = choose.choice((1, 1, 1, choose.randrange(256)))
    raw = write_frame(
        Frame(choose.randrange(65536), main, choose.randrange(256), _time(choose), src, dst, command, unit)
    )
    if choose.randrange(8) == 0:
        # A wrong field under a right checksum gets deeper than plain damage.
        damaged = bytearray(raw)
        damaged[choose.randrange(2, len(raw) - 3)] = choose.randrange(256)
        damaged[-3] = checksum_of(bytes(damaged[2:-3]))
        return bytes(damaged)
    return raw


def _unit(choose: random.Random) -> bytes:
    kind = choose.randrange(10)
    if kind == 0:
        return choose.randbytes(choose.choice((0, 0, 1, 1, 2, 3, choose.randrange(100), choose.randrange(1025))))
    unit_type = choose.choice(_TYPES) if kind < 9 else choose.randrange(256)
    layout = LAYOUTS_2011.get(unit_type)
    count = choose.choice((1,) * 12 + (2, 3, layout.most if layout else 1))
    size = layout.object_bytes if layout else choose.randrange(1, 20)
    body = b"".join(_object(choose, size) for _ in range(count))[:1022]
    if choose.randrange(6) == 0:
        body = body[: choose.randrange(len(body) + 1)] + choose.randbytes(choose.randrange(3))
    if choose.randrange(10) == 0:
        count = choose.randrange(256)
    return bytes((unit_type, count)) + body[:1022]


def _object(choose: random.Random, size: int | None) -> bytes:
    if size is None:
        length = choose.randrange(60)
        return (
            choose.randbytes(choose.choice((0, 2)))
            + bytes((length,))
            + "微型消防站".encode("gb18030").ljust(length, b"\0")[:length]
        )
    if size < 7 or choose.randrange(3) == 0:
        return choose.randbytes(size)
    text = choose.choice((b"", b" " * 31, "三层东走廊感烟".encode("gb18030"), choose.randbytes(31)))
    return (choose.randbytes(9) + text.ljust(31, b"\0"))[: size - 6].ljust(size - 6, b"\1") + _time(choose).raw


def _time(choose: random.Random) -> TimeTag:
    if choose.randrange(6) == 0:
        return TimeTag(choose.choice((bytes(6), choose.randbytes(6), bytes((1, 50, 2, 1, 1, 226)))))
    parts = (choose.randrange(60), choose.randrange(60), choose.randrange(24))
    return TimeTag(bytes((*parts, choose.randrange(1, 29), choose.randrange(1, 13), choose.randrange(100))))


def _flood(choose: random.Random) -> bytes:
    """Starts of frames without end: what a search from every byte would be slowest on."""
    size = choose.randrange(1, choose.choice((200, 200, 200, _MOST_BYTES)))
    pattern = choose.choice(
        (b"@", b"@@", b"@@\0", b"@@\x03\x03\x03\x03\x03", b"@@x\xfc\x03##", b"@@" + bytes(5), b"#@")
    )
    return (pattern * (size // len(pattern) + 1))[:size]


def table(found: dict[str, Any]) -> str:
    """The same for people, in Markdown."""
    rows = [
        ("cases", f"{found['cases']:,}"),
        ("frames good, refused", f"{found['frames']:,}, {found['refused']:,}"),
        ("bytes", f"{found['bytes']:,}"),
        ("worst case, ms of processor time", f"{found['worst_ms']} ({found['worst_bytes']} bytes)"),
        ("crashes and wrong results", str(found["fault_count"])),
        ("seconds", str(found["seconds"])),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
