"""Whole messages: bytes to typed objects with a report of every tolerance used, and back without any.

Decoding is tolerant, encoding strict, and both know the same list: what decoding reports as a tolerance, encoding
refuses unless it is allowed by name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec

from contract.errors import MessageError
from contract.gb26875 import frame as f
from contract.gb26875 import objects as o
from contract.gb26875.edition import Edition, edition_of
from contract.gb26875.frame import Frame, read_frame, write_frame
from contract.gb26875.status import reserved_bits
from contract.gb26875.tables import Tables
from contract.gb26875.text import Text
from contract.gb26875.time_tag import TimeTag
from contract.gb26875.units import Unit, read_tag_report, read_unit, write_unit

TOLERANCES: dict[str, tuple[str, str]] = {
    "main_version": ("主版本号不是已知版本", "main version of no known edition"),
    "command_user": ("用户自定义命令", "command of the user range"),
    "command_reserved": ("保留命令，应否认", "reserved command, to be denied"),
    "command_type": ("命令与类型标志不相配", "type travels with another command"),
    "heartbeat": ("心跳（标准未规定）", "heartbeat, which the standard does not have"),
    "unit_missing": ("缺少应用数据单元", "no application unit"),
    "unit_unexpected": ("确认或否认中带有应用数据单元", "application unit in a confirm or deny"),
    "unit_one_byte": ("应用数据单元只有一个字节", "application unit of one byte"),
    "unit_malformed": ("应用数据单元与其类型不符", "application unit does not fit its type"),
    "type_user": ("用户自定义类型标志", "type of the user range"),
    "type_reserved": ("保留类型标志", "reserved type"),
    "type_private": ("按厂商约定的私有信息体", "private objects of a dialect"),
    "tag_report": ("私有标签报告", "private report of tags"),
    "count_wrong": ("信息对象数目与字节数不符，按字节数解", "object count does not fit; counted by bytes"),
    "count_over_limit": ("信息对象数目超过标准上限", "more objects than the standard allows"),
    "bytes_left": ("信息对象之后有多余字节", "bytes left after the objects"),
    "time_missing": ("缺少时间标签", "time tag left out"),
    "time_zero": ("时间标签全为零", "time tag of zeros"),
    "time_1970": ("时钟未设置（1970 年）", "clock never set (1970)"),
    "time_impossible": ("时间标签不是有效时间", "time tag is no date"),
    "text_binary": ("文本字段不是文本", "text field holds no text"),
    "text_leftover": ("文本结束符之后有残留字节", "bytes after the end of the text"),
    "text_cut": ("文本末尾半个汉字", "last character cut in two"),
    "bits_reserved": ("保留位为 1", "reserved bits set"),
    "byte_reserved": ("保留字节不为 0", "reserved byte is not 0"),
    "records_over_limit": ("读取记录数超过 102", "asks for more than 102 records"),
}
"""Code -> meaning zh, en. Each is a way in which real senders leave the standard."""
ANY = frozenset(TOLERANCES)
"""For encoding exactly what was decoded."""
_ANSWERS = (f.CONFIRM, f.DENY)


class Tolerance(msgspec.Struct, frozen=True):
    """One use of a tolerance. where: `objects[0].time`, `sent`, ...; detail: what stood there."""

    code: str
    where: str
    detail: str = ""


class Message(msgspec.Struct, frozen=True):
    """A decoded frame.

    edition: what it was read by. deny: why the standard has it denied although its form is right, None otherwise. A
    private reading (`unit.tags`, objects of a malformed unit) is always named in `tolerances`.
    """

    frame: Frame
    unit: Unit
    edition: str
    tolerances: tuple[Tolerance, ...] = ()
    deny: str | None = None

    @property
    def codes(self) -> frozenset[str]:
        """The tolerances used, by code."""
        return frozenset(item.code for item in self.tolerances)


def decode(raw: bytes, tables: Tables) -> Message:
    """The message of exactly one frame.

    Raises:
        FrameError: the bytes are no frame: deny and drop. Nothing else, whatever the unit holds.
    """
    return decode_frame(read_frame(raw), tables)


def decode_frame(frame: Frame, tables: Tables) -> Message:
    """The message of a frame whose form was found right. Never raises."""
    edition, is_known = edition_of(frame.main_version)
    unit, found = decode_unit(frame.unit, tables, edition)
    tolerances = [] if is_known else [Tolerance("main_version", "version", f"main version {frame.main_version}")]
    tolerances += [*_time(frame.sent, "sent"), *_command(frame, unit, edition, tables), *found]
    return Message(frame, unit, edition.name, tuple(tolerances), _why_denied(frame, unit))


def decode_unit(raw: bytes, tables: Tables, edition: Edition | None = None) -> tuple[Unit, list[Tolerance]]:
    """An application unit by itself, with the tolerances used. Never raises."""
    edition = edition or edition_of(1)[0]
    unit = read_unit(raw, edition.layouts, tables.object_bytes)
    if unit.form == "malformed" and unit.type == 2 and (tags := read_tag_report(unit.body)) is not None:
        known = (tags.sys_type, tags.comp_type)
        if any(known[0] in r.system_types and known[1] in r.component_types for r in tables.tag_reports):
            unit = msgspec.structs.replace(unit, tags=tags, objects=())
    return unit, list(_unit(unit, edition, tables))


def encode(frame: Frame, tables: Tables, allow: Collection[str] = ()) -> bytes:
    """The bytes of a frame that keeps to the standard, the codes of TOLERANCES in `allow` excepted.

    Raises:
        MessageError: reason `frame` when it cannot be written at all, `nonstandard` when it leaves the standard.
    """
    edition, _ = edition_of(frame.main_version)
    raw = write_frame(frame, edition.max_unit)
    odd = [item for item in decode_frame(frame, tables).tolerances if item.code not in allow]
    if odd:
        listed = "; ".join(f"{item.where}: {item.code}{f' ({item.detail})' if item.detail else ''}" for item in odd)
        raise MessageError("nonstandard", f"got {listed}, want what the standard has. Mend it or allow it by name.")
    return raw


def encode_unit(unit: Unit, main_version: int = 1) -> bytes:
    """The bytes of a unit, to be put into a frame. Raises MessageError, see units.write_unit."""
    return write_unit(unit, edition_of(main_version)[0].layouts)


def _why_denied(frame: Frame, unit: Unit) -> str | None:
    if _is_reserved(frame.command):
        return f"command {frame.command} is reserved"
    return unit.error if unit.form == "malformed" and unit.count == 0 else None


def _is_reserved(command: int) -> bool:
    return command == 0 or 7 <= command <= 127


def _command(frame: Frame, unit: Unit, edition: Edition, tables: Tables) -> Iterator[Tolerance]:
    command = frame.command
    if tables.heartbeat(frame) is not None:
        yield Tolerance("heartbeat", "unit", f"command {command}, unit {frame.unit.hex().upper() or 'empty'}")
        return
    if _is_reserved(command):
        yield Tolerance("command_reserved", "command", f"command {command}")
    elif command >= 128:
        yield Tolerance("command_user", "command", f"command {command}")
    elif command in _ANSWERS:
        if frame.unit:
            yield Tolerance("unit_unexpected", "unit", f"{len(frame.unit)} bytes")
    elif unit.form == "empty":
        yield Tolerance("unit_missing", "unit")
    elif unit.form == "standard" and unit.type is not None and command not in edition.layouts[unit.type].commands:
        want = " or ".join(map(str, edition.layouts[unit.type].commands))
        yield Tolerance("command_type", "command", f"type {unit.type} with command {command}, expected {want}")


def _unit(unit: Unit, edition: Edition, tables: Tables) -> Iterator[Tolerance]:
    if unit.form == "one-byte":
        yield Tolerance("unit_one_byte", "unit", f"0x{unit.body.hex().upper()}")
    elif unit.form == "opaque":
        yield _opaque(unit, tables)
    elif unit.form == "malformed":
        yield Tolerance("unit_malformed", "unit", unit.error)
        if unit.tags is not None:
            yield Tolerance("tag_report", "unit", f"{len(unit.tags.entries)} tags")
        elif unit.objects:
            yield _meant(unit)
    elif unit.form == "standard" and unit.type is not None:
        most = edition.layouts[unit.type].most
        if len(unit.objects) > most:
            yield Tolerance("count_over_limit", "count", f"{len(unit.objects)} objects, at most {most}")
    for place, item in enumerate(unit.objects):
        yield from _object(item, f"objects[{place}]")


def _opaque(unit: Unit, tables: Tables) -> Tolerance:
    if unit.type in tables.object_bytes:
        return Tolerance("type_private", "type", f"type {unit.type}, {tables.object_bytes[unit.type]} bytes an object")
    is_user = unit.type is not None and 128 <= unit.type <= 254
    return Tolerance("type_user" if is_user else "type_reserved", "type", f"type {unit.type}")


def _meant(unit: Unit) -> Tolerance:
    """Why a malformed unit could be read all the same."""
    if any(getattr(item, "time", "") is None for item in unit.objects):
        return Tolerance("time_missing", "objects")
    if unit.error.startswith(("object ", f"{unit.count} objects")):
        return Tolerance("count_wrong", "count", f"count {unit.count}, {len(unit.objects)} objects present")
    return Tolerance("bytes_left", "unit", unit.error)


def _object(item: o.InfoObject, where: str) -> Iterator[Tolerance]:
    for name in item.__struct_fields__:
        value = getattr(item, name)
        if isinstance(value, TimeTag):
            yield from _time(value, f"{where}.{name}")
        elif isinstance(value, Text):
            yield from _text(value, f"{where}.{name}")
        elif name in ("status", "op") and (odd := reserved_bits(item.BITS, value)):
            yield Tolerance("bits_reserved", f"{where}.{name}", f"0x{odd:X}")
        elif name == "reserved_byte" and value:
            yield Tolerance("byte_reserved", f"{where}.{name}", f"0x{value:02X}")
        elif name == "records" and value > o.MOST_RECORDS:
            yield Tolerance("records_over_limit", f"{where}.{name}", str(value))


def _time(tag: TimeTag, where: str) -> Iterator[Tolerance]:
    state = tag.state
    if state == "all-zero":
        yield Tolerance("time_zero", where)
    elif state == "invalid":
        yield Tolerance("time_1970" if tag.is_1970 else "time_impossible", where, tag.raw.hex().upper())


def _text(text: Text, where: str) -> Iterator[Tolerance]:
    if text.text is None:
        yield Tolerance("text_binary", where, text.raw.hex().upper())
        return
    if text.leftover:
        yield Tolerance("text_leftover", where, text.leftover.hex().upper())
    if text.is_cut:
        yield Tolerance("text_cut", where)
