"""What is wrong with a site file beyond its form: every problem with file and line, what was got and what is wanted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import yaml

from contract import configfile
from contract.equipment import Asset, is_member
from contract.lines import (
    AGENT_PREFIX,
    HOSTED_LINES,
    LINE_PREFIX,
    PANEL_LINES,
    DeviceEntry,
    Gb26875Line,
    Line,
    MqttLine,
    PrinterLine,
    agent_device,
    line_device,
)
from contract.panel_profile import UNCALLABLE
from contract.profile import ONLINE, Profile, ProfileLibrary
from contract.topics import is_ident

if TYPE_CHECKING:
    from contract.site import Placed, Site  # for the names only: a site is checked by this module

At = Callable[..., str]
"""`file:line: key` of a place in the file."""


def problems_of(site: Site, library: ProfileLibrary, path: Path, node: yaml.Node | None) -> Iterator[str]:
    """What is wrong with agents, lines and devices; nothing else of a site may be asked for before this is empty."""
    at = places_in(path, node)
    yield from _of_site(site, at)
    agents: dict[str, str] = {}
    lines: dict[str, str] = {}
    ports: dict[str, str] = {}
    devices: dict[str, str] = {}
    for a, agent in enumerate(site.agents):
        where = ("agents", a)
        yield from _once(agent.id, agents, at(*where, "id"))
        if not is_ident(agent_device(agent.id)):
            yield f"{at(*where, 'id')}: got {len(agent.id)} characters, want at most {48 - len(AGENT_PREFIX)}."
        for n, line in enumerate(agent.lines):
            here = (*where, "lines", n)
            yield from _once(line.id, lines, at(*here, "id"))
            if not is_ident(line_device(line.id)):
                yield f"{at(*here, 'id')}: got {len(line.id)} characters, want at most {48 - len(LINE_PREFIX)}."
            # One owner an endpoint, whatever is spoken on it.
            port = f"{line.host if isinstance(line, HOSTED_LINES) else agent.id}:{line.port}"
            if port in ports:
                yield (
                    f"{at(*here, 'port')}: got {line.port!r}, which {ports[port]} uses. "
                    "Put all devices of one port on one line."
                )
            ports.setdefault(port, at(*here, "port"))
            yield from _of_devices(line, library, devices, at, here)


def group_problems(site: Site, path: Path, node: yaml.Node | None) -> Iterator[str]:
    """What is wrong with the groups of a site whose devices and point maps are known."""
    at = places_in(path, node)
    placed = list(site.placed())
    devices = {place.entry.id for place in placed}
    mapped = {group.id for group in list(site.all_groups())[len(site.groups) :]}
    seen: dict[str, str] = {}
    for g, group in enumerate(site.groups):
        yield from _once(group.id, seen, at("groups", g, "id"))
        if group.id in devices or group.id in mapped:
            taken = "a device" if group.id in devices else "a zone of a point map"
            yield f"{at('groups', g, 'id')}: got {group.id!r}, which names {taken}. Give the group another id."
        for m, pattern in enumerate(group.members):
            if not any(_has_member(place, pattern) for place in placed):
                yield (
                    f"{at('groups', g, 'members', m)}: got {pattern!r}, which matches nothing, want `device` or "
                    "`device/point` of this site."
                )


def places_in(path: Path, node: yaml.Node | None) -> At:
    """Gives `file:line: key` of a place in the file."""

    def at(*loc: int | str) -> str:
        line, key = configfile.locate(node, loc)
        return f"{path}:{line}: {key}"

    return at


def _once(name: str, seen: dict[str, str], place: str) -> Iterator[str]:
    if name in seen:
        yield f"{place}: got {name!r} again (first at {seen[name]}), want it once."
    seen.setdefault(name, place)


def _of_site(site: Site, at: At) -> Iterator[str]:
    if site.site == "system":
        yield f"{at('site')}: got 'system', which names the gateway's own state. Give the site another name."
    try:
        ZoneInfo(site.time_zone)
    except (KeyError, ValueError, OSError):  # unknown, no name at all, a folder of the database
        yield (
            f"{at('time_zone')}: got {site.time_zone!r}, want a name of the time zone database such as Asia/Shanghai. "
            "Mend the name."
        )


def _of_devices(
    line: Line, library: ProfileLibrary, devices: dict[str, str], at: At, here: tuple[int | str, ...]
) -> Iterator[str]:
    units: dict[int, str] = {}
    addresses: dict[tuple[str, str], str] = {}
    for d, entry in enumerate(line.devices):
        where = (*here, "devices", d)
        if entry.id.startswith((LINE_PREFIX, AGENT_PREFIX)):
            owner = "a line" if entry.id.startswith(LINE_PREFIX) else "an agent"
            yield (
                f"{at(*where, 'id')}: got {entry.id!r}; {entry.id.partition('-')[0]}-... names {owner}'s own health. "
                "Rename it."
            )
        if entry.id in devices:
            yield (
                f"{at(*where, 'id')}: got {entry.id!r} again (first at {devices[entry.id]}), want it once in a site."
            )
        devices.setdefault(entry.id, at(*where, "id"))
        if entry.profile not in library:
            yield (
                f"{at(*where, 'profile')}: got {entry.profile!r}, want one of {', '.join(library.ids())}. "
                "Name a profile or add its file."
            )
            continue
        profile = library[entry.profile]
        for key, problem in (
            *_wiring(profile, line, entry, units),
            *_address(profile, entry, addresses),
            *_fitting(profile, entry),
            *_dates(profile, entry.asset),
        ):
            yield f"{at(*where, *key.split('.'))}: {problem}"


def _wiring(profile: Profile, line: Line, entry: DeviceEntry, units: dict[int, str]) -> Iterator[tuple[str, str]]:
    """(key, what is wrong) of a device on its line; enters its address in `units`."""
    if not _fits(profile, line):
        yield "profile", f"got {entry.profile!r} on a {line.kind} line, want a {_wanted(profile)} line."
    if profile.modbus is not None:
        if entry.unit_id is None:
            yield "unit_id", "got nothing, want 1..247. Give the address set on the device's switch."
        elif entry.unit_id in units:
            yield (
                "unit_id",
                f"got {entry.unit_id}, which {units[entry.unit_id]} has on this line. Two devices with one address "
                "answer at once; change a switch.",
            )
        else:
            units[entry.unit_id] = entry.id
    if profile.panel is not None and profile.panel.driver == "gst_crt" and entry.unit_id in UNCALLABLE:
        yield (
            "unit_id",
            f"got {entry.unit_id}, want none of {list(UNCALLABLE)}. Calling it would send a byte that controls the "
            "panel; set another address.",
        )


def _address(profile: Profile, entry: DeviceEntry, taken: dict[tuple[str, str], str]) -> Iterator[tuple[str, str]]:
    """What is wrong with the address of a sensor; enters it in `taken` when nothing is."""
    if profile.transmitter is not None:
        yield from _transmitter_address(entry, taken)
    elif profile.topic is None:
        if entry.address is not None:
            yield "address", f"{entry.profile!r} sends on no topic. Take it out."
    elif entry.address is None:
        yield (
            "address",
            f"got nothing, want the sensor's id as it stands in {profile.topic}. Read it on the sensor, or in the "
            "agent's status file under strangers.",
        )
    elif (key := (profile.topic, entry.address)) in taken:
        yield "address", f"got {entry.address!r}, which {taken[key]} has on this line. Enter each sensor once."
    else:
        taken[key] = entry.id


def _transmitter_address(entry: DeviceEntry, taken: dict[tuple[str, str], str]) -> Iterator[tuple[str, str]]:
    address = (entry.address or "").lower()
    if re.fullmatch("[0-9a-f]{12}", address) is None:
        yield (
            "address",
            f"got {entry.address!r}, want the six bytes of the transmitter's address in hex, in the order of the wire. "
            "`weizhan gb26875 decode` shows it as src; unknown transmitters are named after it.",
        )
    elif ("", address) in taken:
        yield "address", f"got {entry.address!r}, which {taken['', address]} has on this line. Enter each one once."
    else:
        taken["", address] = entry.id


def _fitting(profile: Profile, entry: DeviceEntry) -> Iterator[tuple[str, str]]:
    if entry.point_map is not None and profile.category != "panel":
        yield "point_map", f"{entry.profile!r} is no panel. Take it out."
    if entry.points is not None and profile.repeat is None:
        yield "points", f"{entry.profile!r} has no repeated points. Take it out."


def _dates(profile: Profile, asset: Asset | None) -> Iterator[tuple[str, str]]:
    if asset is None:
        return
    if asset.extinguisher is not None and profile.category != "extinguisher":
        yield "asset.extinguisher", f"{profile.id!r} is no extinguisher. Take it out."
    for key in ("inspected", "maintained", "calibrated", "battery"):
        done = getattr(asset, key)
        if asset.made is not None and done is not None and done < asset.made:
            yield f"asset.{key}", f"got {done}, want {asset.made} (when it was made) or later. Mend one of the dates."


def _has_member(place: Placed, pattern: str) -> bool:
    names = [point.name for point in place.points] + [ONLINE]
    if any(is_member(pattern, place.entry.id, name) for name in names):
        return True
    # The points of a panel are those it speaks of: any name that it could speak of will do.
    device, _, point = pattern.partition("/")
    if not place.profile.is_listened_to or not is_member(device, place.entry.id, ONLINE):
        return False
    return any(character in point for character in "*?[") or place.profile.point(point) is not None


def _fits(profile: Profile, line: Line) -> bool:
    if profile.panel is not None:
        return isinstance(line, PANEL_LINES)
    if profile.transmitter is not None or isinstance(line, Gb26875Line):
        return profile.transmitter is not None and isinstance(line, Gb26875Line)
    if profile.topic is not None or isinstance(line, MqttLine):
        return profile.topic is not None and isinstance(line, MqttLine)
    return (profile.printer is not None) == isinstance(line, PrinterLine) and not isinstance(line, PANEL_LINES)


def _wanted(profile: Profile) -> str:
    if profile.panel is not None:
        return "panel_serial or panel_tcp"
    if profile.transmitter is not None:
        return "gb26875"
    if profile.topic is not None:
        return "mqtt"
    return "printer" if profile.printer is not None else "modbus_tcp, modbus_rtu or modbus_rtu_tcp"
