"""The configuration file: one YAML file whose sections are the settings of the processes it is for.

Relative paths in it are relative to the file's own folder. `check` finds everything a start would trip over, so that
`weizhan check` and a start say the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from contract import configfile
from contract.configfile import Section
from contract.errors import ConfigError
from contract.grid import load_grid
from contract.mqtt import BrokerUser, MqttSettings
from contract.profile import ProfileLibrary
from contract.site import Site, load_site
from edge_agents.bus.panel_line import receiver_of
from edge_agents.field.capacity import RtuLine, find_overload
from edge_agents.settings import AgentSettings
from gateway.history.settings import EmbeddedSettings, HistorySettings
from gateway.notify import check as notify_check
from gateway.notify.settings import NotifySettings
from gateway.settings import GatewaySettings
from gateway.web.settings import WebSettings
from rules.check import check_limits
from rules.model import load_packs

_UNSTABLE = re.compile(r"/dev/tty(USB|ACM)\d+")
"""Serial devices that are numbered as they are found."""


Part = Literal["agent", "gateway", "web"]


class Settings(Section):
    """A configuration file."""

    mqtt: MqttSettings = MqttSettings()
    """The way to the broker."""
    agent: AgentSettings | None = None
    """The edge agent on this machine; absent where none runs."""
    gateway: GatewaySettings | None = None
    """The gateway on this machine; absent where none runs."""
    history: HistorySettings = EmbeddedSettings(kind="embedded")
    """Where the time series are kept."""
    notify: NotifySettings = NotifySettings()
    """Who is told of alarms, how and when."""
    web: WebSettings = WebSettings()
    """The pages."""

    @property
    def agent_mqtt(self) -> MqttSettings:
        """The agent's way to the broker."""
        return self.mqtt.as_user(self.agent.broker_user if self.agent is not None else None)

    @property
    def gateway_mqtt(self) -> MqttSettings:
        """The gateway's way to the broker."""
        return self.mqtt.as_user(self.gateway.broker_user if self.gateway is not None else None)


def load_settings(path: Path) -> Settings:
    """Read a configuration file. Raises ConfigError with file and line for everything wrong in its form."""
    loaded = configfile.load(path, Settings)
    absolute: Settings = _with_absolute_paths(loaded, path.resolve().parent)
    return absolute


def check(path: Path, settings: Settings) -> list[str]:
    """Problems a start would meet, one text each; an empty list means a start will not fail over configuration."""
    return list(_problems(path, settings, None))


def load_checked(path: Path, part: Part | None = None) -> Settings:
    """Settings that passed every check of what is to run.

    Args:
        part: the process that is to run; None: everything the file names.

    Raises:
        ConfigError: with all problems found.
    """
    settings = load_settings(path)
    # A site file that agent and gateway share is wrong once.
    problems = list(dict.fromkeys(_problems(path, settings, part)))
    if problems:
        raise ConfigError("\n".join(problems))
    return settings


def _problems(path: Path, settings: Settings, part: Part | None) -> Iterator[str]:
    at = _Locator(path)
    for needed in ("agent",) if part == "agent" else ("gateway",) if part else ():
        if getattr(settings, needed) is None:
            yield f"{path}:1: {needed}: got nothing, want a section. Add `{needed}:` or use another file."
    if settings.agent is not None and part in (None, "agent"):
        yield from _secret_problems(at, settings.mqtt, settings.agent.broker_user, "agent")
        yield from _agent_problems(at, settings.agent)
    if settings.gateway is not None and part in (None, "gateway"):
        yield from _secret_problems(at, settings.mqtt, settings.gateway.broker_user, "gateway")
    if settings.gateway is not None and part != "agent":
        yield from _gateway_problems(at, settings.gateway)
        for loc, text in notify_check.problems(settings.notify):
            yield f"{at('notify', *loc)}: {text}"
        for secret in ("password_file", "token_file"):
            file = getattr(settings.history, secret, None)
            if file is not None and not file.is_file():
                yield f"{at('history', secret)}: got {file}, which is no file. Put the secret there."
    if settings.agent is not None and settings.gateway is not None:
        mine, theirs = settings.agent_mqtt.username, settings.gateway_mqtt.username
        if mine is not None and mine == theirs:
            yield (
                f"{at('mqtt', 'username')}: got {mine!r} for agent and gateway, want a user each: a broker lets only "
                "one of them in at a time. Give agent.broker_user and gateway.broker_user (deploy/mosquitto/README.md)."
            )


