"""One point of a device: its name with its unit, where it stands on the wire, which values are plausible."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from contract.configfile import Section
from contract.messages import Lane
from contract.topics import IDENT
from contract.units import FACTORS, unit_of

Ident = Annotated[str, Field(pattern=f"^{IDENT}$")]
RegisterType = Literal["uint16", "int16", "uint32", "int32", "float32", "bit", "state"]
WORDS: dict[str, int] = {"uint32": 2, "int32": 2, "float32": 2}


class Text(Section):
    """A text for people, in both languages."""

    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)

    def get(self, lang: str) -> str:
        """The text in `zh` or `en`."""
        return self.zh if lang == "zh" else self.en


class Words(Text):
    """A text of which one language may do: a plain string, as in a profile or pack of one's own, stands for both."""

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, given: Any) -> Any:
        return {"zh": given, "en": given} if isinstance(given, str) else given


class DeviceUnit(Section):
    """A transmitter that tells its own unit and decimals: value = (raw + offset) / 10^decimals, then converted."""

    unit_register: int = Field(ge=0, le=65535)
    unit_codes: dict[int, str]
    """Unit code in the device -> unit (a first member of contract.units.FACTORS). Brands differ."""
    decimals_register: int = Field(ge=0, le=65535)
    offset_register: int | None = Field(default=None, ge=0, le=65535)


class Point(Section):
    """One point of a device."""

    name: str = Field(pattern=f"^({IDENT})$")
    title: Text
    lane: Lane = "telemetry"
    """Contact-like points go on the alarm lane: sent first, never thinned."""
    register_: int | None = Field(default=None, alias="register", ge=0, le=65535)
    """Address in the protocol's own counting, from 0."""
    type: RegisterType = "uint16"
    bit: int | None = Field(default=None, ge=0, le=15)
    mask: int | None = Field(default=None, ge=1, le=0xFFFF)
    """Bits of the word that carry a `state` (the low byte of a GST state register is 0x00FF)."""
    states: dict[int, str] | None = None
    """Raw code -> state word, for type `state`. A code that is not listed gives quality bad:unknown_state."""
    scale: float = 1.0
    """Value = raw * scale + offset, in the unit at the end of the name."""
    offset: float = 0.0
    range: tuple[float, float] | None = None
    """Plausible values, in the point's unit; outside is bad:out_of_range, never a value."""
    missing: list[int] = []
    """Raw words that mean "no value" (bad:missing)."""
    deadband: float = Field(default=0.0, ge=0)
    """A change of at least this is reported at once. 0: every change."""
    device_unit: DeviceUnit | None = None
    text: bool = False
    """The value is text for people (a printed line)."""

    @model_validator(mode="after")
    def _consistent(self) -> Point:
        if self.type == "bit" and self.bit is None and self.register_ is not None:
            raise ValueError(f"point {self.name}: got type bit without `bit`, want 0..15. Name the bit.")
        if (self.type == "state") != (self.states is not None):
            raise ValueError(f"point {self.name}: want `states` exactly with type state.")
        if self.range and self.range[0] >= self.range[1]:
            raise ValueError(f"point {self.name}: got range {list(self.range)}, want low < high.")
        unit = unit_of(self.name)
        if self.device_unit:
            for code, name in self.device_unit.unit_codes.items():
                if unit is None or (name, unit.suffix) not in FACTORS:
                    raise ValueError(f"point {self.name}: unit code {code}: no factor from {name!r} to this point.")
        return self

    @property
    def is_number(self) -> bool:
        """Whether values are measurements rather than truths, states or text."""
        return self.type not in ("bit", "state") and not self.text

    @property
    def words(self) -> int:
        """Registers the point takes."""
        return WORDS.get(self.type, 1)
