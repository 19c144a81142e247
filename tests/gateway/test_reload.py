"""Rules and site files into a running gateway: untouched timers go on, a bad file changes nothing, all is noted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from contract.messages import Reading
from contract.profile import ProfileLibrary
from contract.site import load_site
from gateway.control.client import SOCKET, ControlClient, ControlError
from gateway.control.feed import Subscriber
from gateway.control.server import ControlServer
from gateway.reload import Reloader
from gateway.settings import GatewaySettings
from gateway.tasks import end_task
from rules.engine import Engine
from rules.model import load_packs
from tests.gateway.harness import PRESSURE, SITE, START_MS, Bench, Clock, arrival, batch, open_bench, state, until

PACK = """\
pack: own
title: {zh: 本站, en: Own}
rules:
  - id: own-low
    title: {zh: 压力偏低, en: Pressure rather low}
    advice: [{zh: 查看, en: Look}]
    basis: {zh: practice, en: practice}
    severity: warning
    applies_to: [hydrant-municipal/pressure_kpa]
    when: {kind: threshold, below: BELOW, clear: 900}
    for_s: FOR
    on_missing: hold
"""
OWN = ("own-low", "shuiye/hydrant-01/pressure_kpa")


def write_pack(folder: Path, below: float = 800, for_s: float = 60) -> Path:
    """The installation's own rules."""
    (folder / "rules").mkdir(exist_ok=True)
    path = folder / "rules" / "own.yaml"
    path.write_text(PACK.replace("BELOW", str(below)).replace("FOR", str(for_s)), "utf-8")
    return path


@asynccontextmanager
async def running(folder: Path, clock: Clock | None = None) -> AsyncIterator[tuple[Bench, Reloader]]:
    """A gateway's pipeline with a reloader of its own."""
    write_pack(folder) if not (folder / "rules").exists() else None
    async with open_bench(folder, clock, rule_folders=[folder / "rules"]) as bench:
        settings = GatewaySettings(
            sites=[folder / "shuiye.yaml"], data_dir=folder / "data", rule_folders=[folder / "rules"]
        )
        yield bench, Reloader(settings, lambda: bench.pipeline.installation, bench.pipeline.install, look_s=0.02)


def low(seq: int, at_ms: int, value: float = 700.0) -> Any:
    """A reading below the limit of the own rule."""
    return arrival(batch(seq, Reading(PRESSURE, at_ms, value), sent_ms=at_ms), at_ms)


def raised(bench: Bench) -> list[tuple[str, int]]:
    return [(alarm.rule, alarm.raised_ms) for alarm in reversed(bench.reader.alarms())]


async def pass_time(bench: Bench, clock: Clock, to_ms: int) -> None:
    """Let the clock stand there and a message come, so that timers speak."""
    clock.now_ms = to_ms
    await bench.take(arrival(state(sent_ms=to_ms), to_ms))


async def test_untouched_rule_keeps_its_timer_when_another_rule_changes(tmp_path: Path) -> None:
    """The alarm comes at its 60th second although rules were replaced in between; the changed rule decides anew."""
    clock = Clock()
    async with running(tmp_path, clock) as (bench, reloader):
        await bench.take(low(1, START_MS))
        clock.now_ms = START_MS + 30_000
        await bench.take(low(2, START_MS + 20_000))
        text = PACK.replace("BELOW", "800").replace("FOR", "60")
        (tmp_path / "rules" / "other.yaml").write_text(
            text.replace("pack: own", "pack: other").replace("own-low", "other-low").replace("800", "750"), "utf-8"
        )
        told = await reloader.reload("wang")
        await pass_time(bench, clock, START_MS + 61_000)

        assert told["rules"] == {"added": ["other-low"]}
        assert ("own-low", START_MS + 60_000) in raised(bench)


async def test_new_limit_decides_when_the_rule_was_changed(tmp_path: Path) -> None:
    """What was fine under the old limit raises under the new one, with the version of the new record."""
    clock = Clock()
    write_pack(tmp_path, below=600, for_s=0)
    async with running(tmp_path, clock) as (bench, reloader):
        await bench.take(low(1, START_MS))
        before = raised(bench)
        write_pack(tmp_path, below=800, for_s=0)
        await reloader.reload("wang")
        await bench.take(low(2, START_MS + 1000))

        assert before == []
        assert [rule for rule, _ in raised(bench)] == ["own-low"]
        kept = bench.reader.deciding_rule(bench.reader.alarms()[0].id)
        assert kept is not None
        assert json.loads(kept.json)["when"]["below"] == 800


