"""Free ports of this machine, for whoever has to name one before it listens there."""

from __future__ import annotations

import socket

from contract.errors import StartError


def free_port(wanted: int = 0) -> int:
    """A free loopback port: the wanted one, or one the system chooses when it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            # As servers do: a port in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise StartError("127.0.0.1: got no free port.")
