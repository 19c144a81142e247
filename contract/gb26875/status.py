"""Bits of status and operation bytes: GB/T 26875.3-2011, types 1, 2, 21 (status) and 4, 24 (operation).

What to hold in mind when judging them:

* Bit 0 set means normal monitoring. Many devices send only the bit of the event, or nothing at all for "restored", so a
  cleared bit 0 alone must not be read as test mode.
* Bit 5 is 1 for started and 0 for stopped; bit 11 of a system is 1 for manual, 0 for automatic. The others are 1 while
  the condition stands. (The printed standard gives both values of bit 13 as 1, a misprint.)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Bit(NamedTuple):
    """One bit: its mask and names. `name` is a stable word for machines."""

    mask: int
    name: str
    zh: str
    en: str
    is_reserved: bool = False


class Bits(tuple[Bit, ...]):
    """A table of bits, lowest first. reserved: their mask."""

    reserved: int

    def __new__(cls, bits: Iterable[Bit] = ()) -> Bits:
        made = super().__new__(cls, bits)
        made.reserved = sum(bit.mask for bit in made if bit.is_reserved)
        return made


def _bits(width: int, *named: tuple[str, str, str]) -> Bits:
    bits = [Bit(1 << place, *names) for place, names in enumerate(named)]
    bits += [Bit(1 << n, f"reserved{n}", f"保留{n}", f"reserved {n}", True) for n in range(len(named), width)]
    return Bits(bits)


_SHARED = (
    ("normal", "正常运行", "normal"),
    ("fire", "火警", "fire"),
    ("fault", "故障", "fault"),
    ("shield", "屏蔽", "disablement"),
    ("supervisory", "监管", "supervisory"),
    ("start", "启动", "started"),
    ("feedback", "反馈", "feedback"),
    ("delay", "延时", "delay"),
)
SYSTEM_STATUS = _bits(
    16,
    *_SHARED,
    ("mainPowerFault", "主电故障", "main power fault"),
    ("backupPowerFault", "备电故障", "standby power fault"),
    ("busFault", "总线故障", "bus fault"),
    ("manual", "手动状态", "manual"),
    ("configurationChanged", "配置改变", "configuration changed"),
    ("reset", "复位", "reset"),
)
"""Type 1, 16 bits."""
COMPONENT_STATUS = _bits(16, *_SHARED, ("powerFault", "电源故障", "power fault"))
"""Type 2, 16 bits."""
TRANSMITTER_STATUS = _bits(
    8,
    ("normal", "正常监视", "normal monitoring"),
    ("fire", "火警", "fire"),
    ("fault", "故障", "fault"),
    ("mainPowerFault", "主电故障", "main power fault"),
    ("backupPowerFault", "备电故障", "standby power fault"),
    ("channelFault", "与监控中心通信信道故障", "fault of the channel to the centre"),
    ("lineFault", "监测连接线路故障", "fault of a monitored line"),
)
"""Type 21, 8 bits."""
_OPERATIONS = (
    ("reset", "复位", "reset"),
    ("silence", "消音", "silence"),
    ("manualAlarm", "手动报警", "manual alarm"),
    ("alarmCleared", "警情消除", "alarm cleared"),
    ("selfTest", "自检", "self test"),
)
OPERATION = _bits(8, *_OPERATIONS, ("confirm", "确认", "confirm"), ("test", "测试", "test"))
"""Type 4, 8 bits."""
TRANSMITTER_OPERATION = _bits(
    8, *_OPERATIONS, ("dutyCheckReply", "查岗应答", "duty-check answer"), ("test", "测试", "test")
)
"""Type 24, 8 bits: as type 4, but bit 5 answers a duty check."""


def bits_set(table: Bits, value: int) -> tuple[Bit, ...]:
    """The bits of the value that are set, lowest first, reserved ones among them."""
    return tuple(bit for bit in table if value & bit.mask)


def mask_of(table: Bits, *names: str) -> int:
    """The value with exactly these bits set.

    Raises:
        KeyError: the table has no such bit.
    """
    masks = {bit.name: bit.mask for bit in table}
    return sum(masks[name] for name in set(names))


def reserved_bits(table: Bits, value: int) -> int:
    """The reserved bits that are set, as a value; 0 when none is."""
    return value & table.reserved
