"""`weizhan readiness`: what the stations were, from the ledger alone, and whether it is what was shown."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.failures import errors
from contract.errors import ConfigError, RetryLater, WeizhanError

app = typer.Typer(no_args_is_help=True, help="Readiness of the stations. A local measure, not an official score.")
Config = Annotated[Path, typer.Option("--config", "-c", help="Configuration file.")]
Site = Annotated[str | None, typer.Option(help="Site of the station; every station unless given.")]
From = Annotated[str | None, typer.Option("--from", help="ISO 8601, with offset; without one it is UTC.")]
To = Annotated[str | None, typer.Option("--to", help="ISO 8601, exclusive; now unless given.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DEFAULT = Path("weizhan.yaml")
FOREVER_MS = 2**53


class NotTheSame(WeizhanError):
    """What was shown is not what follows from the primary rows."""


@app.command()
def show(
    site: Site = None, start: From = None, end: To = None, as_json: AsJson = False, config: Config = DEFAULT
) -> None:
    """Share of the time a station was ready, and everything that took from it, as it was shown."""
    from gateway.duty import readiness_report as r

    with errors(), _ledger(config) as connection:
        from_ms, until_ms = _span(start, end)
        found = [
            r.shown(connection, name, _first(connection, name, from_ms), until_ms) for name in _sites(connection, site)
        ]
    _print(found, as_json)


@app.command()
def recompute(
    site: Site = None, start: From = None, end: To = None, as_json: AsJson = False, config: Config = DEFAULT
) -> None:
    """Derive the same from alarms, transitions, rule versions and the audit chain alone, and compare: equal, or the
    first difference (exit status 1)."""
    from gateway.duty import readiness_report as r

    with errors(), _ledger(config) as connection:
        from_ms, until_ms = _span(start, end)
        names = _sites(connection, site)
        found, apart = [], []
        all_derived = r.derived(connection, names, 0, until_ms)
        for name in names:
            begin_ms = _first(connection, name, from_ms)
            shown = r.shown(connection, name, begin_ms, until_ms)
            derived = r.within(all_derived[name], begin_ms)
            found.append(derived)
            if (difference := r.difference(shown, derived)) is not None:
                apart.append(difference)
        _print(found, as_json)
        if apart:
            first = min(apart, key=lambda each: each.at_ms)
            raise NotTheSame(
                f"{first.site}: {first.what} at {_iso(first.at_ms)}: shown {first.shown}, but the primary rows give "
                f"{first.derived}. A row was altered; `weizhan ledger verify` names it."
            )
    if not as_json:
        print("Equal to what was shown, to the millisecond.")


@contextmanager
def _ledger(config: Path) -> Iterator[sqlite3.Connection]:
    """The ledger of a configuration, read-only, in one transaction."""
    from cli.settings import load_checked
    from gateway.ledger.store import FILE

    settings = load_checked(config, "web")
    assert settings.gateway is not None
    path = settings.gateway.data_dir / FILE
    if not path.is_file():
        raise ConfigError(f"{path}: got no ledger, want one. Has a gateway run with this configuration?")
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        try:
            connection.execute("BEGIN")
            yield connection
        finally:
            connection.close()
    except sqlite3.OperationalError as exc:
        raise RetryLater(f"{path}: {exc}. Check that a ledger is there and readable.") from exc


def _sites(connection: sqlite3.Connection, site: str | None) -> list[str]:
    from gateway.duty.readiness_report import stations

    known = stations(connection)
    if site is not None and site not in known:
        raise ConfigError(f"--site: got {site!r}, want one of {', '.join(known) or '(no station yet)'}.")
    return known if site is None else [site]


def _first(connection: sqlite3.Connection, site: str, from_ms: int | None) -> int:
    """Where to begin: as asked for, else with the first row of the station."""
    if from_ms is not None:
        return from_ms
    query = "SELECT min(from_ms) FROM entry WHERE kind = 'readiness' AND site = ?"
    return int(connection.execute(query, (site,)).fetchone()[0] or 0)


def _span(start: str | None, end: str | None) -> tuple[int | None, int]:
    from_ms = None if start is None else _ms("--from", start)
    until_ms = FOREVER_MS if end is None else _ms("--to", end)
    if from_ms is not None and from_ms >= until_ms:
        raise ConfigError(f"--to: got {end}, want a time after --from {start}.")
    return from_ms, until_ms


def _ms(option: str, text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as exc:
        raise ConfigError(f"{option}: got {text!r}, want a time such as 2026-10-01T00:00:00+08:00.") from exc
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")


def _print(found: list[Any], as_json: bool) -> None:
    from gateway.duty.readiness_report import LOCAL_MEASURE, as_data

    if as_json:
        print(json.dumps([as_data(account) for account in found], ensure_ascii=False, indent=2))
        return
    print(LOCAL_MEASURE)
    for account in found:
        for line in _lines(account):
            print(line)


def _lines(account: Any) -> Iterator[str]:
    summary = account.summary
    yield f"\n{account.site}  {_iso(account.from_ms)} to {_iso(account.until_ms)}"
    for level, ms in summary.ms.items():
        percent = summary.percent(level)
        yield f"  {level:<11} {'-' if percent is None else f'{percent:8.4f} %'}  {ms / 1000:14.3f} s"
    score = "-" if summary.score is None else f"{summary.score:.2f}"
    yield f"  mean score while everything was known: {score}"
    yield f"  deductions: {len(account.deductions)}"
    for each in account.deductions:
        accepted = "  accepted risk" if each.accepted else ""
        lasted_s = (each.until_ms - each.from_ms) / 1000
        yield (
            f"    {_iso(each.from_ms)}  {lasted_s:12.3f} s  {each.level:<9} {each.points:5g}  {each.rule}  "
            f"{each.subject}  alarm {each.alarm}{accepted}"
        )
