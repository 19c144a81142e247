"""The information objects of GB/T 26875.3-2011, one class a layout. Multi-byte numbers are little-endian on the wire.

Each class lists its fields in the order of the wire; WIRE is the same in the notation of the struct module. Addresses
of components are opaque: implementations disagree on which half is the loop and which the point.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from contract.gb26875.status import (
    COMPONENT_STATUS,
    OPERATION,
    SYSTEM_STATUS,
    TRANSMITTER_OPERATION,
    TRANSMITTER_STATUS,
    Bits,
)
from contract.gb26875.text import Text
from contract.gb26875.time_tag import TimeTag


class InfoObject(msgspec.Struct, frozen=True):
    """Base of every object. BITS: what the field `status` or `op` means, where there is one."""

    WIRE: ClassVar[str] = ""
    BITS: ClassVar[Bits] = Bits()


class SystemStatus(InfoObject, frozen=True):
    """Type 1: state of a facility system. status: SYSTEM_STATUS. time: of the event, None when left out."""

    WIRE = "<BBH6s"
    BITS = SYSTEM_STATUS
    sys_type: int
    sys_addr: int
    status: int
    time: TimeTag | None


class ComponentStatus(InfoObject, frozen=True):
    """Type 2: state of a component. status: COMPONENT_STATUS. desc: 31 bytes for people."""

    WIRE = "<BBBIH31s6s"
    BITS = COMPONENT_STATUS
    sys_type: int
    sys_addr: int
    comp_type: int
    comp_addr: int
    status: int
    desc: Text
    time: TimeTag | None


class AnalogValue(InfoObject, frozen=True):
    """Type 3: a measured value. raw: signed 16 bit, to be scaled by the table of analog types. time: of sampling."""

    WIRE = "<BBBIBh6s"
    sys_type: int
    sys_addr: int
    comp_type: int
    comp_addr: int
    analog_type: int
    raw: int
    time: TimeTag | None


class Operation(InfoObject, frozen=True):
    """Type 4: what an operator did at the facility. op: OPERATION. operator: number of the person."""

    WIRE = "<BBBB6s"
    BITS = OPERATION
    sys_type: int
    sys_addr: int
    op: int
    operator: int
    time: TimeTag | None


class SystemVersion(InfoObject, frozen=True):
    """Type 5: software version of a facility system."""

    WIRE = "<BBBB"
    sys_type: int
    sys_addr: int
    major: int
    minor: int


class SystemConfiguration(InfoObject, frozen=True):
    """Type 6: a facility system described in text of its own length (one byte, 0..255)."""

    sys_type: int
    sys_addr: int
    text: Text


class ComponentConfiguration(InfoObject, frozen=True):
    """Type 7: what a component is called."""

    WIRE = "<BBBI31s"
    sys_type: int
    sys_addr: int
    comp_type: int
    comp_addr: int
    desc: Text


class SystemTime(InfoObject, frozen=True):
    """Type 8: clock of a facility system."""

    WIRE = "<BB6s"
    sys_type: int
    sys_addr: int
    time: TimeTag


class TransmitterStatus(InfoObject, frozen=True):
    """Type 21: state of the transmitter itself. status: TRANSMITTER_STATUS."""

    WIRE = "<B6s"
    BITS = TRANSMITTER_STATUS
    status: int
    time: TimeTag | None


class TransmitterOperation(InfoObject, frozen=True):
    """Type 24: what was done at the transmitter; bit 5 answers a duty check. op: TRANSMITTER_OPERATION."""

    WIRE = "<BB6s"
    BITS = TRANSMITTER_OPERATION
    op: int
    operator: int
    time: TimeTag | None


class TransmitterVersion(InfoObject, frozen=True):
    """Type 25: software version of the transmitter."""

    WIRE = "<BB"
    major: int
    minor: int


class TransmitterConfiguration(InfoObject, frozen=True):
    """Type 26: the transmitter described in text of its own length (one byte, 0..255)."""

    text: Text


class Clock(InfoObject, frozen=True):
    """Types 28 (the transmitter's clock) and 90 (the centre's, to be taken over)."""

    WIRE = "<6s"
    time: TimeTag


class SystemRef(InfoObject, frozen=True):
    """Types 61, 65, 66, 68: which system is asked for."""

    WIRE = "<BB"
    sys_type: int
    sys_addr: int


class ComponentRef(InfoObject, frozen=True):
    """Types 62, 63, 67: which component is asked for. The standard gives no component type here."""

    WIRE = "<BBI"
    sys_type: int
    sys_addr: int
    comp_addr: int


class OperationsQuery(InfoObject, frozen=True):
    """Type 64: so many operations of a system (at most 102) from this time on."""

    WIRE = "<BBB6s"
    sys_type: int
    sys_addr: int
    records: int
    time: TimeTag


class LogQuery(InfoObject, frozen=True):
    """Type 84: so many operations of the transmitter (at most 102) from this time on."""

    WIRE = "<B6s"
    records: int
    time: TimeTag


class Reserved(InfoObject, frozen=True):
    """Types 81, 85, 86, 88, 89: one byte that must be 0."""

    WIRE = "<B"
    reserved_byte: int = 0


class DutyCheck(InfoObject, frozen=True):
    """Type 91: answer within so many minutes (查岗)."""

    WIRE = "<B"
    minutes: int


MOST_RECORDS = 102
"""Largest `records` of types 64 and 84."""
