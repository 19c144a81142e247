"""Application units (应用数据单元): type flag, object count, objects.

    0       1       2
    +-------+-------+----------+----------+-- ...
    | type  | n     | object 1 | object 2 |         every object of a type is equally long, except types 6 and 26
    +-------+-------+----------+----------+-- ...

Reading never raises: what does not fit comes back as `malformed` with the reason and, where the sender's meaning is
certain, with the objects it meant. Writing takes standard units only, unless told to pass bytes through.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import msgspec

from contract.errors import MessageError
from contract.gb26875 import objects as o
from contract.gb26875.text import Text
from contract.gb26875.time_tag import TIME_BYTES, TimeTag

MAX_UNIT_BYTES = 1024
Form = Literal["standard", "empty", "one-byte", "opaque", "malformed"]
UP, READ, CONTROL = (2, 5), (4,), (1,)
"""Commands a type travels with."""


class Layout(NamedTuple):
    """How the objects of one type are laid out. most: largest n of the standard. commands: what they travel with."""

    kind: type[o.InfoObject]
    most: int
    commands: tuple[int, ...]

    @property
    def object_bytes(self) -> int | None:
        """Bytes of one object, None when each has its own length."""
        return struct.calcsize(self.kind.WIRE) if self.kind.WIRE else None

    @property
    def is_timed(self) -> bool:
        """Whether the standard puts the time tag behind the body, where some senders leave it out."""
        return self.commands == UP and self.kind.WIRE.endswith("6s") and self.kind not in (o.Clock, o.SystemTime)


LAYOUTS_2011: Mapping[int, Layout] = MappingProxyType({
    1: Layout(o.SystemStatus, 102, UP),
    2: Layout(o.ComponentStatus, 22, UP),
    3: Layout(o.AnalogValue, 63, UP),
    4: Layout(o.Operation, 102, UP),
    5: Layout(o.SystemVersion, 1, UP),
    6: Layout(o.SystemConfiguration, 3, UP),
    7: Layout(o.ComponentConfiguration, 26, UP),
    8: Layout(o.SystemTime, 1, UP),
    21: Layout(o.TransmitterStatus, 1, UP),
    24: Layout(o.TransmitterOperation, 127, UP),
    25: Layout(o.TransmitterVersion, 1, UP),
    26: Layout(o.TransmitterConfiguration, 1, UP),
    28: Layout(o.Clock, 1, UP),
    61: Layout(o.SystemRef, 102, READ),
    62: Layout(o.ComponentRef, 22, READ),
    63: Layout(o.ComponentRef, 63, READ),
    64: Layout(o.OperationsQuery, 1, READ),
    65: Layout(o.SystemRef, 1, READ),
    66: Layout(o.SystemRef, 3, READ),
    67: Layout(o.ComponentRef, 26, READ),
    68: Layout(o.SystemRef, 1, READ),
    81: Layout(o.Reserved, 1, READ),
    84: Layout(o.LogQuery, 1, READ),
    85: Layout(o.Reserved, 1, READ),
    86: Layout(o.Reserved, 1, READ),
    88: Layout(o.Reserved, 1, READ),
    89: Layout(o.Reserved, 1, CONTROL),
    90: Layout(o.Clock, 1, CONTROL),
    91: Layout(o.DutyCheck, 1, CONTROL),
})  # fmt: skip
"""Type flag -> layout, tables of clause 8 of the 2011 edition."""


class TagEntry(NamedTuple):
    """One tag of a private tag report: its state and its id."""

    state: int
    tag: bytes


class TagReport(msgspec.Struct, frozen=True, kw_only=True):
    """A private report of many tags behind one head, see read_tag_report."""

    sys_type: int
    sys_addr: int
    comp_type: int
    comp_addr: int
    status: int
    gateway_id: bytes
    entries: tuple[TagEntry, ...]
    time: TimeTag


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """An application unit.

    form: `standard` (objects as the standard has them), `empty` (no bytes), `one-byte`, `opaque` (a type without a
    layout in the standard) or `malformed` (the bytes do not fit their type). type, count: None when the unit has none.
    objects: what was read; in a malformed unit what the sender meant, where that is certain. body: the bytes behind the
    count, kept unless standard. error: why malformed.
    """

    form: Form
    type: int | None = None
    count: int | None = None
    objects: tuple[o.InfoObject, ...] = ()
    body: bytes = b""
    error: str = ""
    tags: TagReport | None = None


def standard_unit(unit_type: int, *objects: o.InfoObject) -> Unit:
    """A unit to be sent, checked when it is written."""
    return Unit(form="standard", type=unit_type, count=len(objects), objects=objects)


def read_unit(
    raw: bytes,
    layouts: Mapping[int, Layout] = LAYOUTS_2011,
    object_bytes: Mapping[int, int] = MappingProxyType({}),
) -> Unit:
    """The unit of these bytes. Never raises.

    Args:
        layouts: of the edition. object_bytes: types whose objects a dialect makes so long and keeps private.
    """
    if len(raw) < 2:
        return Unit(form="one-byte" if raw else "empty", body=raw)
    unit_type, count, body = raw[0], raw[1], raw[2:]
    layout = layouts.get(unit_type)

    def malformed(error: str, objects: tuple[o.InfoObject, ...] = ()) -> Unit:
        return Unit(form="malformed", type=unit_type, count=count, body=body, error=error, objects=objects)

    if count == 0:
        return malformed("object count 0, expected at least 1")
    if unit_type in object_bytes or layout is None:
        need = object_bytes.get(unit_type, 0) * count
        if need and len(body) != need:
            return malformed(_misfit(unit_type, count, need // count, len(body)))
        return Unit(form="opaque", type=unit_type, count=count, body=body)
    size = layout.object_bytes
    if size is None:
        objects, problem = _read_free(layout.kind, body, count)
        return malformed(problem, objects) if problem else _standard(unit_type, objects)
    if len(body) == size * count:
        return _standard(unit_type, _read_fixed(layout, body, size))
    return malformed(_misfit(unit_type, count, size, len(body)), _read_leniently(layout, body, count, size))


def write_unit(unit: Unit, layouts: Mapping[int, Layout] = LAYOUTS_2011) -> bytes:
    """The bytes of a unit; of one that is not `standard` the bytes it came with.

    Raises:
        MessageError: reason `unit`: an unknown type, no object, one of another class, a number out of range, a text or
            time tag of a wrong length, or more than 1024 bytes.
    """
    if unit.form != "standard":
        head = b"" if unit.type is None or unit.count is None else bytes((unit.type, unit.count))
        return head + unit.body
    layout = layouts.get(unit.type if unit.type is not None else -1)
    if layout is None:
        raise MessageError("unit", f"type: got {unit.type}, want a type of the standard.")
    if not 1 <= len(unit.objects) <= 255 or unit.count != len(unit.objects):
        raise MessageError(
            "unit", f"count: got {unit.count} with {len(unit.objects)} objects, want 1..255, both alike."
        )
    parts = [bytes((unit.type or 0, len(unit.objects)))]
    for number, item in enumerate(unit.objects, 1):
        if type(item) is not layout.kind:
            raise MessageError(
                "unit", f"object {number}: got {type(item).__name__}, want {layout.kind.__name__} in type {unit.type}."
            )
        parts.append(_write_object(item, number))
    raw = b"".join(parts)
    if len(raw) > MAX_UNIT_BYTES:
        raise MessageError("unit", f"got {len(raw)} bytes, want at most {MAX_UNIT_BYTES}. Send fewer objects at once.")
    return raw


def _standard(unit_type: int, objects: tuple[o.InfoObject, ...]) -> Unit:
    return Unit(form="standard", type=unit_type, count=len(objects), objects=objects)


def _misfit(unit_type: int, count: int, size: int, present: int) -> str:
    if count == 1:
        return f"object 1 needs {size} bytes, {present} present"
    return f"{count} objects of type {unit_type} need {2 + count * size} bytes, unit has {2 + present}"


def _read_fixed(layout: Layout, body: bytes, size: int) -> tuple[o.InfoObject, ...]:
    wire, kind = layout.kind.WIRE, layout.kind
    names = kind.__struct_fields__
    found = []
    for at in range(0, len(body) - size + 1, size):
        values = struct.unpack_from(wire, body, at)
        found.append(kind(*[_wrap(name, value) for name, value in zip(names, values, strict=True)]))
    return tuple(found)


def _wrap(name: str, value: int | bytes) -> int | TimeTag | Text:
    if isinstance(value, bytes):
        return TimeTag(value) if name == "time" else Text(value)
    return value


def _read_leniently(layout: Layout, body: bytes, count: int, size: int) -> tuple[o.InfoObject, ...]:
    """What the sender meant, where only one reading is possible; nothing otherwise."""
    short = size - TIME_BYTES
    if layout.is_timed and len(body) == short * count:
        padded = b"".join(body[at : at + short] + bytes(TIME_BYTES) for at in range(0, len(body), short))
        return tuple(msgspec.structs.replace(item, time=None) for item in _read_fixed(layout, padded, size))
    # Whole objects, only miscounted: what stands there is not in doubt.
    return _read_fixed(layout, body, size) if body and len(body) % size == 0 else ()


def _read_free(kind: type[o.InfoObject], body: bytes, count: int) -> tuple[tuple[o.InfoObject, ...], str]:
    head = len(kind.__struct_fields__) - 1
    found: list[o.InfoObject] = []
    at = 0
    for number in range(1, count + 1):
        size = head + 1 + (body[at + head] if len(body) > at + head else 0)
        if len(body) - at < size:
            return (), f"object {number} needs {size} bytes, {len(body) - at} present"
        found.append(kind(*body[at : at + head], Text(body[at + head + 1 : at + size])))
        at += size
    left = len(body) - at
    return tuple(found), f"{left} bytes left after {count} objects" if left else ""


def _write_object(item: o.InfoObject, number: int) -> bytes:
    values: list[int | bytes] = []
    for name in item.__struct_fields__:
        value = getattr(item, name)
        if isinstance(value, TimeTag | Text):
            value = value.raw
        if value is None:
            raise MessageError("unit", f"object {number}: {name}: got nothing, want a time tag.")
        values.append(value)
    if not item.WIRE:
        *numbers, raw = values
        assert isinstance(raw, bytes)
        if len(raw) > 255:
            raise MessageError("unit", f"object {number}: text: got {len(raw)} bytes, want at most 255.")
        values, wire = [*numbers, len(raw), raw], f"<{len(numbers) + 1}B{len(raw)}s"
    else:
        wire = item.WIRE
        sizes = {"time": TIME_BYTES, "desc": 31}
        for name, value in zip(item.__struct_fields__, values, strict=True):
            # struct would pad or cut in silence.
            if isinstance(value, bytes) and len(value) != sizes[name]:
                raise MessageError("unit", f"object {number}: {name}: got {len(value)} bytes, want {sizes[name]}.")
    try:
        return struct.pack(wire, *values)
    except struct.error as exc:
        raise MessageError("unit", f"object {number}: got {values}, want numbers in range: {exc}.") from exc


def read_tag_report(body: bytes) -> TagReport | None:
    """A private report of tags in a body of type 2, None when the bytes are not exactly that.

    0        1        2         3        7       9           15     16
    +--------+--------+---------+--------+-------+-----------+------+-------+-----+------------+ ...  +------+
    |sys type|sys addr|comp type|addr 4  |status |gateway id |count |state 1|len 1|tag id (len)|      |time 6|
    +--------+--------+---------+--------+-------+-----------+------+-------+-----+------------+ ...  +------+
    """
    if len(body) < 16 + TIME_BYTES:
        return None
    sys_type, sys_addr, comp_type, comp_addr, status, gateway_id, count = struct.unpack_from("<BBBIH6sB", body)
    at, end, entries = 16, len(body) - TIME_BYTES, []
    for _ in range(count):
        if at + 2 > end or at + 2 + body[at + 1] > end or not body[at + 1]:
            return None
        entries.append(TagEntry(body[at], body[at + 2 : at + 2 + body[at + 1]]))
        at += 2 + body[at + 1]
    if at != end or not entries:
        return None
    return TagReport(sys_type=sys_type, sys_addr=sys_addr, comp_type=comp_type, comp_addr=comp_addr, status=status,
                     gateway_id=gateway_id, entries=tuple(entries), time=TimeTag(body[end:]))  # fmt: skip
