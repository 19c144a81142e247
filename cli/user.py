"""`weizhan user`: what a person at the machine may do for the people who sign in."""

from __future__ import annotations

from pathlib import Path

from contract.errors import ConfigError
from gateway.control.client import SOCKET, ControlClient, ControlError
from gateway.users import hasher, one_time_password


async def reset_password(data_dir: Path, name: str) -> str:
    """A new one-time password for a person, who is signed out everywhere.

    Raises:
        RetryLater: the gateway is not running. ConfigError: there is nobody of that name.
    """
    password = one_time_password()
    async with ControlClient(data_dir / SOCKET) as gateway:
        try:
            await gateway.ask("user.reset", "local", name=name, password_hash=hasher().hash(password))
        except ControlError as exc:
            raise ConfigError(str(exc)) from exc
    return password
