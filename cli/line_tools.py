"""What the commands of `weizhan line` do between their options and their report."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from cli.settings import load_settings
from contract.errors import ConfigError, DeviceError, RetryLater, StartError
from contract.profile import ProfileLibrary
from contract.site import ModbusRtuLine, load_site
from edge_agents.bus.modbus import ModbusPort
from edge_agents.drivers.modbus import Block, plan_reads
from edge_agents.field.capacity import Speed, loads_of, speed_of
from edge_agents.field.capture import line_for
from edge_agents.field.doctor import Observed
from edge_agents.field.examine import Probe, examine
from edge_agents.field.scan import Found, Suggestion, find_units, suggest
from edge_agents.field.wire import SerialWire, open_serial

Number = TypeVar("Number", int, float)
_HIGHEST_UNIT = 247


@dataclass(frozen=True)
class Target:
    """A line to examine. line, library: when it comes from a configuration."""

    name: str
    port: str
    speed: Speed
    timeout_s: float
    probes: tuple[Probe, ...]
    line: ModbusRtuLine | None = None
    library: ProfileLibrary | None = None
    place: str = ""
    """site/line, when it comes from a configuration."""

    def share(self, turnaround_s: float) -> float | None:
        """Share of the line's time its configuration takes when units answer so; None without one."""
        if self.line is None or self.library is None:
            return None
        return sum(load.share for load in loads_of(self.line, self.library, turnaround_s))


class ScanResult(NamedTuple):
    """What was found at one speed. suggestions: for each unit; units that fell silent again have none."""

    found: Found
    suggestions: dict[int, list[Suggestion]]

    @property
    def units(self) -> tuple[int, ...]:
        return self.found.units


def refuse(option: str, text: str) -> NoReturn:
    """Raise ConfigError for an option."""
    raise ConfigError(f"{option}: {text}.")


def within(option: str, value: Number, low: float, high: float) -> Number:
    """The value. Raises ConfigError when it is not between low and high."""
    if not low <= value <= high:
        refuse(option, f"got {value:g}, want {low:g}..{high:g}")
    return value


def parse_units(text: str) -> list[int]:
    """`1-3,7` as numbers. Raises ConfigError."""
    found: dict[int, None] = {}
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdigit() or not (last or first).isdigit():
            refuse("--units", f"got {text!r}, want addresses such as 1-10,15")
        units = range(int(first), int(last or first) + 1)
        if not units or units[0] < 1 or units[-1] > _HIGHEST_UNIT:
            refuse("--units", f"got {part.strip()!r}, want addresses within 1-{_HIGHEST_UNIT}, the lower first")
        found |= dict.fromkeys(units)
    return list(found)


def parse_speed(baud: int, parity: str, stop_bits: int) -> Speed:
    """Raises ConfigError."""
    if parity.upper() not in ("N", "E", "O"):
        refuse("--parity", f"got {parity!r}, want N, E or O")
    return Speed(within("--baud", baud, 300, 1_500_000), parity.upper(), within("--stop-bits", stop_bits, 1, 2))


def parse_speeds(bauds: str, parities: str, stop_bits: int) -> list[Speed]:
    """Every parity of every baud, in the order given. Raises ConfigError."""
    numbers = [part.strip() for part in bauds.split(",")]
    if not all(number.isdigit() for number in numbers):
        refuse("--baud-list", f"got {bauds!r}, want speeds such as 9600,19200")
    return [parse_speed(int(n), parity.strip(), stop_bits) for n in numbers for parity in parities.split(",")]


def parse_block(function: int, register: int, count: int) -> Block:
    """Raises ConfigError."""
    most = 2000 if function in (1, 2) else 125
    block = Block(
        within("--function", function, 1, 4),
        within("--register", register, 0, 65535),
        within("--count", count, 1, most),
    )
    within("--register + --count", block.address + block.size, 1, 65536)
    return block


def parse_areas(registers: str, near: int | None) -> tuple[tuple[int, range], ...]:
    """(function, registers) to read. A manual's 40005 is holding register 4; manuals are off by one now and then."""
    if near is not None:
        functions: tuple[int, ...] = (3, 4)
        if 30001 <= near <= 49999:
            functions, near = ((3,), near - 40001) if near > 40000 else ((4,), near - 30001)
        within("--register", near, 0, 65535)
        # Two words may begin at the neighbour before and end behind the one after.
        return tuple((function, range(max(0, near - 1), min(65536, near + 3))) for function in functions)
    first, _, last = registers.partition("-")
    if not first.isdigit() or not last.isdigit() or not int(first) <= int(last) <= 65535:
        refuse("--registers", f"got {registers!r}, want a range within 0-65535, such as 0-127")
    if int(last) - int(first) >= 1000:
        refuse("--registers", f"got {registers!r}, want at most 1000 registers at once")
    return tuple((function, range(int(first), int(last) + 1)) for function in (3, 4))