async def test_alarm_clears_and_stays_to_be_acknowledged_when_its_rule_is_gone(tmp_path: Path) -> None:
    """Nothing would ever end it otherwise; people still see that it was there."""
    write_pack(tmp_path, for_s=0)
    async with running(tmp_path) as (bench, reloader):
        await bench.take(low(1, START_MS))
        (tmp_path / "rules" / "own.yaml").unlink()
        await reloader.reload("wang")

        (alarm,) = bench.reader.open_alarms()
        assert (alarm.active, alarm.state) == (False, "returned_unacknowledged")


async def test_alarm_comes_again_when_its_rule_went_and_came_back(tmp_path: Path) -> None:
    """No memory of the former life of the rule keeps a new alarm back, over restarts too."""
    write_pack(tmp_path, for_s=0)
    async with running(tmp_path) as (bench, _):
        await bench.take(low(1, START_MS))
    path = tmp_path / "rules" / "own.yaml"
    text = path.read_text("utf-8")
    path.unlink()
    async with running(tmp_path) as (bench, _):
        await until(lambda: not bench.reader.open_alarms()[0].active)
    path.write_text(text, "utf-8")
    async with running(tmp_path) as (bench, _):
        await bench.take(low(2, START_MS + 1000))
        assert [alarm.active for alarm in bench.reader.alarms()] == [True, False]


