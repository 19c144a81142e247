"""A pseudo-terminal in place of a serial line: we hold the master, the agent opens the slave by a stable name."""

from __future__ import annotations

import array
import fcntl
import os
import termios
import tty
from pathlib import Path

from contract.errors import StartError


def character_s(baud: int, *, parity: bool = False, stop_bits: int = 1) -> float:
    """Time of one character on the wire, s: start bit, 8 data bits, parity, stop bits."""
    return (9 + parity + stop_bits) / baud


class SerialPort:
    """A raw pseudo-terminal with a symbolic link to its slave.

    The slave is kept open here too, so that an agent may close and open it without an error on our side.
    """

    def __init__(self, link: Path) -> None:
        self.link = link
        self.master = -1
        self._slave = -1

    def open(self) -> None:
        """Make the terminal and the link. Raises StartError when there is no terminal left or no place."""
        try:
            self.master, self._slave = os.openpty()
            tty.setraw(self._slave)
            os.set_blocking(self.master, False)
            self.link.unlink(missing_ok=True)
            self.link.symlink_to(os.ttyname(self._slave))
        except OSError as exc:
            self.close()
            raise StartError(
                f"{self.link}: {exc.strerror}. A pseudo-terminal and a writable folder are needed."
            ) from exc

    def read(self) -> bytes:
        """What the agent sent; empty when there is nothing."""
        try:
            return os.read(self.master, 4096)
        except OSError:  # BlockingIOError, or EIO while the slave is being swapped
            return b""

    def write(self, data: bytes) -> bool:
        """Put bytes on the line; False when nobody takes them off and the buffer is full (they are gone then)."""
        try:
            return os.write(self.master, data) == len(data)
        except OSError:
            return False

    def unread(self) -> int:
        """Bytes on the line that the agent has not taken yet."""
        count = array.array("i", [0])
        fcntl.ioctl(self._slave, termios.FIONREAD, count)
        return count[0]

    def discard(self) -> None:
        """Throw away what nobody took: a real line keeps nothing for a listener that comes later."""
        termios.tcflush(self._slave, termios.TCIFLUSH)

    def close(self) -> None:
        """Hang up and take the link away. Idempotent."""
        for fd in (self.master, self._slave):
            if fd >= 0:
                os.close(fd)
        self.master = self._slave = -1
        self.link.unlink(missing_ok=True)