def plain(port: str, speed: Speed, units: Sequence[int], block: Block, timeout_s: float) -> Target:
    """A line nothing is configured of."""
    return Target(port, port, speed, timeout_s, tuple(Probe(unit, (block,)) for unit in units))


def configured(config: Path, line_id: str | None) -> Target:
    """A serial line of a configuration's agent. Raises ConfigError."""
    agent = load_settings(config).agent
    if agent is None:
        raise ConfigError(f"{config}:1: agent: got nothing, want a section. Use the configuration of an agent.")
    library = ProfileLibrary(agent.profiles)
    site = load_site(agent.site_file, library)
    entry = site.agent(agent.agent_id)
    lines = [one for one in entry.lines if isinstance(one, ModbusRtuLine)] if entry is not None else []
    chosen = [one for one in lines if line_id in (None, one.id)]
    if len(chosen) != 1:
        known = ", ".join(one.id for one in lines) or "none: this agent has no Modbus RTU line on a serial port"
        refuse("--line", f"got {line_id or 'nothing'}, want one of {known}")
    line = chosen[0]
    probes = []
    for device in line.devices:
        plan = plan_reads(library[device.profile], device.points)
        assert device.unit_id is not None
        probes.append(Probe(device.unit_id, tuple(block for group in plan.groups for block in group.blocks)))
    place = f"{site.site}/{line.id}"
    return Target(line.id, line.port, speed_of(line), line.timeout_s, tuple(probes), line, library, place)


async def examine_line(target: Target, rounds: int, listen_s: float) -> Observed:
    """Listen and ask. Raises StartError when the port cannot be used."""
    async with SerialWire(target.port, target.speed) as wire:
        with progress_bar(f"{target.name}: asking {len(target.probes)} units") as progress:
            return await examine(
                wire,
                target.speed,
                target.probes,
                timeout_s=target.timeout_s,
                rounds=rounds,
                listen_s=listen_s,
                progress=progress,
            )


async def scan_line(
    port: str, speeds: Sequence[Speed], units: Sequence[int], timeout_s: float, profiles: list[Path], *, go_on: bool
) -> list[ScanResult]:
    """What is on the line at each speed tried. Raises StartError when the port cannot be used."""
    library = ProfileLibrary(profiles)
    results = []
    for speed in speeds:
        async with SerialWire(port, speed) as wire:
            with progress_bar(f"{port} at {speed}") as progress:
                found = await find_units(wire, speed, units, timeout_s=timeout_s, progress=progress)
        suggestions = {}
        if found.units:
            async with modbus_port(port, speed, max(0.5, 2 * timeout_s)) as connection:
                with progress_bar("trying profiles") as progress:
                    for n, unit_id in enumerate(found.units):
                        suggestions[unit_id] = await _suggest(connection, unit_id, library)
                        progress((n + 1) / len(found.units))
        results.append(ScanResult(found, suggestions))
        if found.units and not go_on:
            break
    return results


async def _suggest(connection: ModbusPort, unit_id: int, library: ProfileLibrary) -> list[Suggestion]:
    try:
        return await suggest(connection, unit_id, library)
    except DeviceError:
        return []


@asynccontextmanager
async def modbus_port(port: str, speed: Speed, timeout_s: float) -> AsyncIterator[ModbusPort]:
    """An open connection as the agent has it, closed at the end. Raises StartError when the port cannot be used."""
    # Opened once by ourselves first: that error says who holds the port.
    (await asyncio.to_thread(open_serial, port, speed)).close()
    # pymodbus prints each missing answer when nobody listens to its log; the reports here say it better.
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    connection = ModbusPort(line_for(port, speed, timeout_s))
    try:
        await connection.open()
        yield connection
    except RetryLater as exc:
        raise StartError(str(exc).removesuffix(" Trying again.")) from exc
    finally:
        connection.close()


@contextmanager
def progress_bar(text: str) -> Iterator[Callable[[float], None]]:
    """A bar on stderr, only for people: told the share done."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(text, total=1.0)
        yield lambda share: progress.update(task, completed=share)