async def test_old_rules_stay_when_the_new_ones_are_wrong(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The answer names file and line, one warning says so however often it is tried, the status shows it."""
    async with running(tmp_path) as (bench, reloader):
        before = bench.pipeline.installation.hash
        path = write_pack(tmp_path)
        path.write_text(path.read_text("utf-8").replace("severity: warning", "severity: loud"), "utf-8")
        for _ in range(2):
            with pytest.raises(ControlError, match=r"own.yaml:8: rules\[0\].severity: got 'loud'"):
                await reloader.reload("wang")

        assert bench.pipeline.installation.hash == before
        assert [record.levelname for record in caplog.records if "configuration" in record.message] == ["WARNING"]
        assert "loud" in str(reloader.status()["configuration_fault"])


async def test_device_of_a_changed_site_file_is_known_and_the_others_keep_their_values(tmp_path: Path) -> None:
    """A new device speaks at once; one that left is a stranger again; who stayed keeps value and phase."""
    clock = Clock()
    async with running(tmp_path, clock) as (bench, reloader):
        await bench.take(low(1, START_MS))
        new = SITE.replace("- {id: panel-01, profile: panel-modbus, unit_id: 2, points: 16}", "")
        new = new.replace(
            "{id: hydrant-01,", "{id: hydrant-02, profile: hydrant-municipal, unit_id: 9}\n          - {id: hydrant-01,"
        )
        (tmp_path / "shuiye.yaml").write_text(new, "utf-8")
        told = await reloader.reload("gateway", sites_only=True)
        reading = Reading("hydrant-02/pressure_kpa", START_MS + 1000, 300.0)
        await bench.take(arrival(batch(2, reading, Reading("panel-01/p001", START_MS + 1000, "fire"))))
        await pass_time(bench, clock, START_MS + 61_000)

        assert told["devices"] == {"added": ["shuiye/hydrant-02"], "removed": ["shuiye/panel-01"]}
        assert [device.device for device in bench.reader.unknown_devices()] == ["panel-01"]
        assert ("own-low", START_MS + 60_000) in raised(bench)


async def test_limit_of_one_device_decides_for_it_alone_when_the_site_file_gives_it(tmp_path: Path) -> None:
    """The device's own limit is in force after the reload, and the decision names its record."""
    write_pack(tmp_path, below=600, for_s=0)
    async with running(tmp_path) as (bench, reloader):
        site = SITE.replace(
            "unit_id: 1}\n          - {id: panel",
            "unit_id: 1, limits: {own-low: {below: 800}}}\n          - {id: panel",
        )
        (tmp_path / "shuiye.yaml").write_text(site, "utf-8")
        told = await reloader.reload("gateway", sites_only=True)
        await bench.take(low(1, START_MS))

        assert told["devices"] == {"changed": ["shuiye/hydrant-01"]}
        (alarm,) = bench.reader.alarms()
        kept = bench.reader.deciding_rule(alarm.id)
        assert kept is not None
        assert json.loads(kept.json)["when"]["below"] == 800


async def test_reload_is_audited_and_told_to_the_screens_when_something_changed(tmp_path: Path) -> None:
    """Who, what changed, the hash before and after; nothing at all when nothing changed."""
    async with running(tmp_path) as (bench, reloader):
        subscriber = Subscriber()
        await bench.pipeline.subscribe(subscriber)
        before = bench.pipeline.installation.hash
        await reloader.reload("wang")
        nothing = [row.action for row in bench.reader.audit()]
        write_pack(tmp_path, below=790)
        await reloader.reload("wang")
        await subscriber.get()  # the snapshot
        async with asyncio.timeout(5):
            event = json.loads(await subscriber.get() or b"")

        row = bench.reader.audit()[0]
        detail = json.loads(row.detail)
        assert "configuration.reload" not in nothing
        assert (row.action, row.actor, detail["before"]) == ("configuration.reload", "wang", before)
        assert detail["rules"] == {"changed": ["own-low"]}
        assert event == {"event": "configuration", "data": {"configuration": detail["configuration"]}}


async def test_agent_that_left_the_site_file_is_missed_no_more(tmp_path: Path) -> None:
    """Nobody is called about an agent that nothing depends on any more; the one that stays is still missed."""
    clock = Clock()
    async with running(tmp_path, clock) as (bench, reloader):
        await bench.take(low(1, START_MS))
        (tmp_path / "shuiye.yaml").write_text(SITE[: SITE.index("  - id: edge2")], "utf-8")
        await reloader.reload("gateway", sites_only=True)
        clock.now_ms = START_MS + 600_000
        await until(lambda: ("agent-lost", "shuiye/edge1") in {(a.rule, a.subject) for a in bench.reader.alarms()})

        assert "shuiye/edge2" not in {alarm.subject for alarm in bench.reader.alarms()}


def test_other_groups_are_judged_when_the_site_file_has_others(tmp_path: Path) -> None:
    """A group that is new is watched, one that went is not, one that stayed still is."""
    path, library = tmp_path / "shuiye.yaml", ProfileLibrary()
    loaded = []
    for names in ("ab", "bc"):
        told = ", ".join(f"{{id: {n}, kind: main, title: {{zh: 甲, en: A}}, members: [hydrant-01]}}" for n in names)
        path.write_text(f"{SITE}groups: [{told}]\n", "utf-8")
        loaded.append(load_site(path, library))
    engine = Engine(load_packs())
    engine.add_site(loaded[0])
    rule = "hydrant-main-low"
    before = [engine.watches(rule, f"shuiye/{name}") for name in "abc"]

    engine.replace_groups(loaded[1])

    assert before == [True, True, False]
    assert [engine.watches(rule, f"shuiye/{name}") for name in "abc"] == [False, True, True]


async def test_site_file_is_taken_by_itself_and_rules_only_when_asked(tmp_path: Path) -> None:
    """Rules that nobody proved do not come into force because a file was saved."""
    async with running(tmp_path) as (bench, reloader):
        task = asyncio.create_task(reloader.run(), name="reload")
        try:
            await until(lambda: reloader.is_watching)
            version = bench.pipeline.installation.rules["own-low"].version
            write_pack(tmp_path, below=500)
            (tmp_path / "shuiye.yaml").write_text(SITE.replace("points: 16", "points: 17"), "utf-8")
            await until(lambda: reloader.reloads == 1)
            kept = bench.pipeline.installation.rules["own-low"].version
            reloader.ask()
            await until(lambda: reloader.reloads == 2)
        finally:
            await end_task(task)

        assert kept == version
        assert bench.pipeline.installation.rules["own-low"].version != version


async def test_rules_are_read_again_when_the_control_socket_is_asked(tmp_path: Path) -> None:
    """`weizhan rules apply` tells the gateway this way, and gets its refusal word for word."""
    async with running(tmp_path) as (bench, reloader):
        path = tmp_path / "data" / SOCKET
        async with (
            ControlServer(path, bench.pipeline, bench.feed, dict, reloader.reload),
            ControlClient(path) as client,
        ):
            write_pack(tmp_path, below=500)
            told = await client.ask("rules.reload", "wang")
            write_pack(tmp_path).write_text("pack: own", "utf-8")
            with pytest.raises(ControlError, match=r"own\.yaml:1: title: got nothing"):
                await client.ask("rules.reload", "wang")

        assert told["rules"] == {"changed": ["own-low"]}


async def test_start_keeps_every_rule_in_force_in_the_ledger(tmp_path: Path) -> None:
    """The whole record of each, so that a decision can be explained years later."""
    async with running(tmp_path) as (bench, _):
        rules = bench.pipeline.installation.rules
        await until(lambda: bench.reader.rule_versions())
        kept = {(row.id, row.version) for row in bench.reader.rule_versions()}

        assert kept == {(rule.id, rule.version) for rule in rules.values()}
