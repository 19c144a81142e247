"""Fuzzing what reads other people's formats: wireless terminals, JSON sensors, printed lines, point maps.

A case is one payload, printout or file: random bytes, damaged or cut real ones glued together, or sound ones with odd
values. A parser may refuse it with the error its callers know; all else is a crash. Times are CPU time of one case.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from bench.panels import LIMIT_MS, make_case
from contract.errors import ConfigError, MessageError
from contract.mqtt_device import MqttVector
from contract.point_map import load_point_map
from contract.profile import PrinterVector, Profile, ProfileLibrary
from edge_agents.drivers.printer import PrinterDecoder
from edge_agents.foreign.drivers import decoder_of
from edge_agents.foreign.meokon import crc16

LOOK_EVERY = 500
"""Cases between two looks at the budget."""
_MAP = "loop,point,place,place_en,type\n4,4,裙楼一层上空,Podium,感烟\n4,5,走道,,手报\n1,999,泵房,Pump room,模块\n"
_SAID: list[Any] = [
    None,
    True,
    -1,
    0,
    1e308,
    10**400,
    0.1,
    "",
    "on",
    "ON",
    "2026-11-22T03:00:00Z",
    "x" * 3000,
    [],
    [[]],
    {},
    {"a": 1},
]
Case = Callable[[random.Random], bytes]
Read = Callable[[bytes], bool]
"""Takes a case; True when it was accepted, False when refused. What it raises is a crash."""


class Parser(NamedTuple):
    """How cases are made, and what reads them."""

    make: Case
    read: Read


class Outcome(NamedTuple):
    """What a campaign on one parser found."""

    parser: str
    cases: int
    accepted: int
    mean_us: float
    worst_ms: float
    over_limit: int
    crashes: list[str]
    seconds: float


def _refusable(read: Callable[[bytes], object]) -> Read:
    def accepted(data: bytes) -> bool:
        try:
            read(data)
        except (MessageError, ConfigError):
            return False
        return True

    return accepted


def _meokon(library: ProfileLibrary, folder: Path) -> Parser:  # noqa: ARG001  # every parser is made alike
    profile = library["wireless-hydrant-meokon"]
    device, payload = _vector(profile)
    frames, decode = [bytes.fromhex(payload.decode())], decoder_of(profile)

    def make(rng: random.Random) -> bytes:
        frame = make_case(frames, rng)
        if rng.randrange(2) and len(frame) > 6:  # a right checksum, so that what stands behind it is reached
            body = frame[:3] + len(frame).to_bytes(2, "big") + frame[5:-4]
            frame = body + crc16(body).to_bytes(2, "big") + b"\x55\xaa"
        text = frame.hex().encode()
        return text if rng.randrange(8) else make_case([text], rng)

    return Parser(make, _refusable(lambda data: decode(device, data)))


def _json(library: ProfileLibrary, folder: Path) -> Parser:  # noqa: ARG001  # every parser is made alike
    sensors = [(*_vector(profile), decoder_of(profile)) for profile in library if profile.mqtt_json is not None]
    payloads = [payload for _, payload, _ in sensors]

    def make(rng: random.Random) -> bytes:
        kind = rng.randrange(4)
        if kind == 0:
            deep = rng.choice((10, 500, 5000))
            return b"[" * deep + b"]" * deep if rng.randrange(50) == 0 else rng.randbytes(rng.randrange(200))
        if kind == 1:
            return make_case(payloads, rng)
        document = json.loads(rng.choice(payloads))
        _spoil(document, rng)
        return json.dumps(document, ensure_ascii=bool(rng.randrange(2))).encode()

    def read(data: bytes) -> None:
        device, _, decode = sensors[len(data) % len(sensors)]
        decode(device, data)

    return Parser(make, _refusable(read))


def _spoil(node: Any, rng: random.Random) -> None:
    """Put an odd value somewhere into a document."""
    places = list(node) if isinstance(node, dict) else list(range(len(node)))
    if not places:
        return
    place = rng.choice(places)
    if isinstance(node[place], dict | list) and rng.randrange(2):
        _spoil(node[place], rng)
    else:
        node[place] = rng.choice(_SAID)


def _printer(library: ProfileLibrary, folder: Path) -> Parser:  # noqa: ARG001  # every parser is made alike
    profiles = [profile for profile in library if profile.printer is not None]
    seeds = [bytes.fromhex(p.test_vector.hex) for p in profiles if isinstance(p.test_vector, PrinterVector)]
    decoders = [PrinterDecoder(profile.printer) for profile in profiles if profile.printer is not None]

    def read(data: bytes) -> bool:
        decoder = decoders[len(data) % len(decoders)]
        return bool(decoder.feed(data) + decoder.flush())

    return Parser(lambda rng: make_case(seeds, rng), read)


def _point_map(library: ProfileLibrary, folder: Path) -> Parser:  # noqa: ARG001  # every parser is made alike
    path = folder / "map.csv"
    seeds = [_MAP.encode(), _MAP.encode("gb18030")]

    def read(data: bytes) -> None:
        path.write_bytes(data)
        load_point_map(path)

    def make(rng: random.Random) -> bytes:
        head, *rows = rng.choice(seeds).splitlines(keepends=True)
        return make_case(seeds, rng) if rng.randrange(4) == 0 else head + make_case(rows, rng)

    return Parser(make, _refusable(read))


PARSERS: dict[str, Callable[[ProfileLibrary, Path], Parser]] = {
    "meokon": _meokon, "json": _json, "printer": _printer, "point_map": _point_map,
}  # fmt: skip


def _vector(profile: Profile) -> tuple[str, bytes]:
    """Device and payload of the frozen example."""
    vector = profile.test_vector
    assert isinstance(vector, MqttVector)
    payload = vector.payload
    return vector.device, (payload if isinstance(payload, str) else json.dumps(payload)).encode()


def fuzz(name: str, cases: int, seed: int = 1, budget_s: float | None = None) -> Outcome:
    """Feed so many cases to a parser, at most for `budget_s`."""
    rng = random.Random(seed)
    worst = total = 0.0
    accepted = over = done = 0
    crashes: list[str] = []
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        parser = PARSERS[name](ProfileLibrary(), Path(folder))
        for number in range(cases):
            if number % LOOK_EVERY == 0 and budget_s is not None and time.perf_counter() - began > budget_s:
                break
            data = parser.make(rng)
            start = time.thread_time()
            try:
                accepted += parser.read(data)
            except Exception as exc:  # noqa: BLE001  # the search is for exactly these
                crashes.append(f"{data[:2000].hex()}: {exc!r}")
                continue
            took = (time.thread_time() - start) * 1000
            worst, total, done = max(worst, took), total + took, done + 1
            over += took > LIMIT_MS
    return Outcome(
        name, done, accepted, round(total / max(1, done) * 1000, 1), round(worst, 2), over, crashes[:5],
        round(time.perf_counter() - began, 1),
    )  # fmt: skip


def campaign(cases: int, parsers: list[str] | None, seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Every parser in turn; the result as plain data."""
    outcomes = []
    for name in parsers or list(PARSERS):
        outcome = fuzz(name, cases, seed)
        say(f"{name}: {outcome.cases:,} cases, worst {outcome.worst_ms} ms, {len(outcome.crashes)} crashes")
        outcomes.append(outcome._asdict())
    passed = not any(found["crashes"] or found["over_limit"] for found in outcomes)
    return {"limit_ms": LIMIT_MS, "passed": passed, "parsers": outcomes}


def table(found: dict[str, Any]) -> str:
    """The same for people, in Markdown."""
    lines = [
        "| parser | cases | accepted | mean, µs | worst, ms | over 50 ms | crashes |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{one['parser']}` | {one['cases']:,} | {one['accepted']:,} | {one['mean_us']} | {one['worst_ms']} | "
        f"{one['over_limit']} | {len(one['crashes'])} |"
        for one in found["parsers"]
    ]
    return "\n".join(lines)
