"""`weizhan user`: what a person at the machine may do for the people who sign in."""

from __future__ import annotations

from pathlib import Path

from contract.errors import ConfigError
from gateway.control.client import SOCKET, ControlClient, ControlError
from gateway.ledger.reader import LedgerReader
from gateway.ledger.records import User
from gateway.ledger.store import FILE
from gateway.users import hasher, one_time_password


def list_users(data_dir: Path) -> list[tuple[str, str, str, str]]:
    """(name, role, area, state) of everybody who may sign in; area `-`: everything. Raises RetryLater."""
    with LedgerReader(data_dir / FILE) as ledger:
        return [(each.name, each.role, each.area or "-", _state(each)) for each in ledger.users()]


def _state(user: User) -> str:
    if user.disabled_ms is not None:
        return "off"
    if user.one_time_until_ms is None:
        return "on"
    return "one-time-password" if user.one_time_used_ms is None else "one-time-password-used"


async def enable_user(data_dir: Path, name: str) -> None:
    """Let somebody sign in again whose account was switched off.

    Raises:
        RetryLater: the gateway is not running. ConfigError: there is nobody of that name.
    """
    async with ControlClient(data_dir / SOCKET) as gateway:
        try:
            await gateway.ask("user.enable", "local", name=name)
        except ControlError as exc:
            raise ConfigError(str(exc)) from exc


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
