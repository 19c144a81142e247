"""Starts the libmodbus slave of modbus_slave.c: over TCP, or over two linked pseudo-terminals as an RTU line."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import tempfile
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).with_name("modbus_slave.c")


def build(folder: Path) -> Path:
    """The slave's executable, compiled into `folder`. Raises RuntimeError naming what is missing."""
    for tool in ("gcc", "pkg-config"):
        if shutil.which(tool) is None:
            raise RuntimeError(f"{tool}: not found. Install gcc, pkg-config and libmodbus-dev.")
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libmodbus"], capture_output=True, text=True)
    if flags.returncode:
        raise RuntimeError(f"libmodbus: {flags.stderr.strip()} Install libmodbus-dev.")
    target = folder / "modbus_slave"
    command = ["gcc", "-O1", "-Wall", "-Wextra", "-std=gnu11", "-pthread", "-o", str(target), str(SOURCE)]
    built = subprocess.run([*command, *flags.stdout.split()], capture_output=True, text=True)
    if built.returncode:
        raise RuntimeError(f"{SOURCE.name}: {built.stderr}")
    return target


class Slave:
    """A running slave; `port` is its TCP port (0 on a serial line)."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.port = 0

    def start(self) -> None:
        """Wait until it serves."""
        word, _, port = self._line().partition(" ")
        assert word == "ready", word
        self.port = int(port)

    def command(self, text: str) -> None:
        """Give a command of modbus_slave.c and wait for its `ok`."""
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()
        answer = self._line()
        assert answer == "ok", f"{text}: {answer}"

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def _running(arguments: list[str]) -> Iterator[Slave]:
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            slave = Slave(process)
            slave.start()
            yield slave
        finally:
            process.kill()


@contextmanager
def tcp_slave(executable: Path) -> Iterator[Slave]:
    """The slave on a free loopback port."""
    with _running([str(executable), "tcp"]) as slave:
        yield slave


class SerialLine:
    """Two pseudo-terminals linked by a thread: what is written to one end comes out of the other.

    `near` and `far` are device paths. `send_near` puts bytes on the line as noise would.
    """

    def __init__(self) -> None:
        self._masters: list[int] = []
        self._slaves: list[int] = []
        for _ in range(2):
            master, slave = pty.openpty()
            tty.setraw(slave)
            self._masters.append(master)
            self._slaves.append(slave)
        # Names of our own: the system gives the number of a closed terminal to the next process that asks.
        self._folder = tempfile.TemporaryDirectory(prefix="weizhan-serial-")
        self.near, self.far = (str(Path(self._folder.name) / end) for end in ("near", "far"))
        for path, slave in zip((self.near, self.far), self._slaves, strict=True):
            Path(path).symlink_to(os.ttyname(slave))
        self.sent_by_near = 0
        """Bytes the near end has written."""
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._pump, name="serial-line", daemon=True)
        self._thread.start()

    def send_near(self, data: bytes) -> None:
        """Bytes that arrive at the near end, from nowhere."""
        os.write(self._masters[0], data)

    def close(self) -> None:
        """Take the line away: both ends see a hang-up."""
        if self._masters:
            os.write(self._stop_write, b"x")
            self._thread.join(5)
            for fd in (*self._masters, *self._slaves, self._stop_read, self._stop_write):
                os.close(fd)
            self._masters = []
            self._folder.cleanup()

    def _pump(self) -> None:
        near, far = self._masters
        while True:
            ready, _, _ = select.select([near, far, self._stop_read], [], [])
            if self._stop_read in ready:
                return
            for source, sink in ((near, far), (far, near)):
                if source in ready:
                    data = os.read(source, 4096)
                    if source == near:
                        self.sent_by_near += len(data)
                    os.write(sink, data)


@contextmanager
def serial_line() -> Iterator[SerialLine]:
    """Two linked pseudo-terminals."""
    line = SerialLine()
    try:
        yield line
    finally:
        line.close()


@contextmanager
def rtu_slave(executable: Path, device: str, *, unit: int = 1, baud: int = 115200) -> Iterator[Slave]:
    """The slave on a serial device."""
    with _running([str(executable), "rtu", device, str(baud), str(unit)]) as slave:
        yield slave
