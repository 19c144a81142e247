"""The demo station: a micro fire station in a town, on a TCP gateway, an RS-485 line and a printer port.

Polls are faster than in the field, so that a short demo shows something.
"""

from __future__ import annotations

from typing import Any

from simulators.encoding import TransmitterSetting
from simulators.station import DevicePlan, LinePlan, Pair, StationPlan

PANEL_POINTS = 16
_SMOKE = ("感烟探测器", "smoke detector")
_HEAT = ("感温探测器", "heat detector")
_CALL = ("手动报警按钮", "call point")
_TOWN_HALL = (
    ("镇政府一层门厅", "Town hall, ground floor lobby", _SMOKE),
    ("镇政府一层便民服务大厅", "Town hall, ground floor service hall", _SMOKE),
    ("镇政府一层东侧走廊", "Town hall, ground floor east corridor", _CALL),
    ("镇政府一层食堂厨房", "Town hall, ground floor canteen kitchen", _HEAT),
    ("镇政府一层配电间", "Town hall, ground floor switch room", _SMOKE),
    ("镇政府一层西侧走廊", "Town hall, ground floor west corridor", _CALL),
    ("镇政府二层东侧走廊", "Town hall, first floor east corridor", _SMOKE),
    ("镇政府二层会议室", "Town hall, first floor meeting room", _SMOKE),
    ("镇政府二层档案室", "Town hall, first floor archive", _SMOKE),
    ("镇政府二层西侧走廊", "Town hall, first floor west corridor", _CALL),
    ("镇政府三层东侧办公区", "Town hall, second floor east offices", _SMOKE),
    ("镇政府三层机房", "Town hall, second floor server room", _SMOKE),
    ("镇政府三层西侧办公区", "Town hall, second floor west offices", _SMOKE),
    ("镇政府三层走廊", "Town hall, second floor corridor", _CALL),
    ("镇政府后院车库", "Town hall, garage in the yard", _HEAT),
    ("镇政府后院锅炉房", "Town hall, boiler room in the yard", _HEAT),
)
_STORE = {
    "l003p019": ("商场一层鞋帽区", "Store, ground floor, shoes", _SMOKE),
    "l003p020": ("商场一层收银台", "Store, ground floor, tills", _SMOKE),
    "l003p021": ("商场一层服装区", "Store, ground floor, clothes", _SMOKE),
    "l003p022": ("商场一层服装区", "Store, ground floor, clothes", _CALL),
    "l003p023": ("商场二层家电区", "Store, first floor, appliances", _SMOKE),
}
"""Not every address: what the map does not name, the panel prints."""


def _spot(zh: str, en: str, kind: Pair) -> Pair:
    return f"{zh} {kind[0]}", f"{en}: {kind[1]}"


def plan_shuiye() -> StationPlan:
    """The station `shuiye-demo` with its agent `edge-01`."""
    return StationPlan(
        site="shuiye-demo",
        title=("水冶镇微型消防站(演示)", "Shuiye town micro fire station (demo)"),
        agent="edge-01",
        agent_title=("值班室采集终端", "Duty room agent"),
        lines=(
            LinePlan("tcp-1", "modbus_tcp", (*_hydrants(), *_water(), _panel())),
            LinePlan("rtu-1", "modbus_rtu", (*_bays(), *_indoor())),
            LinePlan("printer-1", "printer", (_printer(),)),
        ),
        station=station_section(),
        patrols=(facility_patrol(),),
    )


def station_section() -> dict[str, Any]:
    """One control room with two attendants, and what such a station has."""
    equipment = (
        ("vehicle", "vehicle", "电动消防巡逻车", "Patrol vehicle", 1),
        ("breathing", "breathing", "正压式空气呼吸器", "Breathing apparatus", 2),
        ("clothing", "clothing", "灭火防护服", "Protective clothing", 6),
        ("radio", "radio", "手持对讲机", "Radio", 4),
    )
    return {
        "grade": 2,
        "posts": [
            {
                "id": "control",
                "title": {"zh": "消防控制室", "en": "Control room"},
                "crew": 2,
                "certificates": ["operator"],
            }
        ],
        "equipment": [
            {"id": name, "kind": kind, "title": {"zh": zh, "en": en}, "count": count}
            for name, kind, zh, en, count in equipment
        ],
    }


def facility_patrol() -> dict[str, Any]:
    """The hydrants and the pump room, once a day."""
    items = [{"zh": "外观完好，无遮挡", "en": "Sound and free of things"}, {"zh": "压力正常", "en": "Pressure right"}]
    return {
        "id": "water",
        "title": {"zh": "消防供水设施巡查", "en": "Patrol of the fire water"},
        "kind": "facility",
        "cycle": "daily",
        "stops": [
            *({"device": f"hydrant-0{n}", "items": items} for n in (1, 2, 3)),
            {"id": "pump-room", "title": {"zh": "消防泵房", "en": "Pump room"}, "walk_s": 60},
        ],
    }