class _Locator:
    """`file:line: key` of a place in a configuration file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._node = configfile.read_node(path)

    def __call__(self, *loc: int | str) -> str:
        line, key = configfile.locate(self._node, loc)
        return f"{self._path}:{line}: {key}"


def _secret_problems(at: _Locator, mqtt: MqttSettings, user: BrokerUser | None, section: str) -> Iterator[str]:
    where = ("mqtt", "password_file") if user is None else (section, "broker_user", "password_file")
    try:
        mqtt.as_user(user).password()
    except ConfigError as exc:
        yield f"{at(*where)}: {exc}"


def _agent_problems(at: _Locator, agent: AgentSettings) -> Iterator[str]:
    library = ProfileLibrary(agent.profiles)
    try:
        site = load_site(agent.site_file, library)
    except ConfigError as exc:
        yield str(exc)
        return
    if site.agent(agent.agent_id) is None:
        known = ", ".join(entry.id for entry in site.agents)
        yield f"{at('agent', 'agent_id')}: got {agent.agent_id!r}, want one of {known} ({agent.site_file})."
    yield from _overloaded_lines(agent, site, library)
    for placed in site.placed():
        if placed.agent == agent.agent_id and placed.profile.panel is not None:
            try:
                receiver_of(placed)
            except ConfigError as exc:
                yield f"{agent.site_file}: {exc}"


def _overloaded_lines(agent: AgentSettings, site: Site, library: ProfileLibrary) -> Iterator[str]:
    """Serial lines of this agent whose reads cannot meet their periods."""
    node = configfile.read_node(agent.site_file)
    for a, entry in enumerate(site.agents):
        for n, line in enumerate(entry.lines):
            if entry.id != agent.agent_id or not isinstance(line, RtuLine):
                continue
            problem = find_overload(line, library)
            if problem is not None:
                number, key = configfile.locate(node, ("agents", a, "lines", n))
                yield f"{agent.site_file}:{number}: {key} ({line.id}): {problem}"


def advice_on(settings: Settings) -> Iterator[str]:
    """What is no error and yet will give trouble; one text each."""
    if settings.agent is None:
        return
    path = settings.agent.site_file
    node = configfile.read_node(path)
    site = load_site(path, ProfileLibrary(settings.agent.profiles))
    for a, entry in enumerate(site.agents):
        for n, line in enumerate(entry.lines):
            port = getattr(line, "port", None)
            if entry.id == settings.agent.agent_id and isinstance(port, str) and _UNSTABLE.fullmatch(port):
                number, key = configfile.locate(node, ("agents", a, "lines", n, "port"))
                yield (
                    f"{path}:{number}: {key}: got {port}, a number that changes when adapters are plugged in another "
                    "order, want a stable name. Use the adapter's link below /dev/serial/by-path/."
                )


def _gateway_problems(at: _Locator, gateway: GatewaySettings) -> Iterator[str]:
    library = ProfileLibrary(gateway.profiles)
    seen: dict[str, Path] = {}
    sites: list[tuple[Path, Site]] = []
    for file in gateway.sites:
        try:
            site = load_site(file, library)
        except ConfigError as exc:
            yield str(exc)
            continue
        if site.site in seen:
            yield f"{file}: site: got {site.site!r}, which {seen[site.site]} has too. Name each site once."
        seen.setdefault(site.site, file)
        sites.append((file, site))
    try:
        rules = load_packs(gateway.rule_folders, gateway.rule_overrides)
    except ConfigError as exc:
        key, _, text = str(exc).partition(": ")
        yield f"{at(*key.split('.'))}: {text}" if key.startswith("gateway.") else str(exc)
        return
    if len(sites) == len(gateway.sites):
        try:
            load_grid(gateway.grid, {site.site: (file, site) for file, site in sites})
        except ConfigError as exc:
            yield str(exc)
    for file, site in sites:
        yield from (str(found) for found in check_limits(file, site, rules) if found.is_error)


def _with_absolute_paths(model: Any, base: Path) -> Any:
    """The same record with every relative path resolved against `base`."""
    if isinstance(model, Path):
        return model if model.is_absolute() else base / model
    if isinstance(model, list):
        return [_with_absolute_paths(item, base) for item in model]
    if isinstance(model, BaseModel):
        return model.model_copy(
            update={name: _with_absolute_paths(getattr(model, name), base) for name in type(model).model_fields}
        )
    return model
