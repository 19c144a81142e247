"""Values of a story file: durations as people write them, and parameters that a seed or the command line decides.

at: 1h30m            a duration: d, h, m, s, ms; a plain number is seconds
hole_mm: $hole_mm    the parameter of that name, with its type
"${where}/impact"    a parameter within a text, in keys too
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from contract.configfile import Section
from contract.errors import ConfigError

_UNITS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[dhms]))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[dhms])")
_NAMED = re.compile(r"\$\{([a-z][a-z0-9_]*)\}|\$([a-z][a-z0-9_]*)")


def parse_duration(value: Any) -> Any:
    """Seconds of `2h30m`; anything else as it is, for the type to judge. Raises ValueError."""
    if not isinstance(value, str):
        return value
    if not _DURATION.fullmatch(value):
        raise ValueError(f"got {value!r}, want a duration such as 90s, 2h30m or 7d, or a number of seconds.")
    return round(sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(value)), 3)


Seconds = Annotated[float, BeforeValidator(parse_duration)]
"""Seconds; a text such as `2h30m` is read as one."""


class Parameter(Section):
    """What a story leaves open: one of these three."""

    between: tuple[float | str, float | str] | None = None
    """Drawn evenly; whole numbers give a whole number, durations a duration."""
    one_of: list[float | bool | str] | None = Field(default=None, min_length=1)
    """Drawn from this list."""
    value: float | bool | str | None = None
    """The same for every seed; there to be set on the command line."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(each is not None for each in (self.between, self.one_of, self.value)) != 1:
            raise ValueError("want exactly one of `between`, `one_of` and `value`.")
        return self

    def draw(self, rng: random.Random) -> float | bool | str:
        """Its value for a seed."""
        if self.value is not None:
            return self.value
        if self.one_of is not None:
            return rng.choice(self.one_of)
        assert self.between is not None
        low, high = (parse_duration(each) for each in self.between)
        if all(float(each).is_integer() for each in (low, high)):
            return rng.randint(int(low), int(high))
        return round(rng.uniform(low, high), 3)


def draw_parameters(
    known: Mapping[str, Parameter], seed: int, given: Mapping[str, Any] | None = None
) -> dict[str, float | bool | str]:
    """A value for each parameter: what was given, else by the seed. Each has its own chance, whatever the others do.

    Raises:
        ConfigError: a value was given for a parameter the story does not have.
    """
    given = given or {}
    for name in given:
        if name not in known:
            raise ConfigError(f"--set {name}: got no such parameter, want one of {', '.join(known) or '(none)'}.")
    return {
        name: given[name] if name in given else parameter.draw(random.Random(f"{seed}/{name}"))  # noqa: S311  # must repeat, no secret
        for name, parameter in known.items()
    }


def fill_in(data: Any, values: Mapping[str, float | bool | str]) -> Any:
    """Plain data with its parameters filled in.

    Raises:
        ValueError: it names a parameter that is not there.
    """
    if isinstance(data, Mapping):
        return {fill_in(key, values): fill_in(value, values) for key, value in data.items()}
    if isinstance(data, list):
        return [fill_in(each, values) for each in data]
    if not isinstance(data, str) or "$" not in data:
        return data
    whole = _NAMED.fullmatch(data)
    if whole is not None:
        return _value(whole, values)
    return _NAMED.sub(lambda match: _text(_value(match, values)), data)


def _value(match: re.Match[str], values: Mapping[str, float | bool | str]) -> float | bool | str:
    name = match[1] or match[2]
    if name not in values:
        raise ValueError(f"got the parameter {match[0]}, want one of {', '.join(values) or '(none)'}.")
    return values[name]


def _text(value: float | bool | str) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def parse_given(texts: Iterable[str]) -> dict[str, float | bool | str]:
    """`NAME=VALUE` of the command line as values by parameter. Raises ConfigError."""
    values: dict[str, float | bool | str] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign:
            raise ConfigError(f"--set {text}: got no value, want NAME=VALUE.")
        values[key] = _parsed(value)
    return values


def _parsed(value: str) -> float | bool | str:
    for read in (int, float):
        try:
            return read(value)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(value, value)
