"""New site files through the gateway: whole or not at all, written down, brought back; devices as a table."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from contract.errors import ConfigError
from contract.mqtt import MqttSettings
from contract.profile import ProfileLibrary
from contract.site import load_site
from gateway.app import Gateway, open_gateway
from gateway.control.client import ControlClient, ControlError
from gateway.history.settings import EmbeddedSettings
from gateway.ledger.reader import LedgerReader
from gateway.ledger.store import FILE
from gateway.settings import GatewaySettings
from gateway.sites.checking import check_text
from gateway.sites.compare import compare_sites
from gateway.sites.register import SITE_VERSION, sha256_of, version_path, write_whole
from gateway.sites.table import COLUMNS, device_lines, take_devices
from tests.gateway.harness import SITE, write_site

FURTHER = "          - {id: hydrant-02, profile: hydrant-municipal, unit_id: 3}\n"
ANCHOR = "          - {id: panel-01"
MORE = SITE.replace(ANCHOR, FURTHER + ANCHOR)


async def _apply(settings: GatewaySettings, text: str, base: str) -> Any:
    async with ControlClient(settings.data_dir / "control.sock") as client:
        return await client.ask("site.apply", "li", site="shuiye", text=text, base=sha256_of(base.encode()))


def _devices(gateway: Gateway) -> set[str]:
    return {placed.entry.id for placed in gateway.pipeline.installation.sites["shuiye"].placed()}


async def test_a_site_file_comes_into_force_and_back_when_it_is_applied(tmp_path: Path) -> None:
    """File, engine, versions and audit trail agree; what changed meanwhile or is wrong changes nothing."""
    settings = GatewaySettings(sites=[write_site(tmp_path)], data_dir=tmp_path / "d")
    path = settings.sites[0]
    async with open_gateway(settings, EmbeddedSettings(), MqttSettings(port=9)) as gateway:
        told = await _apply(settings, MORE, SITE)
        assert told["devices"] == {"added": ["shuiye/hydrant-02"]}
        assert (path.read_text(), "hydrant-02" in _devices(gateway)) == (MORE, True)
        for text, base, code in (
            (SITE, SITE, "conflict"),
            (MORE.replace("unit_id: 3", "unit_id: 300"), MORE, "invalid"),
            (MORE.replace("site: shuiye", "site: other"), MORE, "invalid"),
        ):
            with pytest.raises(ControlError) as refused:
                await _apply(settings, text, base)
            assert refused.value.code == code
        assert "shuiye.yaml:12: agents[0].lines[0].devices[1].unit_id: got 300" in await _said(settings)
        assert path.read_text() == MORE
        assert (await _apply(settings, MORE, MORE))["id"] is None
        await _apply(settings, SITE, MORE)
        assert "hydrant-02" not in _devices(gateway)
    for text in (SITE, MORE):
        kept = version_path(settings.data_dir, "shuiye", sha256_of(text.encode()))
        assert kept.read_text() == text
    with LedgerReader(settings.data_dir / FILE) as ledger:
        assert [(row.state, row.by) for row in ledger.entries(SITE_VERSION)] == [("in_force", "li"), ("past", "li")]
        actions = [row.action for row in ledger.audit() if row.actor == "li"]
    assert actions == ["configuration.reload", "site_version.apply"] * 2


async def _said(settings: GatewaySettings) -> str:
    try:
        await _apply(settings, MORE.replace("unit_id: 3", "unit_id: 300"), MORE)
    except ControlError as exc:
        return str(exc)
    return ""


@pytest.mark.parametrize("written", [False, True])
async def test_a_change_is_whole_when_the_gateway_is_killed_around_the_rename(tmp_path: Path, written: bool) -> None:
    """The row that was begun is settled by the file that is there: in force, or undone."""
    settings = GatewaySettings(sites=[write_site(tmp_path)], data_dir=tmp_path / "d")
    from gateway.control.protocol import Ask

    begun = {"site": "shuiye", "sha256": sha256_of(MORE.encode()), "before": sha256_of(SITE.encode()), "devices": 4}
    async with open_gateway(settings, EmbeddedSettings(), MqttSettings(port=9)) as gateway:
        await gateway.pipeline.ask(Ask(id=0, op="site_version.begin", actor="li", args=begun))
    fresh = settings.sites[0].with_name(".shuiye.yaml.new")
    fresh.write_text(MORE[:100])  # what a kill in the middle of writing leaves
    if written:
        write_whole(settings.sites[0], MORE.encode())
    async with open_gateway(settings, EmbeddedSettings(), MqttSettings(port=9)) as gateway:
        assert ("hydrant-02" in _devices(gateway)) is written
        with LedgerReader(settings.data_dir / FILE) as ledger:
            assert [row.state for row in ledger.entries(SITE_VERSION)] == ["in_force" if written else "undone"]
        await _apply(settings, MORE.replace("unit_id: 3", "unit_id: 4"), MORE if written else SITE)
        assert "hydrant-02" in _devices(gateway)


@pytest.mark.parametrize(
    "name", ["/etc/hostname", "../secret.csv", "maps/../../secret.csv", "link.csv", "out/secret.csv"]
)
def test_an_uploaded_file_is_refused_when_it_names_a_file_outside_its_folder(tmp_path: Path, name: str) -> None:
    """Absolute, upwards, by a link: each is told by line, and none is opened; one beside the site file is taken."""
    folder = tmp_path / "sites"
    folder.mkdir()
    path = folder / "shuiye.yaml"
    path.write_text(SITE, "utf-8")
    (tmp_path / "secret.csv").write_text("address,place_zh\n1,秘密\n")
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "out").symlink_to(tmp_path)
    (folder / "map.csv").write_text("address,place_zh\nl001p001,一楼\n")

    def check(point_map: str, line: str = "") -> Any:
        text = SITE.replace("unit_id: 2, points: 16", f"unit_id: 2, points: 16, point_map: {point_map}")
        text = text.replace("    lines:\n", f"    lines:\n{line}", 1)
        return check_text(text.encode(), path, "shuiye", ProfileLibrary(), {}, {}, None)

    assert check("map.csv").site == "shuiye"
    with pytest.raises(ConfigError) as refused:
        check(name)
    told = str(refused.value)
    assert told.startswith(f"shuiye.yaml:{1 + SITE[: SITE.index('unit_id: 2')].count(chr(10))}: agents[0].lines[")
    assert f"point_map: got '{name}', want the name of a file in the folder of the site file" in told
    sensors = f"""\
      - id: sensors
        kind: mqtt
        host: 192.0.2.1
        password_file: {name}
        ca_file: {name}
        devices: [{{id: leak-01, profile: hydrant-municipal, address: a1}}]
