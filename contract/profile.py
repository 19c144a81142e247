"""Device profiles: one YAML record a device type, the single source for driver, simulator, firmware and docs.

A profile says where its facts come from, which registers (or printed lines) carry which points, their units,
ranges and missing values, and holds a frozen test vector that every reader and writer of it must agree with.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, field_validator, model_validator

from contract import configfile
from contract.configfile import Section
from contract.errors import ConfigError
from contract.messages import Value
from contract.mqtt_device import MqttFrame, MqttJson, MqttVector
from contract.own_points import (
    AGENT_POINTS,
    BUILT_IN,
    GATEWAY_POINTS,
    HEALTH_POINTS,
    IDENTITY_POINTS,
    LINE_POINTS,
    ONLINE,
    ONLINE_POINT,
    REGISTER_POINTS,
)
from contract.panel import AUTO, MANUAL, MODE, address_title, is_address
from contract.panel_profile import STATES, Panel, PanelVector, Transmitter, TransmitterVector
from contract.point import Ident, Point, Text, Words
from contract.topics import IDENT
from contract.units import FACTORS, unit_of

PROFILES = Path(__file__).parent / "profiles"
Category = Literal[
    "hydrant", "water", "pump", "extinguisher", "panel", "detector", "station", "transmitter",
    "line", "agent", "gateway", "register",
]  # fmt: skip
OWN: tuple[Category, ...] = ("line", "agent", "gateway", "register")
"""Categories that are no equipment: the system's knowledge of itself. Nobody waits for them to be online."""


