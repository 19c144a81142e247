"""Units. The unit of a point stands at the end of its name: `pressure_kpa`, `level_m`, `battery_pct`.

The table gives what is shown to people and the factor to the unit used on the wire, for devices that
report in a unit of their own (a Modbus transmitter with a unit register, a panel in MPa).
"""

from __future__ import annotations

from typing import NamedTuple


class Unit(NamedTuple):
    """suffix: ending of a point's name. symbol: shown to people. quantity: zh and en name."""

    suffix: str
    symbol: str
    quantity_zh: str
    quantity_en: str


_UNITS = (
    Unit("kpa", "kPa", "压力", "pressure"),
    Unit("m", "m", "高度", "height"),
    Unit("c", "°C", "温度", "temperature"),
    Unit("lps", "L/s", "流量", "flow"),
    Unit("deg", "°", "倾角", "tilt"),
    Unit("pct", "%", "百分比", "share"),
    Unit("dbm", "dBm", "信号", "signal"),
    Unit("v", "V", "电压", "voltage"),
    Unit("a", "A", "电流", "current"),
    Unit("ma", "mA", "电流", "current"),
    Unit("s", "s", "时间", "time"),
    Unit("ms", "ms", "时间", "time"),
    Unit("days", "d", "天数", "days"),
    Unit("mb", "MB", "容量", "size"),
    Unit("count", "", "次数", "count"),
)
UNITS = {unit.suffix: unit for unit in _UNITS}

FACTORS: dict[tuple[str, str], float] = {
    ("MPa", "kpa"): 1000.0,
    ("kPa", "kpa"): 1.0,
    ("Pa", "kpa"): 0.001,
    ("bar", "kpa"): 100.0,
    ("mbar", "kpa"): 0.1,
    ("psi", "kpa"): 6.894757293168,
    ("kgf/cm2", "kpa"): 98.0665,
    ("mH2O", "kpa"): 9.80665,
    ("m", "m"): 1.0,
    ("cm", "m"): 0.01,
    ("mm", "m"): 0.001,
    ("mV", "v"): 0.001,
    ("V", "v"): 1.0,
    ("mA", "a"): 0.001,
}
"""(unit the device reports, suffix on the wire) -> factor. mH2O at 9.80665 m/s2 and 1000 kg/m3."""


def unit_of(point: str) -> Unit | None:
    """The unit named at the end of a point's name; None for states, truths and text."""
    head, _, suffix = point.rpartition("_")
    return UNITS.get(suffix) if head else None