def _hydrants() -> tuple[DevicePlan, ...]:
    places = (
        ("老城街与建设路口东北角", "Laocheng Street and Jianshe Road, NE corner"),
        ("镇第二小学东门", "No. 2 primary school, east gate"),
        ("农贸市场南入口", "Produce market, south entrance"),
    )
    pressures, batteries = (262.0, 271.5, 255.0), (91, 84, 77)
    return tuple(
        DevicePlan(
            f"hydrant-0{n}",
            "hydrant-municipal",
            (f"市政消火栓 {n} 号", f"Municipal hydrant {n}"),
            place,
            unit_id=10 + n,
            poll_s=1.0,
            start={
                "pressure_kpa": pressures[n - 1],
                "water_temperature_c": 14.5 + n,
                "tilt_deg": 0.8,
                "battery_pct": batteries[n - 1],
                "signal_dbm": -78 - n,
            },
        )
        for n, place in enumerate(places, 1)
    )


def _water() -> tuple[DevicePlan, ...]:
    room = ("供销商场地下一层消防泵房", "Supply and marketing store, basement pump room")
    return (
        DevicePlan(
            "pump-01", "pump-controller", ("消火栓泵控制柜", "Hydrant pump controller"), room, unit_id=21, poll_s=0.5,
            start={"mode": "auto", "power_ok": True, "outlet_pressure_kpa": 605.0},
        ),
        DevicePlan(
            "pool-01", "water-level", ("消防水池", "Fire water pool"), room, unit_id=22, poll_s=1.0,
            start={"level_m": 3.25, "water_temperature_c": 12.0},
        ),
        DevicePlan(
            "main-01", "transmitter-pressure", ("消火栓管网压力变送器", "Hydrant main pressure transmitter"), room,
            unit_id=23, poll_s=1.0, start={"pressure_kpa": 520.0},
            setting=TransmitterSetting(unit_code=0, decimals=3),  # MPa
        ),
        DevicePlan(
            "tank-01", "transmitter-level", ("屋顶水箱液位变送器", "Roof tank level transmitter"),
            ("供销商场屋顶水箱间", "Supply and marketing store, roof tank room"),
            unit_id=24, poll_s=1.0, start={"level_m": 2.6},
            setting=TransmitterSetting(unit_code=10, decimals=0, offset=-15),  # mm
        ),
    )  # fmt: skip


def _panel() -> DevicePlan:
    return DevicePlan(
        "panel-01",
        "panel-modbus",
        ("火灾报警控制器(主机)", "Fire alarm panel (main)"),
        ("镇政府值班室", "Town hall duty room"),
        unit_id=1,
        poll_s=0.25,
        points=PANEL_POINTS,
        places={f"p{n:03d}": _spot(*place) for n, place in enumerate(_TOWN_HALL, 1)},
    )


def _bays() -> tuple[DevicePlan, ...]:
    places = (
        ("微型消防站器材间门口", "Station equipment room, door"),
        ("供销商场一层服务台", "Supply and marketing store, ground floor desk"),
        ("镇卫生院二层护士站", "Town clinic, first floor nurses' station"),
    )
    pressures = (1220.0, 1265.0, 1190.0)
    return tuple(
        DevicePlan(
            f"bay-0{n}",
            "extinguisher-bay",
            (f"灭火器箱 {n} 号", f"Extinguisher bay {n}"),
            place,
            unit_id=30 + n,
            poll_s=1.0,
            start={"pressure_kpa": pressures[n - 1], "temperature_c": 19.0 + n, "present": True},
        )
        for n, place in enumerate(places, 1)
    )


def _indoor() -> tuple[DevicePlan, ...]:
    return (
        DevicePlan(
            "indoor-01", "hydrant-indoor", ("五层最不利点消火栓", "Fifth floor worst-point hydrant"),
            ("镇卫生院五层东侧楼梯间", "Town clinic, fourth floor east stairs"), unit_id=41, poll_s=1.0,
            start={"pressure_kpa": 322.0, "battery_pct": 88},
        ),
        DevicePlan(
            "rack-01", "breathing-apparatus-rack", ("空气呼吸器架", "Breathing-apparatus rack"),
            ("微型消防站器材间", "Station equipment room"), unit_id=42, poll_s=2.0,
            start={f"cylinder_{n}_pressure_kpa": 28600.0 + 200 * n for n in range(1, 5)}
            | {f"set_{n}_present": True for n in range(1, 5)},
        ),
    )  # fmt: skip


def _printer() -> DevicePlan:
    return DevicePlan(
        "panel-02",
        "panel-printer",
        ("火灾报警控制器(商场,打印口)", "Fire alarm panel (store, printer port)"),
        ("供销商场消防控制室", "Supply and marketing store, control room"),
        places={address: _spot(*place) for address, place in _STORE.items()},
        zones={address: "2F" if "二层" in place[0] else "1F" for address, place in _STORE.items()},
    )
