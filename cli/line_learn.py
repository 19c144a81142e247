"""What `weizhan line learn` does: one or two readings of all registers, their ranking, the profile."""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cli.line_tools import modbus_port, progress_bar
from contract.errors import ConfigError, DeviceError, StartError
from contract.profile import Profile
from contract.topics import IDENT
from edge_agents.bus.modbus import ModbusPort
from edge_agents.field.advice import nothing_answers
from edge_agents.field.capacity import Speed
from edge_agents.field.capture import read_registers
from edge_agents.field.learn import Candidate, Shown, Sighting, is_ambiguous, rank
from edge_agents.field.learned import make_profile, parse_shown, write_profile


@dataclass(frozen=True)
class Readings:
    """What the gauge shows at each reading, and of what."""

    shown: tuple[Shown, ...]
    quantity: str


@dataclass(frozen=True)
class Job:
    """What to read and what it should give."""

    port: str
    speed: Speed
    unit_id: int
    timeout_s: float
    areas: tuple[tuple[int, range], ...]
    readings: Readings


@dataclass(frozen=True)
class Learned:
    """The readings and their explanations, best first."""

    sightings: tuple[Sighting, ...]
    quantity: str
    candidates: tuple[Candidate, ...]

    @property
    def is_ambiguous(self) -> bool:
        """Whether another reading is needed to tell the first candidate from the next."""
        return is_ambiguous(self.candidates)


def parse_readings(shows: str, second: str | None, quantity: str | None) -> Readings:
    """Raises ConfigError."""
    first, quantity = parse_shown(shows, quantity)
    if second is None:
        return Readings((first,), quantity)
    # The second may leave the unit out; it is read off the same gauge.
    text = second if " " in second.strip() else f"{second} {first.unit}".strip()
    other, _ = parse_shown(text, quantity)
    if other.unit != first.unit:
        raise ConfigError(f"--second-value: got {other.unit}, want {first.unit}. Read both off the same gauge.")
    if abs(other.value - first.value) < 10 * first.digit:
        raise ConfigError(
            f"--second-value: got {second!r} beside {shows!r}, want a clearly different value. "
            "Change the pressure more."
        )
    return Readings((first, other), quantity)


def check_name(path: Path) -> None:
    """Raises ConfigError when a profile cannot be written there."""
    if path.suffix != ".yaml" or not re.fullmatch(IDENT, path.stem):
        raise ConfigError(f"--write: got {path}, want a name of a-z, 0-9, - and _ ending in .yaml.")
    if path.exists():
        raise ConfigError(f"--write: got {path}, which is there already. Choose another name.")


async def run_learn(job: Job) -> Learned:
    """Read and rank.

    Raises:
        StartError: the port cannot be used, the unit does not answer, or nobody was there for the second reading.
    """
    sightings = []
    async with modbus_port(job.port, job.speed, job.timeout_s) as connection:
        for n, shown in enumerate(job.readings.shown):
            if n:
                await _wait_for_person(shown)
            sightings.append(Sighting(await _read_all(connection, job), shown))
    candidates = rank(sightings, job.readings.quantity)
    if not candidates:
        raise StartError(_nothing_fits(job, len(sightings[0].registers)))
    return Learned(tuple(sightings), job.readings.quantity, tuple(candidates))


def write_candidate(path: Path, job: Job, learned: Learned, pick: int | None) -> Profile:
    """Write a profile. Raises ConfigError when it is not clear which, or the file cannot be written."""
    if pick is None and learned.is_ambiguous:
        raise ConfigError(
            f"--write: got {len(learned.candidates)} candidates that fit, want a clear one. Take a second reading at "
            "another value (--second-value), or choose one with --pick after looking at the list."
        )
    if not 1 <= (pick or 1) <= len(learned.candidates):
        raise ConfigError(f"--pick: got {pick}, want 1..{len(learned.candidates)}.")
    today = datetime.now(UTC).date().isoformat()
    candidate = learned.candidates[(pick or 1) - 1]
    where = f"{today} at unit {job.unit_id}"
    return write_profile(path, make_profile(path.stem, candidate, learned.sightings, learned.quantity, where))


async def _read_all(connection: ModbusPort, job: Job) -> dict[tuple[int, int], int]:
    words: dict[tuple[int, int], int] = {}
    failure: DeviceError | None = None
    with progress_bar(f"unit {job.unit_id}: reading registers") as progress:
        for function, registers in job.areas:
            try:
                words |= await read_registers(connection, job.unit_id, registers, (function,), progress)
            except DeviceError as exc:
                failure = exc
                if not words and exc.cause == "no_answer":
                    break  # it answers refusals too: silence is a dead unit
    if words:
        return words
    if failure is not None and failure.cause == "no_answer":
        raise StartError(f"unit {job.unit_id}: {nothing_answers(job.speed)}") from failure
    said = str(failure) if failure is not None else "it refuses them all"
    raise StartError(f"unit {job.unit_id}: got none of the registers ({said}), want some. Choose others (--registers).")


async def _wait_for_person(shown: Shown) -> None:
    text = f"{shown.value:.{shown.decimals}f} {shown.unit}"
    print(f"Bring the gauge to {text}, let it settle, then press Enter.", file=sys.stderr, flush=True)
    if not await asyncio.to_thread(sys.stdin.readline):
        raise StartError("--second-value: got no Enter, want one when the gauge shows it. Run this at a keyboard.")


def _nothing_fits(job: Job, count: int) -> str:
    shown = " and then ".join(f"{one.value:.{one.decimals}f} {one.unit}" for one in job.readings.shown)
    return (
        f"unit {job.unit_id}: got no register among {count} that gives {shown}, want one. Check that the gauge was "
        "steady and on the same pipe, give every digit it shows and its unit, or read other registers (--registers)."
    )
