"""A real part: a process on a free loopback port with a directory of its own, stopped and cleaned up after."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

START_S = 30.0
"""Longest wait for a part to answer; generous because the machine may be busy."""

_PLACES = ("/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin")


def free_port() -> int:
    """A loopback TCP port the system has just found free."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def require(binary: str, package: str) -> str:
    """Path of a real part's program.

    A missing one fails where the environment variable CI is set, and is a skip that names the Debian package otherwise.
    """
    # Debian keeps servers in /usr/sbin, which is not on every user's PATH.
    path = shutil.which(binary) or shutil.which(binary, path=os.pathsep.join(_PLACES))
    if path is not None:
        return path
    text = f"{binary}: not found on this machine, and this test needs it. Install it: apt-get install {package}"
    if os.environ.get("CI"):
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


class Part(ABC):
    """One server process. `with` starts and stops it; the port stays the same over kill and start.

    The directory goes with the part; the log (`log_text()`) is quoted when the part does not come up.
    """

    binary: str
    package: str
    host = "127.0.0.1"

    def __init__(self) -> None:
        self.path = require(self.binary, self.package)
        self.dir = Path(tempfile.mkdtemp(prefix=f"weizhan-{self.binary}-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Arguments to start with; writes the configuration on the way."""

    def ready(self) -> bool:
        """Whether the part answers; a TCP connection by default."""
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), timeout=1):
            return True
        return False

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None else None

    def log_text(self) -> str:
        """What the part has said so far."""
        log = self.dir / "log"
        return log.read_text("utf-8", errors="replace") if log.exists() else ""

    def start(self) -> None:
        """Start (again, on the same port and directory) and wait until it answers."""
        assert self._process is None, f"{self.binary} runs already"
        with (self.dir / "log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S
        while not self.ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                pytest.fail(f"{self.binary} does not answer on port {self.port}:\n{self.log_text()[-2000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill -9, as a power cut of the process; the directory stays."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Orderly stop; kill -9 after 10 s."""
        self._end(signal.SIGTERM)

    def suspend(self) -> None:
        """SIGSTOP: connections are still accepted by the kernel, nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            shutil.rmtree(self.dir, ignore_errors=True)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        # A suspended process takes SIGTERM only once it goes on.
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
