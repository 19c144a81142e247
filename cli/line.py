"""`weizhan line doctor | scan | learn`: for an installer with a laptop on a serial line. Nothing is ever written."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from cli.failures import errors

line = typer.Typer(no_args_is_help=True, help="Look at a serial line: doctor, scan, learn. Reads only.")

PortOption = Annotated[str, typer.Option("--port", help="Serial port, such as /dev/ttyUSB0.")]
Baud = Annotated[int, typer.Option(help="Speed.")]
Parity = Annotated[str, typer.Option(help="N, E or O.")]
StopBits = Annotated[int, typer.Option(help="1 or 2.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Profiles = Annotated[list[Path] | None, typer.Option("--profiles", help="Further folder with device profiles.")]


@line.command()
def doctor(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Take the line from this configuration.")
    ] = None,
    line_id: Annotated[str | None, typer.Option("--line", help="Which line of it; not needed when it has one.")] = None,
    port: Annotated[str | None, typer.Option("--port", help="Serial port, where there is no configuration.")] = None,
    baud: Baud = 9600,
    parity: Parity = "N",
    stop_bits: StopBits = 1,
    units: Annotated[str, typer.Option(help="Addresses to ask, such as 1-10,15.")] = "1-10",
    register: Annotated[int, typer.Option(help="First register to read, from 0 (with --port).")] = 0,
    count: Annotated[int, typer.Option(help="How many registers to read (with --port).")] = 1,
    function: Annotated[int, typer.Option(help="Modbus function 1..4 (with --port).")] = 3,
    timeout: Annotated[float, typer.Option(help="Seconds the line is run with (with --port).")] = 0.5,
    rounds: Annotated[int, typer.Option(help="How often each block is asked for.")] = 30,
    listen: Annotated[float, typer.Option(help="Seconds to listen first, for another master.")] = 3.0,
    period: Annotated[float, typer.Option(help="Poll period the capacity is told for, s.")] = 10.0,
    as_json: AsJson = False,
    send: Annotated[
        str | None, typer.Option(help="Have the report kept by the web pages at this address (https://...).")
    ] = None,
    place: Annotated[
        str | None, typer.Option("--as", help="SITE/LINE it is kept for; not needed with --config.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the API token; else the environment variable WEIZHAN_TOKEN.")
    ] = None,
    ca: Annotated[Path | None, typer.Option(help="Certificates to trust for --send, PEM.")] = None,
) -> None:
    """Tell how a line behaves: answer times, errors, echo, another master; advise timeout, gap and number of units."""
    from cli import line_send, line_tools
    from cli.line_report import diagnosis_json, print_diagnosis
    from edge_agents.field.doctor import diagnose

    with errors():
        if (config is None) == (port is None):
            line_tools.refuse("--config", f"got {'both' if port else 'neither'} --config and --port, want one of them")
        rounds, period = (
            line_tools.within("--rounds", rounds, 1, 1000),
            line_tools.within("--period", period, 0.1, 86400),
        )
        listen = line_tools.within("--listen", listen, 0, 3600)
        if config is not None:
            target = line_tools.configured(config, line_id)
        else:
            assert port is not None
            block = line_tools.parse_block(function, register, count)
            speed = line_tools.parse_speed(baud, parity, stop_bits)
            timeout = line_tools.within("--timeout", timeout, 0.01, 60)
            target = line_tools.plain(port, speed, line_tools.parse_units(units), block, timeout)
        # What would be refused anyway is told before somebody has waited for the measurement.
        to = None if send is None else line_send.goal(send, place or target.place, token_file, ca)
        observed = asyncio.run(line_tools.examine_line(target, rounds, listen))
    diagnosis = diagnose(observed, period)
    report = {"at_ms": time.time_ns() // 1_000_000, **diagnosis_json(target, diagnosis)}
    if as_json:
        print(json.dumps(report, ensure_ascii=False, indent=2))
    else:
        print_diagnosis(target, diagnosis)
    if to is not None:
        with errors():
            print(line_send.deliver(to, report), file=sys.stderr)
    if diagnosis.turnaround is None:
        raise typer.Exit(1)


@line.command()
def scan(
    port: PortOption,
    baud_list: Annotated[str, typer.Option(help="Speeds to try, in this order.")] = "9600,19200,4800,2400,38400,115200",
    parity_list: Annotated[str, typer.Option(help="Parities to try at each speed.")] = "N,E",
    stop_bits: StopBits = 1,
    units: Annotated[str, typer.Option(help="Addresses to try.")] = "1-247",
    timeout: Annotated[
        float, typer.Option(help="Seconds to wait for a unit. Later answers are noticed as well.")
    ] = 0.2,
    everything: Annotated[bool, typer.Option("--all", help="Go on with further speeds when units were found.")] = False,
    profiles: Profiles = None,
    as_json: AsJson = False,
) -> None:
    """Find the units of a line and suggest profiles for each, with the reasons."""
    from cli import line_tools
    from cli.line_report import print_scan, scan_json

    with errors():
        speeds = line_tools.parse_speeds(baud_list, parity_list, stop_bits)
        wanted = line_tools.parse_units(units)
        timeout = line_tools.within("--timeout", timeout, 0.01, 10)
        found = asyncio.run(line_tools.scan_line(port, speeds, wanted, timeout, profiles or [], go_on=everything))
    if as_json:
        print(json.dumps(scan_json(found), ensure_ascii=False, indent=2))
    else:
        print_scan(port, found)
    if not any(one.units for one in found):
        raise typer.Exit(1)


@line.command()
def learn(
    port: PortOption,
    unit: Annotated[int, typer.Option(help="Address of the unit.")],
    shows: Annotated[str, typer.Option(help="What the gauge shows now, with all its digits: '0.605 MPa'.")],
    second_value: Annotated[
        str | None, typer.Option(help="What it will show for a second reading; asks for Enter when it does.")
    ] = None,
    quantity: Annotated[
        str | None, typer.Option(help="kpa, m, c, lps, ...; follows from the unit when absent.")
    ] = None,
    baud: Baud = 9600,
    parity: Parity = "N",
    stop_bits: StopBits = 1,
    registers: Annotated[str, typer.Option(help="Registers to read, from 0.")] = "0-127",
    register: Annotated[
        int | None, typer.Option(help="Only this one and its neighbours; 40005 and 30005 are understood.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for an answer.")] = 0.5,
    pick: Annotated[int | None, typer.Option(help="Which candidate to write; the first when it is clear.")] = None,
    write: Annotated[Path | None, typer.Option(help="Write this profile, such as profiles/my-gauge.yaml.")] = None,
    as_json: AsJson = False,
) -> None:
    """Find the register and scale behind what a gauge shows, and write a profile for it."""
    from cli import line_learn, line_tools
    from cli.line_report import learned_json, print_learned

    with errors():
        job = line_learn.Job(
            port=port,
            speed=line_tools.parse_speed(baud, parity, stop_bits),
            unit_id=line_tools.within("--unit", unit, 1, 247),
            timeout_s=line_tools.within("--timeout", timeout, 0.01, 60),
            areas=line_tools.parse_areas(registers, register),
            readings=line_learn.parse_readings(shows, second_value, quantity),
        )
        if write is not None:
            line_learn.check_name(write)
        learned = asyncio.run(line_learn.run_learn(job))
        written = None if write is None else line_learn.write_candidate(write, job, learned, pick)
    if as_json:
        print(json.dumps(learned_json(learned, written), ensure_ascii=False, indent=2))
    else:
        print_learned(learned, written)
