"""What every operator command is made of: its form, what it may need from the ledger, how it is refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import msgspec

from gateway.control.client import ControlError
from gateway.control.protocol import Problem
from gateway.turn import Turn

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Note = Annotated[str, msgspec.Meta(max_length=2000)]
Said = Annotated[str, msgspec.Meta(min_length=1, max_length=2000, pattern=r"\S")]
"""A note or reason that must not be empty."""
Load = Callable[[sqlite3.Connection], Any]


class Form(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of a command; unknown ones are refused."""


class Command(NamedTuple):
    """One operation.

    act(args, actor, turn, loaded) checks everything first, then notes its changes in the turn and gives the result;
    it raises ControlError having changed nothing. needs(args): what is to be read from the ledger before.
    """

    form: type[Form]
    act: Callable[..., Any]
    needs: Callable[..., Load] | None = None


def refuse(code: str, text: str) -> ControlError:
    """Why not. code: not_found | conflict | invalid | unavailable."""
    return ControlError(Problem(code, text))


def is_known(turn: Turn, site: str, device: str) -> bool:
    """Whether the device stands in a site file or was approved."""
    return turn.state.engine.knows(site, device)
