"""Names of codes, from tables.yaml, and the private tables (dialects) that makers put into the user ranges.

A private code means different things to different makers. So a name from a dialect is only used where the site says
that the transmitter speaks it; otherwise every dialect that knows the code is offered as a hint.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field

from contract.configfile import Section, load
from contract.errors import ConfigError
from contract.gb26875.frame import Frame

FOLDER = Path(__file__).parent
COMMON = "common"
_FIRST_USER_CODE = 128
Code = Annotated[int, Field(ge=0, le=255)]


class Name(Section):
    """A name in both languages."""

    zh: str
    en: str


class AnalogType(Name):
    """A measured quantity. unit: as the standard writes it, "" when unknown. Value = raw / divisor."""

    unit: str = ""
    divisor: int = Field(default=1, ge=1)
    range: tuple[float, float] | None = None

    def value(self, raw: int) -> float:
        """The value in `unit` of the number on the wire."""
        return raw / self.divisor

    def is_in_range(self, raw: int) -> bool:
        """Whether the standard allows this value."""
        return self.range is None or self.range[0] <= self.value(raw) <= self.range[1]


class Heartbeat(Section):
    """A frame that only says "I am here", and its answer. unit: hex, None for any."""

    command: Code
    unit: str | None = None
    answer_command: Code
    answer_unit: str = ""


class TagReports(Section):
    """Where a private report of tags (units.read_tag_report) may stand in a unit of type 2."""

    system_types: list[Code]
    component_types: list[Code]
    entry_types: dict[int, str]
    """State of a tag -> word."""


class Dialect(Section):
    """What one family of transmitters does in the user ranges and beside the standard."""

    title: Name
    source: str
    caveats: str = ""
    heartbeats: list[Heartbeat] = []
    commands: dict[Code, Name] = {}
    unit_types: dict[Code, Name] = {}
    system_types: dict[Code, Name] = {}
    component_types: dict[Code, Name] = {}
    analog_types: dict[Code, AnalogType] = {}
    object_bytes: dict[Code, Annotated[int, Field(ge=1, le=255)]] = {}
    """Types whose objects are private and so long."""
    tag_reports: list[TagReports] = []


class Standard(Section):
    """The standard's own codes."""

    commands: dict[Code, Name]
    unit_types: dict[Code, Name]
    system_types: dict[Code, Name]
    component_types: dict[Code, Name]
    analog_types: dict[Code, AnalogType]


class Hint(NamedTuple):
    """What a dialect calls a code that the standard leaves to the user."""

    dialect: str
    name: Name


KINDS = ("commands", "unit_types", "system_types", "component_types", "analog_types")
RESERVED, USER = Name(zh="保留", en="reserved"), Name(zh="用户自定义", en="user range")


class Tables:
    """The codes as a transmitter of these dialects uses them; a later dialect goes before an earlier one.

    Args:
        dialects: names of files in dialects/ beside `common`, which always holds.

    Raises:
        ConfigError: there is no such dialect.
    """

    def __init__(self, *dialects: str) -> None:
        self.dialects = tuple(dict.fromkeys((COMMON, *dialects)))
        self._standard = _standard()
        self._known = [read_dialect(name) for name in reversed(self.dialects)]
        self.object_bytes = {code: size for known in reversed(self._known) for code, size in known.object_bytes.items()}
        self.heartbeats = [beat for known in self._known for beat in known.heartbeats]
        self._beats: dict[tuple[int, bytes | None], Heartbeat] = {}
        for beat in self.heartbeats:
            self._beats.setdefault((beat.command, None if beat.unit is None else bytes.fromhex(beat.unit)), beat)
        self.tag_reports = [report for known in self._known for report in known.tag_reports]

    def name(self, kind: str, code: int) -> Name:
        """Name of a code of one of KINDS; `reserved` or `user range` where it has none."""
        found = self._find(kind, code)
        is_user = code >= _FIRST_USER_CODE and not (kind == "unit_types" and code == 255)
        return found or (USER if is_user else RESERVED)

    def analog(self, code: int) -> AnalogType | None:
        """The quantity of an analog type, None when unknown: then a raw number has no unit and no meaning."""
        found = self._find("analog_types", code)
        return found if isinstance(found, AnalogType) else None

    def hints(self, kind: str, code: int) -> list[Hint]:
        """What dialects that were not named call this code; empty when it has a name."""
        if self._find(kind, code) is not None:
            return []
        named = ((dialect, getattr(read_dialect(dialect), kind).get(code)) for dialect in dialect_names())
        return [Hint(dialect, name) for dialect, name in named if name is not None]

    def heartbeat(self, frame: Frame) -> Heartbeat | None:
        """The heartbeat this frame is, None when it is none."""
        beats, command = self._beats, frame.command
        return beats.get((command, frame.unit)) or beats.get((command, None))

    def _find(self, kind: str, code: int) -> Name | None:
        for source in (*self._known, self._standard):
            found: Name | None = getattr(source, kind).get(code)
            if found is not None:
                return found
        return None


@cache
def dialect_names() -> tuple[str, ...]:
    """Every dialect there is, sorted."""
    return tuple(sorted(path.stem for path in (FOLDER / "dialects").glob("*.yaml")))


@cache
def read_dialect(name: str) -> Dialect:
    """A dialect by name. Raises ConfigError when there is none, naming those there are."""
    if name not in dialect_names():
        raise ConfigError(f"dialect: got {name!r}, want one of {', '.join(dialect_names())}. Name one of these.")
    return load(FOLDER / "dialects" / f"{name}.yaml", Dialect)


@cache
def _standard() -> Standard:
    return load(FOLDER / "tables.yaml", Standard)
