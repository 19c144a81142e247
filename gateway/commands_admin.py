"""Commands of administrators that are about the whole installation."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from gateway.backup.register import DONE, Backup
from gateway.commands_form import Command, Form, Name, refuse
from gateway.commands_notify import GATEWAY
from gateway.sites.register import APPLYING
from gateway.turn import Turn

Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
CHAIN = "audit/chain"


class _Verified(Form):
    head: Annotated[int, msgspec.Meta(ge=0)]
    hash: Hash
    rows: Annotated[int, msgspec.Meta(ge=0)]
    problem: Annotated[str, msgspec.Meta(max_length=8000)]


def _verified(args: _Verified, actor: str, turn: Turn, _: None) -> Any:
    turn.changes.add_audit(
        actor, "audit.verified", CHAIN, head=args.head, hash=args.hash, rows=args.rows, problem=args.problem
    )
    return {}


class _Nothing(Form):
    pass


class _OnBackup(Form):
    id: int


class _SettleBackup(Form):
    id: int
    file: Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[\w.-]*$")] = ""
    bytes: int = 0
    files: int = 0
    covers_ms: int | None = None
    head: int = 0
    head_hash: str = ""
    why: Annotated[str, msgspec.Meta(max_length=500)] = ""


class _VerifiedBackup(Form):
    id: int
    problem: Annotated[str, msgspec.Meta(max_length=2000)] = ""


def _make_backup(args: _Nothing, actor: str, turn: Turn, _: None) -> Any:
    del args
    return {"id": turn.state.registers.backups.ask(actor, turn.pen).id}


def _settle_backup(args: _SettleBackup, actor: str, turn: Turn, _: None) -> Any:
    _only_gateway(actor)
    backups = turn.state.registers.backups
    row = backups.running
    if row is None or row.id != args.id or not (args.file or args.why):
        raise refuse("conflict", f"backup {args.id}: got none that is being made.")
    told = {name: getattr(args, name) for name in args.__struct_fields__ if name != "id"}
    backups.settle(row, turn.pen, **told)
    return {}


def _verified_backup(args: _VerifiedBackup, actor: str, turn: Turn, _: None) -> Any:
    turn.state.registers.backups.verified(_find_backup(args.id, turn), args.problem, actor, turn.pen)
    return {}


def _delete_backup(args: _OnBackup, actor: str, turn: Turn, _: None) -> Any:
    _only_gateway(actor)
    turn.state.registers.backups.delete(_find_backup(args.id, turn), turn.pen)
    return {}


def _find_backup(number: int, turn: Turn) -> Backup:
    row = turn.state.registers.backups.sheet.rows.get(number)
    if row is None or row.state != DONE:
        raise refuse("not_found", f"backup {number}: got none that is complete.")
    return row


def _only_gateway(actor: str) -> None:
    if actor != GATEWAY:
        raise refuse("invalid", f"actor: got {actor!r}, want the gateway itself.")


class _BeginVersion(Form):
    site: Name
    sha256: Hash
    before: Hash
    devices: int


class _EndVersion(Form):
    id: int
    why: Annotated[str, msgspec.Meta(max_length=500)] = ""


def _begin_version(args: _BeginVersion, actor: str, turn: Turn, _: None) -> Any:
    versions = turn.state.registers.site_versions
    return {"id": versions.begin(args.site, args.sha256, args.before, args.devices, actor, turn.pen).id}


def _end_version(args: _EndVersion, actor: str, turn: Turn, _: None) -> Any:
    _only_gateway(actor)
    versions = turn.state.registers.site_versions
    row = versions.sheet.rows.get(args.id)
    if row is None or row.state != APPLYING:
        raise refuse("conflict", f"site file {args.id}: got none that is coming into force.")
    versions.end(row, args.why, turn.pen)
    return {}


COMMANDS: dict[str, Command] = {
    "site_version.begin": Command(_BeginVersion, _begin_version),
    "site_version.end": Command(_EndVersion, _end_version),
    "audit.verified": Command(_Verified, _verified),
    "backup.make": Command(_Nothing, _make_backup),
    "backup.settle": Command(_SettleBackup, _settle_backup),
    "backup.verified": Command(_VerifiedBackup, _verified_backup),
    "backup.delete": Command(_OnBackup, _delete_backup),
}
WHOLE = frozenset({*COMMANDS, "notify.test"})
"""What a person of one area may not do: it is about all of them."""