"""
    with pytest.raises(ConfigError) as refused:
        check("map.csv", sensors)
    assert [line.split(": ")[1] for line in str(refused.value).splitlines()] == [
        "agents[0].lines[0].password_file", "agents[0].lines[0].ca_file",
    ]  # fmt: skip


async def test_readers_see_the_old_or_the_new_file_when_it_is_replaced(tmp_path: Path) -> None:
    """Never a part of one."""
    path = tmp_path / "a.yaml"
    texts = [b"a" * 50_000, b"b" * 50_000]
    path.write_bytes(texts[0])
    seen: set[bytes] = set()

    def write() -> None:
        for n in range(200):
            write_whole(path, texts[n % 2])

    writing = asyncio.ensure_future(asyncio.to_thread(write))
    while not writing.done():
        seen.add(await asyncio.to_thread(path.read_bytes))
    await writing
    assert seen <= set(texts)


def _site(tmp_path: Path, text: str, name: str = "shuiye.yaml") -> Any:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return load_site(path, ProfileLibrary())


def test_what_changes_is_named_when_devices_come_go_and_differ(tmp_path: Path) -> None:
    """Device by device with its fields, the rest by key, and the lines."""
    changed = MORE.replace(
        "{id: tank-01, profile: water-level, unit_id: 1}", "{id: tank-02, profile: water-level, unit_id: 1}"
    )
    changed = changed.replace("points: 16", "points: 32").replace("en: Shuiye station", "en: Station")
    found = compare_sites(_site(tmp_path, SITE), _site(tmp_path, changed, "new.yaml"), SITE, changed)
    assert [(one.how, one.device) for one in found.devices] == [
        ("removed", "tank-01"), ("changed", "panel-01"), ("added", "hydrant-02"), ("added", "tank-02")
    ]  # fmt: skip
    assert found.devices[1].fields == (("points", "16", "32"),)
    assert found.beside == ("title",)
    assert {line.how for line in found.lines} == {"plus", "minus", "same", "at"}


TABLED = SITE.replace("site: shuiye", "# keep me\nsite: shuiye").replace(
    "unit_id: 1}\n          - {id: panel", "unit_id: 1}  # by the gate\n          - {id: panel"
)


def _csv(lines: list[list[str]], language: str = "zh") -> bytes:
    titles = [column.zh if language == "zh" else column.en for column in COLUMNS]
    return "\n".join(",".join(line) for line in [titles, *lines]).encode("utf-8-sig")


def test_a_device_list_goes_out_and_comes_back_the_same_when_nothing_is_changed(tmp_path: Path) -> None:
    """Not a byte of the file differs."""
    site = _site(tmp_path, TABLED)
    text, faults = take_devices(_csv(device_lines(site)), TABLED, site)
    assert faults == []
    assert compare_sites(site, _site(tmp_path, text, "n.yaml"), TABLED, text).devices == ()
    assert "# keep me" in text
    assert "# by the gate" in text


def test_a_device_list_changes_what_it_names_when_it_comes_back_as_a_workbook(tmp_path: Path) -> None:
    """Added with a name that looks like something else, changed, taken away; comments stay."""
    site = _site(tmp_path, TABLED)
    lines = device_lines(site)
    lines[0][4], lines[0][5] = "no", "yes"
    lines[1][10] = "20"
    lines.append(["edge2", "tcp2", "tank-02", "water-level", "屋顶水箱", "Roof: #2", "", "", "7", "", "", "2.5"])
    book = Workbook()
    sheet: Any = book.active
    for line in [[column.en for column in COLUMNS], *lines]:
        sheet.append(line)
    data = io.BytesIO()
    book.save(data)
    text, faults = take_devices(data.getvalue(), TABLED, site)
    assert faults == []
    new = {placed.entry.id: placed.entry for placed in _site(tmp_path, text, "n.yaml").placed()}
    assert new["hydrant-01"].title is not None
    assert (new["hydrant-01"].title.zh, new["hydrant-01"].title.en) == ("no", "yes")
    assert (new["panel-01"].points, new["tank-02"].unit_id, new["tank-02"].poll_s) == (20, 7, 2.5)
    assert "# by the gate" in text


def test_every_wrong_cell_is_named_and_nothing_taken_when_a_device_list_is_wrong(tmp_path: Path) -> None:
    """Row and column as the program that made the file counts."""
    site = _site(tmp_path, SITE)
    lines = device_lines(site)
    lines[0][1] = "nowhere"
    lines[1][8] = "two"
    lines[2][4] = "只有中文"
    lines.append(list(lines[1]))
    lines.append(["edge1", "tcp1", "=cmd()", "hydrant-municipal", *[""] * 8])
    text, faults = take_devices(_csv(lines), SITE, site)
    assert text == SITE
    assert [(fault.row, fault.column, fault.want) for fault in faults] == [
        (2, "线路", "choice"), (3, "地址号", "number"), (4, "英文名称", "empty"), (5, "地址号", "number"),
        (5, "设备编号", "once"), (6, "设备编号", "formula"),
    ]  # fmt: skip
