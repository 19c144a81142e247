"""Everything that can stand at the far end of a serial line: simulated, libmodbus, node on this host, node on QEMU."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from contract.profile import Profile, ProfileLibrary
from simulators.modbus_rtu import ModbusRtuLine
from simulators.recorder import Recorder
from tests.parts.modbus_slave import rtu_slave, serial_line
from tests.parts.process import require
from tests.simulators.conftest import Clock, device_of_vector, image_of, vector_of

FIRMWARE = Path(__file__).parents[2] / "firmware_stubs"
LIBRARY = ProfileLibrary()
UNIT = 1
IMAGES = {"hydrant-municipal": "hydrant", "extinguisher-bay": "bay", "panel-modbus": "panel"}
"""Profile of a node -> its image for the Cortex-M3."""
LIMIT_S = 20.0


def make(target: str, folder: Path) -> str:
    """Build a target of the firmware's Makefile into a folder; gives what make said."""
    for binary, package in (("gcc", "gcc"), ("arm-none-eabi-gcc", "gcc-arm-none-eabi")):
        require(binary, package)
    command = ["make", "-s", "-C", str(FIRMWARE), f"BUILD={folder}", target]
    built = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S * 6)
    assert built.returncode == 0, f"make {target}: {built.stdout}{built.stderr}"
    return built.stdout + built.stderr


class Node:
    """A node's program; its console is standard input and output."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> str:
        """What it says next."""
        assert self._process.stdout is not None
        async with asyncio.timeout(LIMIT_S):
            return (await self._process.stdout.readline()).decode().strip()

    async def until(self, word: str) -> str:
        """Its next line that begins with this word; QEMU says a few of its own."""
        heard: list[str] = []
        while True:
            heard.append(await self.line())
            if heard[-1].startswith(word):
                return heard[-1]
            assert self._process.stdout is not None
            assert not self._process.stdout.at_eof(), f"the node is gone: {heard}"

    async def command(self, text: str, answer: str = "ok") -> str:
        """Give a command of the console (core/app.h)."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n".encode())
        said = await self.line()
        assert said.startswith(answer), f"{text}: {said}"
        return said

    async def show_vector(self, profile: Profile) -> None:
        """Let its sensors give what the profile's test vector holds."""
        image = image_of(vector_of(profile))
        for point in profile.points_for(None):
            if point.text or point.register_ not in image:
                continue
            word = image[point.register_]
            if point.missing and word == point.missing[0]:
                await self.command(f"fail {point.name}")
            else:
                await self.command(f"set {point.name} {_raw(word, point.type, point.bit or 0, point.mask)}")


def _raw(word: int, kind: str, bit: int, mask: int | None) -> int:
    if kind == "bit":
        return word >> bit & 1
    if kind == "state":
        return word & (mask or 0xFFFF)
    return word - 0x10000 if kind == "int16" and word & 0x8000 else word


@asynccontextmanager
async def _running(*command: str) -> AsyncIterator[Node]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    try:
        node = Node(process)
        await node.until("ready")
        yield node
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@asynccontextmanager
async def host_node(folder: Path, profile_id: str, storage: Path) -> AsyncIterator[tuple[str, Node]]:
    """(device, node): the firmware as a process of this machine, under the sanitizers."""
    with serial_line() as line:
        async with _running(str(folder / "host" / "node"), profile_id, line.far, str(storage)) as node:
            yield line.near, node


@asynccontextmanager
async def qemu_node(folder: Path, profile_id: str) -> AsyncIterator[tuple[str, Node]]:
    """(device, node): the firmware on an emulated Cortex-M3."""
    image = folder / "cortex-m3" / f"{IMAGES[profile_id]}.elf"
    qemu = require("qemu-system-arm", "qemu-system-arm")
    with serial_line() as line:
        machine = [qemu, "-M", "mps2-an385", "-nographic", "-monitor", "none", "-kernel", str(image)]
        async with _running(
            *machine, "-chardev", f"serial,id=line,path={line.far}", "-serial", "chardev:line", "-serial", "stdio"
        ) as node:
            yield line.near, node


@contextmanager
def libmodbus_slave(executable: Path, profile_id: str) -> Iterator[str]:
    """The device of a slave that knows nothing of profiles."""
    with serial_line() as line, rtu_slave(executable, line.far, unit=UNIT, baud=9600) as slave:
        for register in range(256):
            slave.command(f"set {register} 0")
        for register, word in image_of(vector_of(LIBRARY[profile_id])).items():
            slave.command(f"set {register} {word}")
        yield line.near


@asynccontextmanager
async def simulated(folder: Path, profile_id: str) -> AsyncIterator[str]:
    """The device of the simulator."""
    recorder = Recorder(folder / "truth.jsonl", Clock())
    try:
        async with ModbusRtuLine({UNIT: device_of_vector(profile_id, recorder)}, folder / "line", recorder):
            yield str(folder / "line")
    finally:
        recorder.close()
