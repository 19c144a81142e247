"""`weizhan rules apply NEW`: packs are put in force only when they are sound, pass their cases, and every golden
incident is still seen. What was in force is kept; a gateway that cannot take the new ones gets the old ones back."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from cli.rules_check import find_all, run_tests
from cli.rules_golden import judge_all
from cli.rules_history import load_plant, rules_of
from cli.settings import Settings
from contract.errors import ConfigError, RetryLater
from gateway.control.client import SOCKET, ControlClient, ControlError
from rules.golden import FOLDER
from rules.model import pack_files

FORMER = "former"
"""Folder beside the rules' own in which what was in force before is kept."""
_EXCHANGE = 2
_AT_FDCWD = -100


class Applied(NamedTuple):
    """What was done. former: where the packs that were in force stand. told: the running gateway's answer, if any."""

    folder: Path
    former: Path
    incidents: int
    told: dict[str, Any] | None


def target_of(settings: Settings, to: Path | None) -> Path:
    """The installation's folder of rules that is meant. Raises ConfigError when there is none, or more than one."""
    assert settings.gateway is not None
    folders = settings.gateway.rule_folders
    if to is not None:
        if to.resolve() not in [folder.resolve() for folder in folders]:
            known = ", ".join(str(folder) for folder in folders) or "none"
            raise ConfigError(f"--to: got {to}, want a folder of gateway.rule_folders ({known}). Name it there first.")
        return to
    if len(folders) != 1:
        raise ConfigError(
            f"gateway.rule_folders: got {len(folders)} folders, want one to put rules into. "
            + ("Say which with --to." if folders else "Add a folder there.")
        )
    return folders[0]


def prove(settings: Settings, new: Path, target: Path) -> int:
    """Refuse packs that are not fit to be in force; gives the number of incidents that are still seen.

    Raises:
        ConfigError: with everything that is wrong.
    """
    if new.resolve() == target.resolve():
        raise ConfigError(f"{new}: is the folder in force itself. Work on a copy and apply that.")
    findings, _ = find_all([new], settings)
    wrong = [str(finding) for finding in findings if finding.is_error]
    if wrong:
        raise ConfigError("\n".join(wrong))
    for finding in findings:
        print(f"note: {finding}")
    rules = rules_of(str(new), settings.gateway, target) if settings.gateway is not None else {}
    if not run_tests([new], settings, every=False):
        raise ConfigError(f"{new}: cases fail, see above. Nothing was changed.")
    plant = load_plant(settings)
    verdicts = [*judge_all(target, rules, plant), *judge_all(new, rules, plant)]
    failed = [
        f"{verdict.path}: {verdict.incident.title.zh} ({verdict.incident.noted or 'golden'}): {problem}"
        for verdict in verdicts
        for problem in verdict.problems
    ]
    if failed:
        raise ConfigError("\n".join([*failed, f"{len(failed)} golden incidents would go unseen. Nothing was changed."]))
    return len(verdicts)


async def apply(settings: Settings, new: Path, to: Path | None) -> Applied:
    """Put the packs of `new` in force.

    Raises:
        ConfigError: they are not fit, or the gateway refused them; then what was in force is in force.
    """
    assert settings.gateway is not None
    target = target_of(settings, to)
    incidents = prove(settings, new, target)
    former = install(new, target)
    try:
        told = await tell_gateway(settings.gateway.data_dir)
    except ControlError as exc:
        exchange(former, target)
        raise ConfigError(f"the gateway refused the rules: {exc} What was in force is in force.") from exc
    return Applied(target, former, incidents, told)


def install(new: Path, target: Path) -> Path:
    """Put copies of the packs in `new` (with cases and incidents) in the place of those in `target`, in one step.

    The incidents of `target` are kept. Gives the folder that now holds what `target` held.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    kept = target.with_name(f"{target.name}.{FORMER}")
    kept.mkdir(parents=True, exist_ok=True)
    staged = kept / stamp
    staged.mkdir()
    target.mkdir(parents=True, exist_ok=True)
    for path in [*pack_files(new), *sorted(new.glob("*.cases.yaml"))]:
        _copy(path, staged / path.name)
    for source in (target, new):
        for path in sorted((source / FOLDER).glob("*.yaml")):
            (staged / FOLDER).mkdir(exist_ok=True)
            _copy(path, staged / FOLDER / path.name)
    _sync(staged)
    exchange(staged, target)
    return staged


async def tell_gateway(data_dir: Path) -> dict[str, Any] | None:
    """Ask the running gateway to read its rules again; None when none runs. Raises ControlError when it refuses."""
    try:
        async with ControlClient(data_dir / SOCKET, timeout_s=30.0) as client:
            told: dict[str, Any] = await client.ask("rules.reload", "local")
            return told
    except RetryLater:
        return None


def exchange(first: Path, second: Path) -> None:
    """Two folders change places; nobody ever finds one of them missing.

    Raises:
        ConfigError: the file system cannot do that.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    swap: Callable[..., int] = libc.renameat2
    if swap(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _EXCHANGE):
        number = ctypes.get_errno()
        if number not in (errno.EINVAL, errno.ENOSYS):
            raise ConfigError(f"{second}: {os.strerror(number)}. The folder of rules must be writable.")
        # A file system without exchange: for an instant the folder is away, and a reader tries again.
        between = first.with_name(f"{first.name}.part")
        second.rename(between)
        first.rename(second)
        between.rename(first)
    for folder in {first.parent, second.parent}:
        _sync(folder)


def _copy(source: Path, to: Path) -> None:
    shutil.copyfile(source, to)
    with to.open("rb") as file:
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
