"""Writes the pages that follow from the code: configuration, profiles, rules, API, and the sample deploy/weizhan.yaml.

Run by `make docs`. With `--check` nothing is written; the exit status is 1 when a page is not fresh.
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from contract.profile import Point, Profile, ProfileLibrary
from contract.units import unit_of

ROOT = Path(__file__).resolve().parent.parent
UNITS = {
    "s": "s",
    "ms": "ms",
    "days": "days",
    "hours": "hours",
    "bytes": "bytes",
    "kib": "KiB",
    "mib": "MiB",
    "pct": "%",
}
RANGE = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}", "min_length": "at least {} long"}
RANGE |= {"max_length": "at most {} long", "pattern": "matches `{}`"}

CHOICE = "Chooses this record."


class Row(NamedTuple):
    """One key of a settings model, as text."""

    name: str
    type: str
    unit: str
    default: str
    range: str
    text: str
    required: bool


def members(annotation: Any) -> list[type[BaseModel]]:
    """Every settings model an annotation mentions, in order of mention, each once."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    found: list[type[BaseModel]] = []
    for arg in get_args(annotation):
        found += [model for model in members(arg) if model not in found]
    return found


def type_text(annotation: Any) -> str:
    """A type in words a person writing YAML understands."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_text(args[0])
    if origin is Literal:
        return " or ".join(f"`{arg}`" for arg in args)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys("nothing" if arg is NoneType else type_text(arg) for arg in args))
    if origin in (list, tuple):
        return f"list of {type_text(args[0])}"
    if origin is dict:
        return f"{type_text(args[0])} → {type_text(args[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    words = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "`true` or `false`",
        Path: "path",
        Any: "anything",
    }
    return words.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _limits(metadata: list[Any]) -> Iterator[str]:
    for item in metadata:
        for key, form in RANGE.items():
            value = getattr(item, key, None)
            if value is not None:
                yield form.format(value)


def range_text(field: FieldInfo) -> str:
    """The limits of a field; of an optional field, those of its value."""
    limits = list(_limits(list(field.metadata)))
    for arg in get_args(field.annotation):
        if get_origin(arg) is Annotated:
            limits += _limits([*get_args(arg)[1:], *getattr(get_args(arg)[1], "metadata", [])])
    return ", ".join(dict.fromkeys(limits))


def default_of(field: FieldInfo) -> Any:
    """The default as plain data, PydanticUndefined when the field is required."""
    if field.default_factory is not None:
        return field.get_default(call_default_factory=True, validated_data={})
    return field.default


def plain(value: Any) -> Any:
    """A default as YAML would hold it."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump(by_alias=True))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def yaml_text(value: Any) -> str:
    """One line of YAML."""
    text = yaml.safe_dump(plain(value), default_flow_style=True, allow_unicode=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...").strip()


def rows(model: type[BaseModel]) -> Iterator[Row]:
    """The keys of a model."""
    for name, field in model.model_fields.items():
        default = default_of(field)
        required = default is PydanticUndefined
        yield Row(
            name=field.alias or name,
            type=type_text(field.annotation),
            unit=UNITS.get(name.rpartition("_")[2], "") if "_" in name else "",
            default="required" if required else f"`{yaml_text(default)}`",
            range=range_text(field),
            text=" ".join((field.description or CHOICE * (name == "kind")).split()),
            required=required,
        )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _table(model: type[BaseModel]) -> Iterator[str]:
    yield "| key | type | unit | default | range | meaning |"
    yield "|---|---|---|---|---|---|"
    for row in rows(model):
        cells = (f"`{row.name}`", row.type, row.unit, row.default, row.range, row.text)
        yield "| " + " | ".join(map(_cell, cells)) + " |"


def _intro(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def configuration_page(settings: type[BaseModel]) -> str:
    """docs/configuration.md: every key of every section."""
    out = [
        "# Configuration",
        "",
        "Generated by `make docs` from the settings models; do not edit. A sample with every key stands in",
        "`deploy/weizhan.yaml`; `weizhan check` reads a file and says what is wrong with it, with line and key.",
        "Unknown keys are refused. Secrets are named by the path of their file and never stand here.",
        "",
    ]
    shown: list[type[BaseModel]] = []
    for name, field in settings.model_fields.items():
        out += [f"## `{name}`", ""]
        out += [field.description, ""] if field.description else []
        models = members(field.annotation)
        for model in models:
            if len(models) > 1:
                out += [f"### {model.__name__}", ""]
            out += [_intro(model), "", *_table(model), ""]
            shown.append(model)
    waiting = _nested(shown)
    if waiting:
        out += ["## Records used above", ""]
    for model in waiting:
        out += [f"### {model.__name__}", "", _intro(model), "", *_table(model), ""]
    return "\n".join(out).rstrip() + "\n"


def _nested(shown: list[type[BaseModel]]) -> list[type[BaseModel]]:
    found: list[type[BaseModel]] = []
    stack = list(shown)
    while stack:
        for field in stack.pop(0).model_fields.values():
            for model in members(field.annotation):
                if model not in shown and model not in found:
                    found.append(model)
                    stack.append(model)
    return found


SAMPLES: dict[str, Any] = {
    "agent.site_file": "site.yaml",
    "agent.agent_id": "edge-1",
    "agent.data_dir": "/var/lib/weizhan-edge",
    "agent.broker_user": {"username": "shuiye/edge-1", "password_file": "edge.secret"},
    "gateway.broker_user": {"username": "gateway", "password_file": "gateway.secret"},
    "gateway.sites": ["site.yaml"],
    "gateway.data_dir": "/var/lib/weizhan",
    "history.url": "http://127.0.0.1:8086",
}
"""What the sample file sets, instead of a default or where there is none. Relative paths: from the file's folder."""


def _sample_value(section: str, key: str, field: FieldInfo) -> Any:
    default = default_of(field)
    if f"{section}.{key}" in SAMPLES:
        return SAMPLES[f"{section}.{key}"]
    if default is not PydanticUndefined:
        return default
    if get_origin(field.annotation) is Literal:
        return get_args(field.annotation)[0]
    return field.examples[0] if field.examples else "..."


def sample_file(settings: type[BaseModel]) -> str:
    """deploy/weizhan.yaml: required keys set, every other key as a comment with its default."""
    out = [
        "# Sample configuration of Weizhan, generated by `make docs`; copy it and change what you need.",
        "# A key behind `#` stands at its default. All keys with types and ranges: docs/configuration.md",
    ]
    for section, field in settings.model_fields.items():
        out.append("")
        out += [f"# {' '.join(field.description.split())}"] if field.description else []
        models = members(field.annotation)
        live = default_of(field) in (None, PydanticUndefined)
        out.append(f"{section}:" if live else f"# {section}:")
        for number, model in enumerate(models):
            if number:
                out += ["# or", f"# {section}:"]
            out += _sample_lines(section, model, live=live and number == 0)
    return "\n".join(out).rstrip() + "\n"


def _sample_lines(section: str, model: type[BaseModel], *, live: bool) -> Iterator[str]:
    for key, field in model.model_fields.items():
        line = f"{field.alias or key}: {yaml_text(_sample_value(section, key, field))}"
        text = re.split(r"\. (?=[A-Z])", " ".join((field.description or "").split()))[0].removesuffix(".")
        wanted = default_of(field) is PydanticUndefined or f"{section}.{key}" in SAMPLES
        yield (f"  {line}" if live and wanted else f"#   {line}") + (f"  # {text}" if text else "")


def _point_row(point: Point, name: str) -> str:
    unit = unit_of(point.name)
    value = ""
    if point.states:
        value = ", ".join(f"{code} {word}" for code, word in point.states.items())
    elif point.bit is not None and point.type == "bit":
        value = f"bit {point.bit}"
    elif point.scale != 1 or point.offset:
        value = f"× {point.scale:g}" + (f" {point.offset:+g}" if point.offset else "")
    if point.mask is not None:
        value += f", mask 0x{point.mask:04X}"
    if point.device_unit:
        value = "unit and decimals from the device"
    cells = (
        f"`{name}`",
        f"{point.title.en} {point.title.zh}",
        "" if point.register_ is None else str(point.register_),
        "text" if point.text else "number" if point.register_ is None and point.is_number else point.type,
        value,
        unit.symbol if unit else "",
        "" if point.range is None else f"{point.range[0]:g} … {point.range[1]:g}",
        ", ".join(f"0x{word:04X}" for word in point.missing),
        f"{point.deadband:g}" if point.deadband else "",
        point.lane,
    )
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _profile(profile: Profile) -> Iterator[str]:
    yield from (f"## {profile.id}", "", f"{profile.title.en} {profile.title.zh} ({profile.category}).", "")
    yield from (f"Source: {profile.source.en}", "")
    for word, lines in (("Installer", profile.requirements), ("Caveat", profile.caveats)):
        yield from (f"- {word}: {line.en}" for line in lines)
    how = f"Polled every {profile.poll_s:g} s"
    if profile.modbus:
        modbus = profile.modbus
        how += f" with function {modbus.function}, at most {modbus.max_block} registers a read"
        how += f", {modbus.word_order}-endian words" if modbus.word_order == "little" else ""
    if profile.topic is not None:
        form = (
            "JSON"
            if profile.mqtt_json
            else f"{profile.mqtt_frame.driver} frames as hex text"
            if profile.mqtt_frame
            else ""
        )
        how = f"Listened to on a broker, topic `{profile.topic}`, {form}; nothing is sent"
    if profile.panel:
        options = ", ".join(f"{name} {value}" for name, value in profile.panel.options.items())
        how = f"Protocol `{profile.panel.driver}`" + (f" ({options})" if options else "")
        how += "; points are those the panel speaks of"
    if profile.printer:
        how = f"Listened to ({profile.printer.encoding}); nothing is sent"
    often = f"every value is reported at least every {profile.max_silence_s:g} s"
    if profile.topic is not None:
        often = f"without a message for {profile.max_silence_s:g} s it is offline and its points are unknown"
    yield from ("", f"{how}; {often}.", "")
    yield "| point | title | register | type | value | unit | range | missing | deadband | lane |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for point in profile.points:
        yield _point_row(point, point.name)
    if profile.repeat and profile.repeat_name:
        yield _point_row(profile.repeat.point, profile.repeat_name)
        repeat = profile.repeat
        yield from ("", f"`{{n}}` counts 1 to {repeat.count} unless the site says so, {repeat.step} register(s) apart.")
    yield from _message(profile)
    if profile.printer:
        yield from ("", "| printed (RE2) | state of the point |", "|---|---|")
        for pattern in profile.printer.patterns:
            means = "all points back to normal" if pattern.resets else pattern.state or "recorded only"
            yield f"| `{_cell(pattern.pattern)}` | {means} |"
    yield ""


def _message(profile: Profile) -> Iterator[str]:
    """What of a sensor's message goes where."""
    if profile.mqtt_json:
        if profile.mqtt_json.time:
            yield from ("", f"Measured at `{profile.mqtt_json.time.path}` ({profile.mqtt_json.time.unit}).")
        yield from (
            "",
            "| point | path | said -> means | unit | no value | always there |",
            "|---|---|---|---|---|---|",
        )
        for name, field in profile.mqtt_json.fields.items():
            means = ", ".join(f"{said} -> {yaml_text(value)}" for said, value in (field.values or {}).items())
            scale = f"x {field.scale:g}" * (field.scale != 1) + f" {field.offset:+g}" * (field.offset != 0)
            unit = " ".join(part for part in (scale, field.unit) if part)
            missing = ", ".join(map(yaml_text, field.missing))
            cells = (f"`{name}`", f"`{field.path}`", means, unit, missing, "no" if field.optional else "yes")
            yield "| " + " | ".join(map(_cell, cells)) + " |"
    if profile.mqtt_frame:
        yield from ("", "| unit or type code | pressure |", "|---|---|")
        for code, unit_of_code in profile.mqtt_frame.units.items():
            scale = (
                "scale not published" if unit_of_code.unit is None else f"{unit_of_code.scale:g} {unit_of_code.unit}"
            )
            yield f"| {code} | {scale} |"


def profiles_page(library: ProfileLibrary) -> str:
    """docs/profiles.md: every shipped profile with its source and its register map."""
    out = [
        "# Device profiles",
        "",
        "Generated by `make docs` from `contract/profiles/`; do not edit. A profile is the one source for driver,",
        "simulated device and this page. Registers count from 0 as on the wire. Every device has the point `online`",
        "(alarm lane) beside those listed: true while it answers; a Modbus device has `vendor`, `product` and",
        "`revision` as well, where it tells them ([modbus.md](modbus.md)).",
        "",
    ]
    for profile in library:
        out += _profile(profile)
    return "\n".join(out).rstrip() + "\n"


def pages() -> dict[Path, str]:
    """Every generated page: path -> text."""
    from cli.rule_reference import rules_page  # here, so that the rendering above can be used on any models
    from cli.settings import Settings

    return {
        ROOT / "docs/configuration.md": configuration_page(Settings),
        ROOT / "deploy/weizhan.yaml": sample_file(Settings),
        ROOT / "docs/profiles.md": profiles_page(ProfileLibrary()),
        ROOT / "docs/rules.md": rules_page(),
    }


def api_document() -> str:
    """The description of the API, as `docs/openapi.json` keeps it: clients see in it what a version changes."""
    from fastapi import FastAPI  # here, as above

    from gateway.web.app import APIS
    from gateway.web.openapi import describe, operation_id

    app = FastAPI(generate_unique_id_function=operation_id)
    for router in APIS:
        app.include_router(router)
    return json.dumps(describe(app.routes), ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` show how they differ. Returns the exit status."""
    stale = 0
    for path, text in {**pages(), ROOT / "docs/openapi.json": api_document()}.items():
        old = path.read_text("utf-8") if path.exists() else ""
        if old == text:
            continue
        name = path.relative_to(ROOT)
        if "--check" in arguments:
            stale = 1
            lines = difflib.unified_diff(old.splitlines(), text.splitlines(), f"{name}", "generated", lineterm="", n=1)
            sys.stdout.write(
                "\n".join([*lines][:40]) + f"\n{name}: got an old page, want a fresh one. Run make docs.\n"
            )
        else:
            path.write_text(text, "utf-8")
            sys.stdout.write(f"docs: wrote {name}\n")
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
