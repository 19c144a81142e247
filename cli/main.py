"""The command line. Each command imports what it runs only when it runs, so that an agent carries no web server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.backup import app as backup
from cli.export_verify import app as export
from cli.failures import errors
from cli.gb26875 import app as gb26875
from cli.gb26875_listen import listen
from cli.line import line
from cli.notify import app as notify
from cli.panel import panel
from cli.people import app as people
from cli.readiness import app as readiness
from cli.rules import rules
from cli.sim import app as sim

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Weizhan 微站: watches fire equipment, never controls it.",
)
edge = typer.Typer(no_args_is_help=True, help="The agent beside the equipment.")
gateway = typer.Typer(no_args_is_help=True, help="The gateway: decides and remembers.")
web = typer.Typer(no_args_is_help=True, help="The pages.")
history = typer.Typer(no_args_is_help=True, help="The time series.")
audit = typer.Typer(no_args_is_help=True, help="The audit chain.")
ledger = typer.Typer(no_args_is_help=True, help="The ledger.")
user = typer.Typer(no_args_is_help=True, help="The people who sign in.")
for group, name in (
    (edge, "edge"),
    (gateway, "gateway"),
    (web, "web"),
    (history, "history"),
    (audit, "audit"),
    (backup, "backup"),
    (ledger, "ledger"),
    (readiness, "readiness"),
    (user, "user"),
    (line, "line"),
    (gb26875, "gb26875"),
    (panel, "panel"),
    (rules, "rules"),
    (notify, "notify"),
    (people, "people"),
    (sim, "sim"),
    (export, "export"),
):
    app.add_typer(group, name=name)
gb26875.command()(listen)

Config = Annotated[Path, typer.Option("--config", "-c", help="Configuration file.")]
DEFAULT = Path("weizhan.yaml")


def _run(service: Coroutine[Any, Any, None]) -> None:
    import logging
    import os

    import uvloop

    # What a service writes (ledger, outbox, passwords) is for its own user only.
    os.umask(0o077)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    for ours in ("edge_agents", "gateway", "rules"):
        logging.getLogger(ours).setLevel(logging.INFO)
    with errors():
        uvloop.run(service)


@app.command()
def check(config: Annotated[Path, typer.Argument(help="Configuration file.")] = DEFAULT) -> None:
    """Check a configuration as a start would, and say what is wrong: file, line, got, wanted, what to do."""
    from cli.settings import advice_on, load_checked

    with errors():
        settings = load_checked(config)
    for text in advice_on(settings):
        print(f"note: {text}")
    parts = [name for name in ("agent", "gateway") if getattr(settings, name) is not None]
    print(f"{config}: good ({', '.join(parts) or 'no agent, no gateway'}).")


@edge.command("run")
def edge_run(config: Config = DEFAULT) -> None:
    """Run the edge agent of this configuration."""
    from cli.settings import load_checked

    with errors():
        settings = load_checked(config, "agent")
    from edge_agents.agent import run

    assert settings.agent is not None
    _run(run(settings.agent, settings.agent_mqtt))


@gateway.command("run")
def gateway_run(config: Config = DEFAULT) -> None:
    """Run the gateway of this configuration: the one process that writes the ledger."""
    from cli.settings import load_checked

    with errors():
        settings = load_checked(config, "gateway")
    from gateway.app import run

    assert settings.gateway is not None
    certificates = [path for path in (settings.web.tls_cert_file,) if path is not None]
    _run(run(settings.gateway, settings.history, settings.gateway_mqtt, settings.notify, certificates, config))


@web.command("run")
def web_run(config: Config = DEFAULT) -> None:
    """Run the pages."""
    from cli.settings import load_checked

    with errors():
        settings = load_checked(config, "web")
    from gateway.web.app import run
    from gateway.web.configured import Configured

    assert settings.gateway is not None
    certificates = [settings.mqtt.ca_file, settings.web.tls_cert_file]
    used = tuple(path for path in certificates if path is not None)
    configured = Configured(config, settings.notify, settings.gateway.backup, used)
    told = lambda address: print(address, flush=True)  # noqa: E731 # one line is what it is
    _run(run(settings.web, settings.gateway, settings.history, configured=configured, ready=told))


@app.command()
def up(config: Config = DEFAULT) -> None:
    """Run everything this configuration names on this machine: agent, gateway, pages."""
    from cli.settings import load_checked
    from cli.up import run_up

    with errors():
        settings = load_checked(config)
        asyncio.run(run_up(config, settings))


@app.command()
def demo(
    seconds: Annotated[
        int | None, typer.Option(min=1, help="Run the story once, headless, fitted into so many seconds.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write what was measured, as JSON.")] = None,
    story: Annotated[str, typer.Option(help="Which story of simulators/stories.")] = "micro-station",
    seed: Annotated[int, typer.Option(help="Seed of the story.")] = 1,
    port: Annotated[int, typer.Option(help="Port of the pages; the next free one when it is taken.")] = 8080,
    data: Annotated[Path | None, typer.Option(help="Folder for its files; a temporary one by default.")] = None,
) -> None:
    """Run the whole product on embedded parts with a simulated station."""
    from cli.demo import DemoOptions, run_demo

    options = DemoOptions(seconds=seconds, story=story, seed=seed, port=port, folder=data)
    with errors():
        outcome = asyncio.run(run_demo(options))
    if outcome is None:
        return
    text = json.dumps(outcome, ensure_ascii=False, indent=2)
    if report is not None:
        report.write_text(text + "\n", "utf-8")
    print(text)
    if not outcome["passed"]:
        raise typer.Exit(1)


@history.command("export")
def history_export(
    site: Annotated[str, typer.Option(help="Site.")],
    point: Annotated[str, typer.Option(help="device/point")],
    start: Annotated[str, typer.Option("--from", help="ISO 8601, with offset; without one it is UTC.")],
    end: Annotated[str, typer.Option("--to", help="ISO 8601, exclusive.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write; .csv or .jsonl.")],
    bucket_s: Annotated[int | None, typer.Option(help="Min, mean and max of buckets of so many seconds.")] = None,
    config: Config = DEFAULT,
) -> None:
    """Write the history of one point to a file."""
    from cli.export import Range, export_history
    from cli.settings import load_checked

    with errors():
        settings = load_checked(config, "web")
        span = Range.parse(start, end)
        rows = asyncio.run(export_history(settings, site, point, span, output, bucket_s))
    print(f"{output}: {rows} rows.")


@audit.command("verify")
def audit_verify(
    head: Annotated[
        str | None,
        typer.Option(help="A head printed earlier (ID:HASH) or the file of a signed one: finds a tail that was cut."),
    ] = None,
    config: Config = DEFAULT,
) -> None:
    """Check the hash chain of the audit rows; names the first row that does not fit, and prints the head to keep."""
    from cli.audit import verify_audit
    from cli.settings import load_checked

    with errors():
        settings = load_checked(config, "web")
        assert settings.gateway is not None
        print(verify_audit(settings.gateway.data_dir, head))


@ledger.command("verify")
def ledger_verify(
    head: Annotated[
        str | None,
        typer.Option(help="A head printed earlier (ID:HASH) or the file of a signed one: finds a tail that was cut."),
    ] = None,
    config: Config = DEFAULT,
) -> None:
    """Check the audit chain and every row that it holds: alarms, their transitions, versions of rules, rows of the
    registers; names the rows that were altered, taken out or put in."""
    from cli.ledger import verify_ledger
    from cli.settings import load_checked

    with errors():
        settings = load_checked(config, "web")
        assert settings.gateway is not None
        print(verify_ledger(settings.gateway.data_dir, head))


@user.command("list")
def user_list(config: Config = DEFAULT) -> None:
    """Everybody who may sign in: name, role, area, state."""
    from cli.settings import load_checked
    from cli.user import list_users

    with errors():
        settings = load_checked(config, "web")
        assert settings.gateway is not None
        rows = list_users(settings.gateway.data_dir)
    for row in rows:
        print(*row)


@user.command("enable")
def user_enable(
    name: Annotated[str, typer.Argument(help="Whose account was switched off.")], config: Config = DEFAULT
) -> None:
    """Let a person sign in again; the gateway must be running."""
    from cli.settings import load_checked
    from cli.user import enable_user

    with errors():
        settings = load_checked(config, "web")
        assert settings.gateway is not None
        asyncio.run(enable_user(settings.gateway.data_dir, name))


@user.command("reset")
def user_reset(
    name: Annotated[str, typer.Argument(help="Who is to get a new one-time password.")], config: Config = DEFAULT
) -> None:
    """Give a person a new one-time password, valid for 24 hours; the gateway must be running."""
    from cli.settings import load_checked
    from cli.user import reset_password

    with errors():
        settings = load_checked(config, "web")
        assert settings.gateway is not None
        password = asyncio.run(reset_password(settings.gateway.data_dir, name))
    print(f"{name} {password}")


if __name__ == "__main__":
    app()
