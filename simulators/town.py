"""The town of the stories: a station on a water network, with equipment of every category.

Its devices have the same names on every network, so that a story plays on all of them.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from contract.errors import ConfigError
from contract.profile import ProfileLibrary, Text
from simulators.encoding import TransmitterSetting
from simulators.hydraulics.mapping import Mapping as Where
from simulators.hydraulics.water import Seen, Span, Water
from simulators.shuiye import facility_patrol, station_section
from simulators.station import DevicePlan, LinePlan, StationPlan
from simulators.story import Event, Story
from simulators.timeline import (
    Action,
    Label,
    PointPlan,
    StepTold,
    Timeline,
    actions_of,
    check_events,
    exercise_events,
    points_of,
)

SITE, AGENT = "town", "edge-01"
ZONE = ZoneInfo("Asia/Shanghai")
PANEL_POINTS = 16
SHORTEST_POLL_S, FAST_BAUD = 0.5, 115_200
"""Where story time is faster than ours."""
_ROOM = ("地下一层消防泵房", "Basement pump room")
_PLACES = ("一层门厅", "一层大厅", "一层走廊", "一层厨房", "一层配电间", "一层值班室", "二层走廊", "二层会议室",
           "二层档案室", "二层办公区", "三层走廊", "三层机房", "三层办公区", "三层资料室",
           "车库", "锅炉房")  # fmt: skip
_RARE = frozenset({"wireless-02"})
_CALL_POINTS = frozenset({6, 10})


def plan_town(where: Where, story: Story | None = None) -> StationPlan:
    """The station `town` with its agent `edge-01`; post, people and duties where the story has them."""
    assets: Mapping[str, Any] = {} if story is None else story.assets
    for name in assets:
        if not any(device.id == name for line in _lines() for device in line.devices):
            raise ConfigError(f"assets: got {name!r}, want a device of the town.")
    lines = tuple(
        dataclasses.replace(
            line,
            devices=tuple(
                dataclasses.replace(device, asset=assets[device.id].model_dump(mode="json", exclude_none=True))
                if device.id in assets
                else device
                for device in line.devices
                if device.id not in _RARE or (story is not None and device.id in story.also)
            ),
        )
        for line in _lines()
    )
    groups = tuple(
        {"id": main, "kind": "main", "title": {"zh": f"{main} 管网", "en": f"Main {main}"}, "members": list(members)}
        for main, members in where.mains.items()
    )
    is_staffed = story is not None and story.staffed
    return StationPlan(
        site=SITE,
        title=("镇区微型消防站(模拟)", "Town micro fire station (simulated)"),
        agent=AGENT,
        agent_title=("值班室采集终端", "Duty room agent"),
        lines=lines,
        station=station_section() if is_staffed else None,
        patrols=(facility_patrol(),) if is_staffed else (),
        trainings=None
        if story is None or story.trainings is None
        else tuple(plan.model_dump(mode="json", exclude_none=True) for plan in story.trainings),
        groups=groups,
    )


def lay_out_town(story: Story, where: Where, library: ProfileLibrary, *, seed: int) -> Timeline:
    """The story in the town, in real seconds: what happens, what the water makes of it, what is true of it.

    Raises:
        ConfigError: the story names what the town does not have.
    """
    plan = plan_town(where, story)
    points = points_of(plan, library)
    spans = _spans(story, plan, points, seed)
    numbers = [Seen(name, at.point, float(_start(at))) for name, at in points.items() if _is_made(at)]
    acts = [Span(a, b, act) for a, b, event in spans for act in (event.water, event.sensor) if act is not None]
    starts = local_start(story)
    second = starts.hour * 3600 + starts.minute * 60 + starts.second
    water = Water(where, numbers, acts, starts_s=second, step_s=story.step_s, seed=seed)
    moves = list(water.moves(story.length_s))
    actions = sorted(actions_of(spans, moves, points, plan, story), key=lambda pair: pair[0])
    return Timeline(actions, story.length_s + story.tail_s, [Label(*span) for span in spans])


def labels_of(story: Story, where: Where, library: ProfileLibrary, *, seed: int) -> list[Label]:
    """What is true of a story, as `lay_out_town` gives it, without the work of its water. Raises ConfigError."""
    plan = plan_town(where, story)
    return [Label(*span) for span in _spans(story, plan, points_of(plan, library), seed)]


def _spans(
    story: Story, plan: StationPlan, points: dict[str, PointPlan], seed: int
) -> list[tuple[float, float, Event]]:
    """Every event from..to, in order."""
    rng = random.Random(seed)  # noqa: S311  # a simulation that must repeat, not a secret
    events = [*story.events, *exercise_events(story, points, rng)]
    check_events(events, plan, points)
    return sorted(((e.at_s, e.at_s + e.for_s, e) for e in events), key=lambda span: span[:2])


def quickened(plan: StationPlan, speed: float) -> StationPlan:
    """The town for real parts on which a second is `speed` story seconds: looked at more often, serial lines faster."""
    if speed == 1.0:
        return plan

    def faster(line: LinePlan) -> LinePlan:
        devices = tuple(
            dataclasses.replace(device, poll_s=max(SHORTEST_POLL_S, device.poll_s / speed)) if device.poll_s else device
            for device in line.devices
        )
        return dataclasses.replace(line, devices=devices, baud=FAST_BAUD)

    return dataclasses.replace(plan, lines=tuple(map(faster, plan.lines)))


def paced(timeline: Timeline, speed: float) -> Timeline:
    """A timeline of story seconds in real ones, each `speed` of them; events that tell nothing tell their name."""
    told: list[tuple[float, Action]] = []
    for from_s, to_s, event in timeline.labels:
        for at_s, text, zh, en in ((from_s, event.say, "开始", "begins"), (to_s, event.back, "结束", "is over")):
            if text is None:
                name = event.name if at_s == from_s else f"{event.name}-over"
                told.append((at_s, StepTold(name, Text(zh=f"{event.name} {zh}", en=f"{event.name} {en}"))))
    actions = sorted([*told, *timeline.actions], key=lambda pair: pair[0])
    return Timeline(
        [(at_s / speed, action) for at_s, action in actions],
        timeline.length_s / speed,
        [Label(from_s / speed, to_s / speed, event) for from_s, to_s, event in timeline.labels],
    )


def local_start(story: Story) -> datetime:
    """Second 0 of a story, with its time zone."""
    return story.starts.replace(tzinfo=ZONE) if story.starts.tzinfo is None else story.starts.astimezone(ZONE)


def contact_poll_s(label: Event, points: Mapping[str, PointPlan]) -> float:
    """Poll period of what an event sets, s; 0 for what sends by itself."""
    return max((points[name].poll_s for name in label.sets if points[name].profile.modbus is not None), default=0.0)


def _is_made(at: PointPlan) -> bool:
    return at.point.is_number and at.profile.modbus is not None and isinstance(at.start, int | float)


def _start(at: PointPlan) -> float:
    assert isinstance(at.start, int | float)
    return at.start


def _lines() -> tuple[LinePlan, ...]:
    return (
        LinePlan("tcp-hydrants", "modbus_tcp", tuple(_hydrant(n) for n in range(1, 7))),
        LinePlan("rtu-pumps", "modbus_rtu", _pump_room()),
        LinePlan("tcp-panel", "modbus_tcp", (_panel(),)),
        LinePlan("rtu-bays", "modbus_rtu", _equipment()),
        LinePlan("mqtt-1", "mqtt", _wireless()),
        LinePlan("panel-line", "panel_tcp", (_listened(),)),
    )


def _hydrant(n: int) -> DevicePlan:
    return DevicePlan(
        f"hydrant-0{n}", "hydrant-municipal", (f"市政消火栓 {n} 号", f"Municipal hydrant {n}"),
        (f"镇区 {n} 号点", f"Town, place {n}"), unit_id=10 + n, poll_s=10.0,
        start={"pressure_kpa": 350.0, "water_temperature_c": 12.0, "tilt_deg": 0.8, "battery_pct": 95 - 3 * n,
               "signal_dbm": -78 - n},
    )  # fmt: skip


def _pump_room() -> tuple[DevicePlan, ...]:
    return (
        DevicePlan(
            "pump-01", "pump-controller", ("消火栓泵控制柜", "Hydrant pump controller"), _ROOM, unit_id=21, poll_s=2.0,
            start={"mode": "auto", "power_ok": True, "outlet_pressure_kpa": 605.0},
        ),
        DevicePlan(
            "jockey-01", "jockey-pump-controller", ("稳压泵控制柜", "Jockey pump controller"), _ROOM, unit_id=22,
            poll_s=2.0, start={"mode": "auto", "power_ok": True, "outlet_pressure_kpa": 612.0},
        ),
        DevicePlan(
            "pool-01", "water-level", ("消防水池", "Fire water pool"), _ROOM, unit_id=23, poll_s=10.0,
            start={"level_m": 3.25, "water_temperature_c": 12.0},
        ),
        DevicePlan(
            "main-01", "transmitter-pressure", ("消火栓管网压力变送器", "Hydrant main pressure transmitter"), _ROOM,
            unit_id=24, poll_s=10.0, start={"pressure_kpa": 400.0}, setting=TransmitterSetting(unit_code=0, decimals=4),
        ),
        DevicePlan(
            "tank-01", "transmitter-level", ("屋顶水箱液位变送器", "Roof tank level transmitter"),
            ("屋顶水箱间", "Roof tank room"), unit_id=25, poll_s=10.0, start={"level_m": 2.7},
            setting=TransmitterSetting(unit_code=10, decimals=0),
        ),
        DevicePlan(
            "indoor-01", "hydrant-indoor", ("最不利点消火栓", "Worst-point indoor hydrant"),
            ("五层东侧楼梯间", "Fourth floor east stairs"), unit_id=26, poll_s=10.0,
            start={"pressure_kpa": 400.0, "battery_pct": 88},
        ),
        DevicePlan(
            "end-01", "end-test-valve", ("末端试水装置", "End test valve"), ("五层走廊", "Fourth floor corridor"),
            unit_id=27, poll_s=10.0, start={"pressure_kpa": 400.0, "battery_pct": 90},
        ),
    )  # fmt: skip


def _panel() -> DevicePlan:
    places = {
        f"p{n:03d}": (f"{name} {'手动报警按钮' if n in _CALL_POINTS else '感烟探测器'}",
                      f"Place {n}: {'call point' if n in _CALL_POINTS else 'smoke detector'}")
        for n, name in enumerate(_PLACES, 1)
    }  # fmt: skip
    zones = {address: "F1" if n <= 6 else "F2" if n <= 10 else "F3" for n, address in enumerate(places, 1)}
    return DevicePlan(
        "panel-01", "panel-modbus", ("火灾报警控制器", "Fire alarm panel"), ("值班室", "Duty room"), unit_id=1,
        poll_s=1.0, points=PANEL_POINTS, places=places, zones=zones,
    )  # fmt: skip


def _equipment() -> tuple[DevicePlan, ...]:
    bays = tuple(
        DevicePlan(
            f"bay-0{n}", "extinguisher-bay", (f"灭火器箱 {n} 号", f"Extinguisher bay {n}"),
            (f"{n} 号位", f"Place {n}"), unit_id=30 + n, poll_s=10.0,
            start={"pressure_kpa": 1200.0 + 10 * n, "temperature_c": 19.0, "present": True},
        )
        for n in (1, 2, 3)
    )  # fmt: skip
    return (
        *bays,
        DevicePlan(
            "rack-01", "breathing-apparatus-rack", ("空气呼吸器架", "Breathing-apparatus rack"),
            ("器材间", "Equipment room"), unit_id=42, poll_s=10.0,
            start={f"cylinder_{n}_pressure_kpa": 28600.0 + 200 * n for n in range(1, 5)}
            | {f"set_{n}_present": True for n in range(1, 5)},
        ),
    )  # fmt: skip


def _wireless() -> tuple[DevicePlan, ...]:
    return (
        DevicePlan(
            "detector-01", "json-smoke-heat", ("独立感烟感温探测器", "Stand-alone detector"), ("库房", "Store room"),
            address="SD-0001", start={"smoke": "normal", "heat": "normal", "tampered": False, "temperature_c": 18.0,
                                      "battery_v": 2.95, "signal_dbm": -71.0},
        ),
        DevicePlan(
            "door-01", "zigbee2mqtt-door", ("常闭防火门", "Fire door"), ("三层楼梯间", "Second floor stairs"),
            address="stair-3-door", start={"door_open": False, "tampered": False, "battery_low": False,
                                           "battery_pct": 96.0, "link_count": 90.0},
        ),
        DevicePlan(
            "leak-01", "zigbee2mqtt-leak", ("水浸探测器", "Leak detector"), _ROOM, address="pump-room-leak",
            start={"leak": False, "tampered": False, "battery_low": False, "battery_pct": 96.0, "link_count": 120.0},
        ),
        DevicePlan(
            "wireless-01", "wireless-hydrant-meokon", ("无线消火栓 1 号", "Wireless hydrant 1"), ("河堤", "River bank"),
            address="SHMK00000001", start={"pressure_kpa": 320.0, "low_limit_kpa": 140.0, "high_limit_kpa": 1000.0,
                                           "battery_pct": 90.0, "signal_dbm": -70.0},
        ),
        DevicePlan(
            "wireless-02", "wireless-hydrant-tilt-meokon", ("无线消火栓 2 号", "Wireless hydrant 2"),
            ("公园", "Park"), address="SHTL00000002", start={"battery_pct": 90.0, "signal_dbm": -70.0},
        ),
    )  # fmt: skip


def _listened() -> DevicePlan:
    return DevicePlan(
        "panel-02", "panel-sia-dc09", ("商场火灾报警控制器", "Store's fire alarm panel"), ("商场控制室", "Store")
    )
