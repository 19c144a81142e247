"""Fuzzing the panel receivers: no input may crash one or hold it for long.

A case is one buffer: random bytes, damaged or cut real frames glued together, or bytes that look like the beginnings of
frames. Each is fed whole and flushed; times are CPU time of one case, so that other processes do not count.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from contract.panel_profile import PanelVector
from contract.profile import ProfileLibrary
from edge_agents.panels.drivers import DRIVERS, new_receiver
from edge_agents.panels.receiver import Receiver, Transmission

LIMIT_MS = 50.0
"""No case may take longer."""
FRESH_EVERY = 1000
"""A receiver takes so many cases before the next begins anew, so that state has time to go wrong."""
OPTIONS: dict[str, dict[str, Any]] = {"jbf": {"asks": True}, "gst_crt": {"controller": 7}}
_SEEDS = {
    "gst_modbus": [bytes.fromhex("010300040001C5CB"), bytes.fromhex("01030200123849")],
    "gst_net": [bytes.fromhex("AA045555555502"), bytes.fromhex("AA081221122118"), bytes.fromhex("AA040000")],
    "ld128e": [b"\x7f", b"\x01\x04\x05", b"\x50\x00\x00"],
}


class Outcome(NamedTuple):
    """What a campaign on one receiver found."""

    driver: str
    cases: int
    frames: int
    worst_ms: float
    mean_us: float
    over_limit: int
    crashes: list[str]
    forbidden: int
    seconds: float


def seeds_of(driver: str) -> list[bytes]:
    """Real frames of a protocol: the vectors of its profiles and a few more."""
    vectors = [
        bytes.fromhex(profile.test_vector.hex)
        for profile in ProfileLibrary()
        if profile.panel is not None and profile.panel.driver == driver
        and isinstance(profile.test_vector, PanelVector)
    ]  # fmt: skip
    return [seed for seed in vectors + _SEEDS.get(driver, []) if seed]


def make_case(seeds: list[bytes], rng: random.Random) -> bytes:
    """One buffer, mostly short, now and then as long as one read of a port."""
    kind = rng.randrange(8)
    if kind == 0 or not seeds:
        return rng.randbytes(rng.choice((3, 30, 300)))
    if kind == 1:
        return rng.choice(seeds)
    if kind == 2:  # beginnings again and again
        seed = rng.choice(seeds)
        return seed[: rng.randrange(1, len(seed) + 1)] * rng.randrange(1, 20)
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(data) + 1)
        change = rng.randrange(4)
        if change == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif change == 1:
            data[at:at] = rng.randbytes(rng.randrange(1, 6))
        elif change == 2:
            del data[at : at + rng.randrange(1, 6)]
        else:
            data += rng.choice(seeds)
    if rng.randrange(500) == 0:
        data = (data * (1024 // max(1, len(data)) + 1))[:1024]
    return bytes(data)


def fuzz(driver: str, cases: int, seed: int = 1, budget_s: float | None = None) -> Outcome:
    """Feed so many cases to a driver, at most for `budget_s`."""
    rng, seeds = random.Random(seed), seeds_of(driver)
    worst = total = 0.0
    frames = over = forbidden = done = 0
    crashes: list[str] = []
    began = time.perf_counter()
    receiver: Receiver = new_receiver(driver, OPTIONS.get(driver))
    for number in range(cases):
        if number % FRESH_EVERY == 0:
            receiver = new_receiver(driver, OPTIONS.get(driver))
            if budget_s is not None and time.perf_counter() - began > budget_s:
                break
        data, now_ms = make_case(seeds, rng), 1_700_000_000_000 + number * 37
        start = time.thread_time()
        try:
            found = receiver.feed(data, now_ms) + receiver.flush(now_ms)
            owed: list[Transmission] = receiver.due(now_ms)
        except Exception as exc:  # noqa: BLE001  # the search is for exactly these
            crashes.append(f"{data.hex()}: {exc!r}")
            receiver = new_receiver(driver, OPTIONS.get(driver))
            continue
        took = (time.thread_time() - start) * 1000
        worst, total, done = max(worst, took), total + took, done + 1
        over += took > LIMIT_MS
        frames += sum(1 for item in found if hasattr(item, "fields"))
        forbidden += sum(1 for one in owed if not receiver.permits(one.data))
    return Outcome(
        driver, done, frames, round(worst, 2), round(total / max(1, done) * 1000, 1), over, crashes[:5], forbidden,
        round(time.perf_counter() - began, 1),
    )  # fmt: skip


def campaign(cases: int, drivers: list[str] | None, seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Every driver in turn; the result as plain data."""
    outcomes = []
    for driver in drivers or list(DRIVERS):
        outcome = fuzz(driver, cases, seed)
        say(f"{driver}: {outcome.cases:,} cases, worst {outcome.worst_ms} ms, {len(outcome.crashes)} crashes")
        outcomes.append(outcome._asdict())
    passed = not any(found["crashes"] or found["over_limit"] or found["forbidden"] for found in outcomes)
    return {"limit_ms": LIMIT_MS, "passed": passed, "drivers": outcomes}


def table(found: dict[str, Any]) -> str:
    """The same for people, in Markdown."""
    lines = [
        "| driver | cases | good frames | mean, µs | worst, ms | over 50 ms | crashes |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{one['driver']}` | {one['cases']:,} | {one['frames']:,} | {one['mean_us']} | {one['worst_ms']} | "
        f"{one['over_limit']} | {len(one['crashes'])} |"
        for one in found["drivers"]
    ]
    return "\n".join(lines)
