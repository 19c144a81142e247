"""What the commands about rules work on: the stored history of a configuration, and the rules that are meant."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from cli.settings import Settings, load_settings
from contract.errors import ConfigError
from gateway import replaying
from gateway.replaying import DAY_MS, Plant
from gateway.settings import GatewaySettings
from rules.model import Rule, load_packs
from rules.replay import Replay

CURRENT = "current"
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(d|h|m)")
_UNIT_MS = {"d": DAY_MS, "h": 3_600_000, "m": 60_000}


def parse_span(text: str) -> int:
    """`90d`, `12h` or `30m` in ms. Raises ConfigError."""
    found = _SPAN.fullmatch(text)
    if found is None or not (length := int(float(found[1]) * _UNIT_MS[found[2]])):
        raise ConfigError(f"--history: got {text!r}, want a length such as 90d, 12h or 30m.")
    return length


def rules_of(name: str, gateway: GatewaySettings, to: Path | None = None) -> dict[str, Rule]:
    """The rules that would be in force: `current`; the packs of a folder in the place of the installation's own; or
    what another configuration file says, for limits that are to be changed.

    Args:
        to: the folder of the installation whose place it takes; the first of `rule_folders` when None.

    Raises:
        ConfigError: a pack is wrong; the folder has none.
    """
    if name == CURRENT:
        return load_packs(gateway.rule_folders, gateway.rule_overrides)
    folder = Path(name)
    if folder.is_file():
        other = load_settings(folder).gateway
        if other is None:
            raise ConfigError(f"{folder}:1: gateway: got nothing, want a section with rule_folders or rule_overrides.")
        return load_packs(other.rule_folders, other.rule_overrides)
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder. Give a folder of packs, a configuration file, or `{CURRENT}`.")
    place = to or next(iter(gateway.rule_folders), None)
    kept = [each for each in gateway.rule_folders if place is None or each.resolve() != place.resolve()]
    return load_packs([*kept, folder], gateway.rule_overrides)


def load_plant(settings: Settings, only_site: str | None = None) -> Plant:
    """Read site files and ledger. Raises ConfigError; RetryLater for a ledger that cannot be read."""
    assert settings.gateway is not None
    return replaying.load_plant(settings.gateway, only_site)


async def run_replays(
    settings: Settings, plant: Plant, replays: list[Replay], span: tuple[int, int], told: Callable[[int, int], None]
) -> int:
    """Feed the history of that span to every replay; as replaying.run_replays."""
    assert settings.gateway is not None
    return await replaying.run_replays(settings.gateway, settings.history, plant, replays, span, told)


__all__ = ["DAY_MS", "Plant", "load_plant", "parse_span", "rules_of", "run_replays"]
