"""Decoded messages as plain data for JSON, with names in both languages. Pure.

Keys without `_zh` carry stable English words; the same key with `_zh` stands beside it. Bytes are upper-case hex, times
ISO 8601 without a zone as the wire has none, null where the tag is no usable time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from contract.gb26875 import objects as o
from contract.gb26875.codec import TOLERANCES, Message, Tolerance, decode_frame
from contract.gb26875.frame import OVERHEAD, inspect_frame
from contract.gb26875.status import bits_set
from contract.gb26875.tables import Tables
from contract.gb26875.text import Text
from contract.gb26875.time_tag import TimeTag
from contract.gb26875.units import LAYOUTS_2011, TagReport, Unit

_CODES = {"sys_type": "system_types", "comp_type": "component_types", "analog_type": "analog_types"}


def describe_frame(raw: bytes, tables: Tables) -> dict[str, Any]:
    """Everything that can be said of bytes that should be one frame, good or not. Never raises.

    Keys: kind, hex, valid (markers, length and checksum agree), why, decoded (None when not even the head is whole),
    tolerances, deny.
    """
    found = inspect_frame(raw)
    result: dict[str, Any] = {"kind": "frame", "hex": _hex(raw), "valid": not found.problems}
    if found.frame is None:
        why = "; ".join(problem.text for problem in found.problems)
        return {**result, "why": why, "decoded": None, "tolerances": [], "deny": why}
    message = decode_frame(found.frame, tables)
    if found.problems:
        why = "; ".join(problem.text for problem in found.problems)
    else:
        agree = f"markers, length {len(raw)} = {OVERHEAD} + {found.length} and checksum 0x{found.checksum:02X} agree"
        why = "; ".join([agree, *_remarks(message.unit)])
    header = {
        "serial": message.frame.serial,
        "version": [message.frame.main_version, message.frame.user_version],
        "edition": message.edition,
        **_time("sent", message.frame.sent),
        "src": _hex(message.frame.src),
        "dst": _hex(message.frame.dst),
        "length": found.length,
        "command": message.frame.command,
        **_name("command_name", tables, "commands", message.frame.command),
        "checksum": found.checksum,
        "checksum_sum": found.checksum_sum,
    }
    if (beat := tables.heartbeat(message.frame)) is not None:
        header["heartbeat"] = {"answer_command": beat.answer_command, "answer_unit": beat.answer_unit.upper()}
    unit = {"unit": describe_unit(message.unit, tables)}
    return {
        **result,
        "why": why,
        "decoded": header | unit,
        **_verdict(message, why if found.problems else message.deny),
    }


def describe_bare_unit(raw: bytes, unit: Unit, tolerances: Iterable[Tolerance], tables: Tables) -> dict[str, Any]:
    """The same of an application unit without a frame around it; valid when type and count agree with its bytes."""
    is_valid = unit.form in ("standard", "opaque")
    why = f"application unit: type and object count agree with its length {len(raw)}"
    if not is_valid:
        why = "; ".join(_remarks(unit)) or "application unit is empty"
    return {
        "kind": "unit",
        "hex": _hex(raw),
        "valid": is_valid,
        "why": why,
        "decoded": {"unit": describe_unit(unit, tables)},
        "tolerances": [_tolerance(item) for item in tolerances],
        "deny": None,
    }


def describe_unit(unit: Unit, tables: Tables) -> dict[str, Any]:
    """An application unit: layout, type, count, objects; of what does not fit, body, error and `tolerant`."""
    if unit.type is None:
        if unit.form == "empty":
            return {"layout": "empty"}
        answers = {beat.unit: beat.answer_unit for beat in tables.heartbeats}
        byte, known = f"0x{unit.body.hex().upper()}", unit.body.hex() in answers
        found: dict[str, Any] = {"layout": "one-byte", "body": _hex(unit.body)}
        if known:
            found["tolerant"] = {"heartbeat": f"{byte}, answered by 0x{answers[unit.body.hex()].upper()}"}
        return found
    head = {
        "type": unit.type,
        **_name("type_name", tables, "unit_types", unit.type),
        "count": unit.count,
        "layout": unit.form,
    }
    if unit.form == "standard":
        return {**head, "objects": [_object(item, tables) for item in unit.objects]}
    if unit.form == "opaque":
        return {**head, "body": _hex(unit.body), "type_range": _range(unit.type)}
    tolerant: dict[str, Any] | None = None
    if unit.tags is not None:
        tolerant = {"type": unit.type, **_tags(unit.tags, tables)}
    elif len(unit.objects) == 1:
        tolerant = {"type": unit.type, **_object(unit.objects[0], tables)}
    elif unit.objects:
        tolerant = {"type": unit.type, "objects": [_object(item, tables) for item in unit.objects]}
    malformed = {**head, "error": unit.error, "body": _hex(unit.body)}
    return malformed if tolerant is None else {**malformed, "tolerant": tolerant}


def _remarks(unit: Unit) -> list[str]:
    if unit.form == "one-byte":
        return [f"application unit is one byte (0x{unit.body.hex().upper()}), not a type/count pair"]
    if unit.form == "malformed":
        return [f"application unit malformed by the standard: {unit.error}"]
    if unit.form == "opaque" and unit.type is not None:
        return [f"type {unit.type} is in the {_range(unit.type)} range: body opaque"]
    return []


def _range(unit_type: int) -> str:
    if 128 <= unit_type <= 254:
        return "user"
    return "standard" if unit_type in LAYOUTS_2011 else "reserved"


def _verdict(message: Message, deny: str | None) -> dict[str, Any]:
    return {"tolerances": [_tolerance(item) for item in message.tolerances], "deny": deny}


def _tolerance(item: Tolerance) -> dict[str, str]:
    zh, en = TOLERANCES[item.code]
    return {"code": item.code, "where": item.where, "detail": item.detail, "text_zh": zh, "text_en": en}


def _object(item: o.InfoObject, tables: Tables) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in item.__struct_fields__:
        value = getattr(item, name)
        if name == "time":
            found |= {"time": None} if value is None else _time("time", value)
        elif isinstance(value, Text):
            if isinstance(item, o.SystemConfiguration | o.TransmitterConfiguration):
                found["len"] = len(value.raw)
            found |= {name: value.text, f"{name}_raw": _hex(value.raw)}
        elif name in ("major", "minor"):
            found.setdefault("version", []).append(value)
        else:
            found |= _number(name, value, item, tables)
    return found


def _number(name: str, value: int, item: o.InfoObject, tables: Tables) -> dict[str, Any]:
    found: dict[str, Any] = {name: value}
    if name == "comp_addr":
        found |= {"comp_addr_lo": value & 0xFFFF, "comp_addr_hi": value >> 16}
    elif name in _CODES:
        found |= _name(f"{name}_name", tables, _CODES[name], value)
    elif name in ("status", "op"):
        bits = bits_set(item.BITS, value)
        found |= {f"{name}_bits": [bit.name for bit in bits], f"{name}_bits_zh": [bit.zh for bit in bits]}
        found[f"{name}_bits_en"] = [bit.en for bit in bits]
    elif name == "raw" and isinstance(item, o.AnalogValue):
        kind = tables.analog(item.analog_type)
        found["value"] = None if kind is None else kind.value(value)
        found["unit"] = None if kind is None else kind.unit or None
        found["in_range"] = None if kind is None else kind.is_in_range(value)
    return found


def _tags(report: TagReport, tables: Tables) -> dict[str, Any]:
    words = {state: word for known in tables.tag_reports for state, word in known.entry_types.items()}
    entries = [
        {"state": item.state, "state_name": words.get(item.state, "unknown"), "tag": _hex(item.tag)}
        for item in report.entries
    ]
    shapes = dict.fromkeys(
        f"type {item.state:02X} ({words.get(item.state, 'unknown')}), length {len(item.tag):02X}, "
        f"{len(item.tag)}-byte tag id"
        for item in report.entries
    )
    plain = msgspec.structs.asdict(report)
    heads = {name: plain[name] for name in ("sys_type", "sys_addr", "comp_type", "comp_addr", "status")}
    return {
        **heads,
        **_name("comp_type_name", tables, "component_types", report.comp_type),
        "gateway_id": _hex(report.gateway_id),
        "tags": [_hex(item.tag) for item in report.entries],
        "tag_entry": "; ".join(shapes),
        "entries": entries,
        **_time("time", report.time),
    }


def _time(name: str, tag: TimeTag) -> dict[str, Any]:
    return {name: tag.iso, f"{name}_state": tag.state, f"{name}_raw": _hex(tag.raw)}


def _name(key: str, tables: Tables, kind: str, code: int) -> dict[str, Any]:
    name = tables.name(kind, code)
    found: dict[str, Any] = {key: name.en, f"{key}_zh": name.zh}
    if hints := tables.hints(kind, code):
        found[key.removesuffix("_name") + "_hints"] = [
            {"dialect": hint.dialect, "zh": hint.name.zh, "en": hint.name.en} for hint in hints
        ]
    return found


def _hex(raw: bytes) -> str:
    return raw.hex().upper()