class Repeat(Section):
    """Points that follow one pattern: `name` has `{n}` from 1, one every `step` registers."""

    count: int = Field(ge=1, le=2000)
    """How many a device has unless its site entry says so (`points:`)."""
    step: int = Field(default=1, ge=1, le=16)
    point: Point

    @field_validator("point", mode="before")
    @classmethod
    def _with_number(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and "{n" not in str(raw.get("name")):
            raise ValueError(f"repeat.point.name: got {raw.get('name')!r}, want {{n}} or {{n:03d}} in it.")
        if isinstance(raw, dict):
            # The pattern is kept aside so that the point itself stays an ordinary, checked record.
            raw = {**raw, "name": re.sub(r"\{n[^}]*\}", "n", str(raw["name"]))}
        return raw


class Modbus(Section):
    """How a device is read. Read only: function 3 (holding), 4 (input), 1 (coils) or 2 (discrete inputs)."""

    function: Literal[1, 2, 3, 4] = 3
    word_order: Literal["big", "little"] = "big"
    max_block: int = Field(default=60, ge=1, le=125)
    """Most registers the device answers in one read."""
    max_gap: int = Field(default=8, ge=0, le=124)
    """Unused registers that may be read along to save a request; 0 where the device refuses holes."""
    answer_ms: int = Field(default=300, ge=10, le=10000)
    """Worst time from request to answer, the device's own part."""


class LinePattern(Section):
    """One printed event: an RE2 pattern with the groups `address` and/or `text`, and the state it means."""

    pattern: str
    state: str | None
    """State of the addressed point; None: recorded, changes nothing."""
    resets: bool = False
    """Every point of the panel returns to normal (系统复位)."""


class Printer(Section):
    """A panel's printer port: text lines, received only."""

    encoding: Literal["gb18030", "utf-8", "ascii"] = "gb18030"
    event_end: str = "\n\n"
    """What ends an event, after ESC sequences were taken out."""
    idle_bytes: list[int] = [0x2A]
    """Filler a printer sends when it has nothing to say."""
    patterns: list[LinePattern]
    """Tried in order on each whole event; the first that matches decides."""
    address_format: str = "l{loop:03d}p{point:03d}"
    states: list[str] = ["normal", "fire", "fault", "feedback", "disabled"]


class ModbusVector(Section):
    """Frozen example: these registers give these values."""

    registers: dict[int, list[int]]
    """First register of a run -> its words."""
    values: dict[str, Any]
    qualities: dict[str, str] = {}


class PrinterVector(Section):
    """Frozen example: these bytes give these points and printed lines."""

    hex: str
    readings: list[tuple[str, str]]


class Profile(Section):
    """A device type."""

    id: Ident
    title: Text
    category: Category
    source: Words
    """Where the map and the ranges come from."""
    requirements: list[Words] = []
    """What the installer must do."""
    caveats: list[Words] = []
    poll_s: float = Field(default=10.0, ge=0.1, le=86400)
    """Default period of a poll."""
    max_silence_s: float = Field(default=300.0, ge=1, le=86400)
    """A value is reported at least this often, changed or not."""
    modbus: Modbus | None = None
    printer: Printer | None = None
    panel: Panel | None = None
    transmitter: Transmitter | None = None
    mqtt_json: MqttJson | None = None
    mqtt_frame: MqttFrame | None = None
    points: list[Point] = []
    repeat: Repeat | None = None
    repeat_name: str | None = None
    """Filled from `repeat.point.name`."""
    _titles: dict[str, Text] = PrivateAttr(default_factory=dict)
    test_vector: ModbusVector | PrinterVector | PanelVector | TransmitterVector | MqttVector

    @model_validator(mode="before")
    @classmethod
    def _keep_repeat_name(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and isinstance(raw.get("repeat"), dict):
            point = raw["repeat"].get("point")
            if isinstance(point, dict):
                raw = {**raw, "repeat_name": point.get("name")}
        return raw

    @model_validator(mode="after")
    def _consistent(self) -> Profile:
        kinds = ("modbus", "printer", "panel", "transmitter", "mqtt_json", "mqtt_frame")
        if sum(getattr(self, kind) is not None for kind in kinds) != 1:
            raise ValueError(f"want exactly one of {', '.join(kinds)}.")
        names = [point.name for point in self.points]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"points: got {sorted(twice)} more than once, want each name once.")
        if self.modbus is not None:
            for point in [*self.points, *([self.repeat.point] if self.repeat else [])]:
                if point.register_ is None and not point.text:  # a text is made by the agent, not read
                    raise ValueError(f"point {point.name}: got no register, want one. Name its address.")
        if self.mqtt_json is not None:
            check_fields(self.mqtt_json, self.points)
        return self

    @property
    def topic(self) -> str | None:
        """Topic pattern of a sensor that sends on a broker by itself; None for every other device."""
        sender = self.mqtt_json or self.mqtt_frame
        return None if sender is None else sender.topic

    @property
    def max_age_s(self) -> float:
        """A message older than this on arrival says nothing of now."""
        sender = self.mqtt_json or self.mqtt_frame
        return (None if sender is None else sender.max_age_s) or self.max_silence_s

    @cached_property
    def _by_name(self) -> dict[str, Point]:
        return {point.name: point for point in self.points_for(None)}

    def points_for(self, count: int | None) -> list[Point]:
        """All points of a device; `count` is how many repeated points it has (None: the profile's own)."""
        if self.repeat is None or self.repeat_name is None:
            return self._named(self.points)
        return self._named([*self.points, *map(self._repeated, range(1, (count or self.repeat.count) + 1))])

    def _repeated(self, n: int) -> Point:
        """The n-th repeated point."""
        assert self.repeat is not None
        assert self.repeat_name is not None
        template = self.repeat.point
        assert template.register_ is not None or self.printer is not None
        register = None if template.register_ is None else template.register_ + (n - 1) * self.repeat.step
        title = Text(zh=f"{template.title.zh} {n}", en=f"{template.title.en} {n}")
        name = self.repeat_name.format(n=n)
        return template.model_copy(update={"name": name, "title": title, "register_": register})

    def _named(self, points: list[Point]) -> list[Point]:
        """The points, those with a name of their own under it."""
        titles = self._titles
        return [p.model_copy(update={"title": titles[p.name]}) if p.name in titles else p for p in points]

    @property
    def titles(self) -> Mapping[str, Text]:
        """Point -> its own name, of a panel with a point map; empty without one."""
        return self._titles

    def with_titles(self, titles: Mapping[str, Text]) -> Profile:
        """The same profile for a panel whose addresses have names of their own."""
        copy = self.model_copy()
        copy.__dict__.pop("_by_name", None)  # made from the titles
        copy._titles = dict(titles)
        return copy

    @property
    def is_own(self) -> bool:
        """Whether it is no equipment but a part of this system (OWN)."""
        return self.category in OWN

    @property
    def is_listened_to(self) -> bool:
        """Whether its points are those it speaks of, known only once it has."""
        return self.printer is not None or self.panel is not None or self.transmitter is not None

    def point(self, name: str) -> Point | None:
        """The point of that name, made from the pattern where need be; None when the profile has none."""
        if name in BUILT_IN:
            return BUILT_IN[name]
        found = self._by_name.get(name)
        if found is None and self.repeat is not None and self.repeat_name is not None:
            # A device may have more repeated points than the profile's default.
            match = re.fullmatch(re.sub(r"\\\{n[^}]*\\\}", r"(\\d+)", re.escape(self.repeat_name)), name)
            if match and 1 <= int(match[1]) <= 2000:
                found = self._named([self._repeated(int(match[1]))])[0]
        if found is None and self.printer is not None and re.fullmatch(r"l\d{3}p\d{3}", name):
            title = self._titles.get(name) or Text(
                zh=f"回路 {int(name[1:4])} 地址 {int(name[5:8])}", en=f"Loop {int(name[1:4])} point {int(name[5:8])}"
            )
            found = _state_point(name, title, self.printer.states)
        if found is None and (self.panel is not None or self.transmitter is not None):
            address, _, quantity = name.partition("_") if unit_of(name) and not is_address(name) else (name, "", "")
            words = address_title(address)
            if words is not None:
                title = self._titles.get(address) or Text(zh=words[0], en=words[1])
                states = (AUTO, MANUAL) if name == MODE else STATES
                found = _measured_point(name, title) if quantity else _state_point(name, title, states)
        return found


def _state_point(name: str, title: Text, states: Iterable[str]) -> Point:
    raw = {"name": name, "title": title.model_dump(), "lane": "alarm", "type": "state"}
    return Point.model_validate({**raw, "states": dict(enumerate(states))})


def _measured_point(name: str, title: Text) -> Point:
    """A value that a transmitter measures beside the state of a component."""
    unit = unit_of(name)
    assert unit is not None
    title = Text(zh=f"{title.zh} {unit.quantity_zh}", en=f"{title.en} {unit.quantity_en}")
    return Point.model_validate({"name": name, "title": title.model_dump()})


def check_fields(mapping: MqttJson, points: list[Point]) -> None:
    """Raises ValueError when a JSON mapping and the points of its profile contradict each other."""
    known = {point.name: point for point in points}
    if known.keys() != mapping.fields.keys():
        odd = sorted(known.keys() ^ mapping.fields.keys())
        raise ValueError(f"mqtt_json.fields: got {odd} on one side only, want one field for each point.")
    for name, field in mapping.fields.items():
        point, unit = known[name], unit_of(name)
        if point.is_number and field.values is not None:
            raise ValueError(f"mqtt_json.fields.{name}.values: got values for a number. Take them out.")
        if field.unit is not None and (unit is None or (field.unit, unit.suffix) not in FACTORS):
            raise ValueError(f"mqtt_json.fields.{name}.unit: no factor from {field.unit!r} to this point.")
        if point.type == "state":
            words = set((point.states or {}).values())
            odd = sorted(map(str, set((field.values or {}).values()) - words))
            if odd or not field.values:
                raise ValueError(f"mqtt_json.fields.{name}.values: got {odd}, want words of {sorted(words)}.")
        if point.type == "bit" and not all(isinstance(value, bool) for value in (field.values or {}).values()):
            raise ValueError(f"mqtt_json.fields.{name}.values: want true or false for a truth.")


def _own(profile_id: Category, title: Text, source: Words, points: Iterable[Point]) -> Profile:
    # Not read from a file and no device of anybody's: made without the checks of a profile file (registers, vector).
    return Profile.model_construct(
        id=profile_id,
        title=title,
        category=profile_id,
        source=source,
        max_silence_s=600.0,
        points=list(points),
        test_vector=ModbusVector(registers={}, values={}),
    )


LINE_PROFILE = _own(
    "line",
    Text(zh="通信线路", en="Communication line"),
    Words(zh="采集终端对所轮询线路的自身测量。", en="The agent's own measurement of a line it polls."),
    (ONLINE_POINT, *LINE_POINTS),
)
"""What a line reports of itself, as the device `line-<id>`; `online` (alarm lane) is false while nothing on it can be
reached: its port is gone, or all of its devices (two at least) are silent."""
LISTENED_LINE_PROFILE = _own(
    "line",
    Text(zh="通信线路", en="Communication line"),
    Words(zh="采集终端对所监听线路的自身了解。", en="The agent's own knowledge of a line it listens on."),
    (ONLINE_POINT,),
)
"""The same of a line that is only listened to (a printer port, a panel, a broker of sensors)."""
AGENT_PROFILE = _own(
    "agent",
    Text(zh="采集终端", en="Edge agent"),
    Words(
        zh="网关由采集终端的心跳及其对报警通路验证的应答得知。",
        en="What the gateway knows of an agent from its heartbeats, and what it answers to a proof of the path.",
    ),
    AGENT_POINTS,
)
"""What is known of an agent, as the device `agent-<id>` of its site."""
REGISTER_PROFILE = _own(
    "register",
    Text(zh="值守与管理", en="Duty and management"),
    Words(
        zh="网关为站点保存的设备以外的内容：值守、消防站、火情、巡查、隐患。",
        en="What the gateway keeps of a site beside its equipment: duty, station, incidents, patrols, hazards.",
    ),
    REGISTER_POINTS,
)
GATEWAY_PROFILE = _own(
    "gateway",
    Text(zh="网关", en="Gateway"),
    Words(zh="网关对自身的测量。", en="The gateway's own measurement of itself."),
    GATEWAY_POINTS,
)
"""What the gateway knows of itself, as the device `gateway` of the reserved site `system`."""


def load_profile(path: Path) -> Profile:
    """One profile file. Raises ConfigError with file and line."""
    profile = configfile.load(path, Profile)
    if profile.id != path.stem:
        raise ConfigError(f"{path}:1: id: got {profile.id!r}, want {path.stem!r}. The file is named after its id.")
    return profile


class ProfileLibrary:
    """All profiles by id: those shipped, then those of `extra` folders, which may replace one by its id."""

    def __init__(self, extra: list[Path] | None = None) -> None:
        self._folders = [PROFILES, *(extra or [])]
        self._loaded: dict[str, Profile] = {}

    def __getitem__(self, profile_id: str) -> Profile:
        if profile_id not in self._loaded:
            path = self._find(profile_id)
            if path is None:
                raise KeyError(profile_id)
            self._loaded[profile_id] = load_profile(path)
        return self._loaded[profile_id]

    def __contains__(self, profile_id: object) -> bool:
        return isinstance(profile_id, str) and self._find(profile_id) is not None

    def ids(self) -> list[str]:
        """Every profile id there is, sorted."""
        return sorted({path.stem for folder in self._folders for path in folder.glob("*.yaml")})

    def __iter__(self) -> Iterator[Profile]:
        return (self[profile_id] for profile_id in self.ids())

    def _find(self, profile_id: str) -> Path | None:
        if not re.fullmatch(IDENT, profile_id):
            return None
        paths = [folder / f"{profile_id}.yaml" for folder in self._folders]
        return next((path for path in reversed(paths) if path.is_file()), None)


def matches(pattern: str, profile_id: str, point: str) -> bool:
    """Whether `profile/point` fits a pattern such as `panel-modbus/p*`."""
    return fnmatch.fnmatchcase(f"{profile_id}/{point}", pattern)


__all__ = [
    "AGENT_POINTS",
    "AGENT_PROFILE",
    "BUILT_IN",
    "GATEWAY_POINTS",
    "GATEWAY_PROFILE",
    "HEALTH_POINTS",
    "IDENTITY_POINTS",
    "LINE_POINTS",
    "LINE_PROFILE",
    "LISTENED_LINE_PROFILE",
    "ONLINE",
    "ONLINE_POINT",
    "OWN",
    "REGISTER_PROFILE",
    "Category",
    "Ident",
    "Modbus",
    "Point",
    "Printer",
    "Profile",
    "ProfileLibrary",
    "Text",
    "Value",
    "load_profile",
    "matches",
]
