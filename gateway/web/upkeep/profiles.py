"""Device profiles to look up: registers, units, source, caveats, and the frozen test vector."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from contract.point import Point
from contract.profile import ModbusVector, PrinterVector, Profile
from contract.topics import is_ident
from contract.units import unit_of
from gateway.web.access import Refused
from gateway.web.context import web_of
from gateway.web.render import page
from gateway.web.texts import Texts, msgid

router = APIRouter()
WAYS = ("modbus", "printer", "panel", "transmitter", "mqtt_json", "mqtt_frame")


class PointLine(NamedTuple):
    """A point as its profile has it, in words."""

    name: str
    title: str
    register: str
    kind: str
    unit: str
    rule: str
    """How the raw value becomes the value."""
    range: str
    missing: str
    lane: str


@router.get("/upkeep/profiles")
async def profiles(request: Request) -> Response:
    """Every profile, by what it is, with how many devices use it."""
    web, texts = web_of(request), web_of(request).texts(request)
    await web.refresh_approvals()
    used: dict[str, int] = {}
    for device in web.inventory.devices.values():
        used[device.profile.id] = used.get(device.profile.id, 0) + 1
    groups: dict[str, list[Profile]] = {}
    for profile in web.inventory.library:
        groups.setdefault(profile.category, []).append(profile)
    return page(
        request,
        "upkeep/profiles.html",
        groups=sorted(groups.items()),
        used=used,
        ways={profile.id: way_of(profile) for profile in web.inventory.library},
        counts={profile.id: len(profile.points_for(None)) for profile in web.inventory.library},
        total=sum(map(len, groups.values())),
        language=texts.language,
    )


@router.get("/upkeep/profiles/{profile_id}")
async def profile_page(request: Request, profile_id: str) -> Response:
    """One profile."""
    web, texts = web_of(request), web_of(request).texts(request)
    if not is_ident(profile_id) or profile_id not in web.inventory.library:
        raise Refused(404, msgid("There is no such profile."))
    await web.refresh_approvals()
    profile = web.inventory.library[profile_id]
    devices = [device for device in web.inventory.devices.values() if device.profile.id == profile_id]
    repeated = profile.repeat
    return page(
        request,
        "upkeep/profile.html",
        profile=profile,
        way=way_of(profile),
        title=profile.title.get(texts.language),
        points=[point_line(point, texts) for point in profile.points],
        repeated=None
        if repeated is None
        else point_line(repeated.point, texts)._replace(name=profile.repeat_name or ""),
        vector=vector_lines(profile, texts),
        devices=[(device.key, device.title.get(texts.language)) for device in devices[:100]],
        device_count=len(devices),
        rules=[
            (rule.id, rule.title.get(texts.language))
            for rule in web.inventory.rules.values()
            if any(rule.applies(profile_id, point.name) for point in profile.points_for(None)[:40])
        ],
    )


def way_of(profile: Profile) -> str:
    """How a device of it is read."""
    return next(way for way in WAYS if getattr(profile, way) is not None)


def point_line(point: Point, texts: Texts) -> PointLine:
    """A point in words."""
    unit = unit_of(point.name)
    kind = point.type if point.bit is None else f"{point.type} {point.bit}"
    rule = "" if (point.scale, point.offset) == (1.0, 0.0) else f"× {point.scale:g}"
    if point.offset:
        rule += f" {'+' if point.offset > 0 else '−'} {abs(point.offset):g}"
    if point.states:
        rule = " · ".join(f"{code} {texts.word('state', word)}" for code, word in point.states.items())
    return PointLine(
        point.name, point.title.get(texts.language), "" if point.register_ is None else str(point.register_),
        "" if point.text else kind, unit.symbol if unit and point.is_number else "", rule.strip(),
        "" if point.range is None else f"{point.range[0]:g} … {point.range[1]:g}",
        " ".join(f"0x{word:04X}" for word in point.missing), point.lane,
    )  # fmt: skip


def vector_lines(profile: Profile, texts: Texts) -> list[tuple[str, str]]:
    """The frozen test vector: what goes in, then what must come out."""
    vector: Any = profile.test_vector
    if isinstance(vector, ModbusVector):
        raw = [
            (f"{texts('Register')} {at}", " ".join(f"{w:04X}" for w in words)) for at, words in vector.registers.items()
        ]
        return (
            raw
            + [(f"→ {name}", str(value)) for name, value in vector.values.items()]
            + [(f"→ {name}", said) for name, said in vector.qualities.items()]
        )
    if isinstance(vector, PrinterVector):
        return [(texts("Bytes"), vector.hex), *((f"→ {name}", value) for name, value in vector.readings)]
    return [(name, str(value)) for name, value in vector.model_dump(exclude_none=True).items()]
