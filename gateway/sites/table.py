"""The devices of a site as a table, CSV or XLSX: written out, and taken back whole or not at all.

The table is the whole list: a device that is not in it goes, one that is new comes, and the columns of one that stays
are set. What has no column (dates, limits) and every comment of the site file stays where it is.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from contract.site import Site
from gateway.duty.importing import Column, Fault, Faults, Reader, plain, read_table

COLUMNS = (
    Column("agent", "采集器", "agent", True),
    Column("line", "线路", "line", True),
    Column("id", "设备编号", "device", True),
    Column("profile", "型号档案", "profile", True),
    Column("title_zh", "名称", "title (zh)"),
    Column("title_en", "英文名称", "title (en)"),
    Column("place_zh", "位置", "place (zh)"),
    Column("place_en", "英文位置", "place (en)"),
    Column("unit_id", "地址号", "unit id"),
    Column("address", "传感器标识", "sensor id"),
    Column("points", "点数", "points"),
    Column("poll_s", "轮询秒数", "poll (s)"),
)
NUMBERS = {"unit_id": int, "points": int, "poll_s": float}
Lists = Mapping[tuple[str, str], list[Any]]


def device_lines(site: Site) -> list[list[str]]:
    """A line of cells for each device, in file order."""
    found = []
    for placed in site.placed():
        entry = placed.entry
        cells: dict[str, Any] = {
            "agent": placed.agent, "line": placed.line.id, "id": entry.id, "profile": entry.profile,
            "unit_id": entry.unit_id, "address": entry.address, "points": entry.points,
            "poll_s": None if entry.poll_s is None else f"{entry.poll_s:g}",
            "title_zh": entry.title and entry.title.zh, "title_en": entry.title and entry.title.en,
            "place_zh": entry.place and entry.place.zh, "place_en": entry.place and entry.place.en,
        }  # fmt: skip
        found.append(["" if cells[column.key] is None else str(cells[column.key]) for column in COLUMNS])
    return found


def take_devices(data: bytes, text: str, site: Site) -> tuple[str, list[Fault]]:
    """The text of a site file with the devices of a table in it; faults and the text as it was, where any is wrong."""
    faults = Faults()
    table = read_table(data, COLUMNS, faults)
    lists: dict[tuple[str, str], list[Any]] = {(agent.id, line.id): [] for agent in site.agents for line in agent.lines}
    lines = {f"{agent}/{line}": (agent, line) for agent, line in lists}
    known = {placed.entry.id: placed.entry.profile for placed in site.placed()}
    yaml = YAML()
    yaml.width = 4096
    yaml.preserve_quotes = True
    try:
        tree = yaml.load(text)
    except YAMLError:
        faults.add(Fault(0, "", "", "file"))
        return text, faults.listed()
    kept = {entry["id"]: entry for agent in tree["agents"] for line in agent["lines"] for entry in line["devices"]}
    seen: set[str] = set()
    for row in table.rows:
        cells = Reader(table, row, faults)
        said = {column.key: cells.text(column.key) for column in COLUMNS}
        if f"{said['agent']}/{said['line']}" not in lines:
            cells.wrong("line", "choice", got=f"{said['agent']} / {said['line']}", choices=tuple(lines)[:12])
        if said["id"] in seen:
            cells.wrong("id", "once")
        seen.add(said["id"])
        numbers = {key: _number(said[key], kind) for key, kind in NUMBERS.items()}
        for key, value in numbers.items():
            if said[key] and value is None:
                cells.wrong(key, "number")
        for head in ("title", "place"):
            if bool(said[f"{head}_zh"]) != bool(said[f"{head}_en"]):
                cells.wrong(f"{head}_en" if said[f"{head}_zh"] else f"{head}_zh", "empty")
        if not faults.has_row(row.number):
            lists[lines[f"{said['agent']}/{said['line']}"]].append(_entry(kept.get(said["id"]), said, numbers, known))
    if faults.listed():
        return text, faults.listed()
    _put_back(tree, lists)
    written = io.StringIO()
    yaml.dump(tree, written)
    return written.getvalue(), []


def _number(text: str, kind: Any) -> Any:
    try:
        return kind(text) if text else None
    except ValueError:
        return None


def _entry(entry: Any, said: Mapping[str, str], numbers: Mapping[str, Any], known: Mapping[str, str]) -> Any:
    """The device's map: the one it had, with the table's columns set; a new one on a line of its own."""
    del known
    if entry is None:
        entry = CommentedMap()
        entry.fa.set_flow_style()
        entry["id"] = said["id"]
    texts = {head: (said[f"{head}_zh"], said[f"{head}_en"]) for head in ("title", "place")}
    values: dict[str, Any] = {"profile": said["profile"], "address": said["address"] and _quoted(said["address"])}
    values |= {head: _text(*pair) for head, pair in texts.items()} | dict(numbers)
    for key, value in values.items():
        if value in ("", None):
            entry.pop(key, None)
        elif key in ("title", "place") and key in entry and dict(entry[key]) == dict(value):
            continue
        elif key not in entry or entry[key] != value:
            entry[key] = value
    return entry


def _text(zh: str, en: str) -> Any:
    if not zh:
        return None
    made = CommentedMap({"zh": _quoted(zh), "en": _quoted(en)})
    made.fa.set_flow_style()
    return made


def _quoted(text: str) -> Any:
    """In quotes, so that no name becomes a number, a truth or a key."""
    return DoubleQuotedScalarString(plain(text))


def _put_back(tree: Any, lists: Lists) -> None:
    for agent in tree["agents"]:
        for line in agent["lines"]:
            wanted = lists[str(agent["id"]), str(line["id"])]
            if [id(each) for each in line["devices"]] != [id(each) for each in wanted]:
                line["devices"][:] = wanted
