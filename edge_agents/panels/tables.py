"""The makers' code tables of tables.yaml, read once."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from contract.panel import EventClass

FILE = Path(__file__).parent / "tables.yaml"


class Meaning(NamedTuple):
    """What a code stands for."""

    event: EventClass
    restored: bool = False


class Words(NamedTuple):
    """A word in both languages, empty when unknown."""

    zh: str = ""
    en: str = ""


UNKNOWN = Words()


@cache
def load_tables() -> dict[str, Any]:
    """The whole file; called where a receiver is made, so that its first event does not wait for it."""
    data: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
    return data


def table(maker: str) -> dict[str, Any]:
    """Everything of one maker, as it stands in the file."""
    found: dict[str, Any] = load_tables()[maker]
    return found


@cache
def meanings(maker: str, name: str) -> dict[Any, Meaning]:
    """A table of codes and what they mean."""
    return {code: meaning(entry) for code, entry in table(maker)[name].items()}


@cache
def words(maker: str, name: str) -> dict[int, Words]:
    """A table of codes and their words."""
    return {code: Words(*entry) for code, entry in table(maker)[name].items()}


def meaning(entry: list[str]) -> Meaning:
    """`[fault, restored]` as a meaning."""
    return Meaning(EventClass(entry[0]), "restored" in entry[1:])
