"""Backups made while a gateway writes, checked, and restored on one that does not run."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from contract.errors import ConfigError, RetryLater, StartError
from contract.messages import Reading
from contract.mqtt import MqttSettings
from gateway.app import Gateway, open_gateway
from gateway.backup.archive import CONFIGURATION, DATA, LEDGER, MANIFEST, Damaged, File, Limits, Manifest, is_safe
from gateway.backup.make import Source, make_backup
from gateway.backup.register import BACKUP, Backup
from gateway.backup.restore import check_backup, restore_backup
from gateway.backup.sealing import load_key, seal, sign
from gateway.backup.service import is_due
from gateway.control.protocol import Ask
from gateway.history.settings import EmbeddedSettings
from gateway.ledger.reader import LedgerReader
from gateway.ledger.store import FILE, Store
from gateway.settings import GatewaySettings
from tests.gateway.duty.station import HOUR_MS, MIDNIGHT_MS, MINUTE_MS
from tests.gateway.harness import PRESSURE, Clock, arrival, batch, until, write_site

KEY = bytes(range(32))
CANARY = "canary-7f3a-never-in-a-backup"


def _dump(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every table of a ledger but who is signed in."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    found = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables if name != "session"}
    connection.close()
    return found


async def _data(folder: Path) -> Path:
    """A data folder with a little of everything, and secrets beside it."""
    data = folder / "d"
    async with Store(data) as store:
        await store.run(
            lambda connection: connection.execute(
                "INSERT INTO session (token_hash, user, created_ms, expires_ms) VALUES ('x', 'duty', 1, 2)"
            )
        )
    for name in ("photos/ab/abc.jpg", "plans/1.png", "history/readme.txt", "logs/web.log"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(name.encode() * 100)
    (data / "notify.key").write_bytes(b"n" * 32)
    (data / "one-time-passwords.txt").write_text(CANARY)
    (data / "photos" / "link.jpg").symlink_to("/etc/hostname")
    return data


def _made(data: Path, folder: Path, name: str = "b.zip") -> Path:
    config = folder / "weizhan.yaml"
    config.write_text("gateway: {}\n")
    source = Source(data, (("weizhan.yaml", config),), "embedded")
    return make_backup(source, folder / "backups", name, KEY, "li", lambda *_: None, lambda: 1_760_000_000_000).path


async def test_a_restored_ledger_equals_the_one_that_was_backed_up_when_a_gateway_writes_on(tmp_path: Path) -> None:
    """Everything acknowledged before the stated moment is in it, row by row, and the gateway goes on from it."""
    settings = GatewaySettings(sites=[write_site(tmp_path)], data_dir=tmp_path / "d")

    async def send(gateway: Gateway, seq: int) -> None:
        reading = Reading(PRESSURE, 1_760_000_000_000 + seq, 150.0 + seq, "good")
        assert gateway.pipeline.offer(arrival(batch(seq, reading)))
        await until(lambda: gateway.pipeline.status()["pending"] == 0)

    async with open_gateway(settings, EmbeddedSettings(), MqttSettings(port=9)) as gateway:
        for seq in range(1, 40):
            await send(gateway, seq)
        asked = [gateway.pipeline.ask(Ask(id=0, op="backup.make", actor="li")) for _ in range(2)]
        numbers = [answer["id"] for answer in await asyncio.gather(*asked)]
        assert numbers == [1, 1]  # pressed twice: one backup
        seq = 40
        while gateway.pipeline.working.registers.backups.running is not None:
            await send(gateway, seq)
            seq += 1
        row: Backup = gateway.pipeline.working.registers.backups.done[0]
        before = seq
        await send(gateway, before)
        live = _dump(settings.data_dir / FILE)
    path = settings.data_dir / "backups" / row.file
    manifest = check_backup(path, load_key(settings.data_dir / "backup.key"))
    assert (manifest.head, manifest.head_hash, manifest.covers_ms) == (row.head, row.head_hash, row.covers_ms)
    restored = restore_backup(path, settings.data_dir, load_key(settings.data_dir / "backup.key"))
    assert restored.aside is not None
    mine = _dump(settings.data_dir / FILE)
    for name in ("audit", "inbox", "transition", "alarm", "rule_version", "user"):
        assert mine[name] == live[name][: len(mine[name])], name
    assert len(mine["inbox"]) >= 39
    assert dict(mine["meta"])["secret"] == dict(live["meta"])["secret"] != ""  # type: ignore[call-overload] # pairs
    acknowledged = [row for row in live["audit"] if row[1] < manifest.covers_ms]  # type: ignore[operator] # ms
    assert mine["audit"][: len(acknowledged)] == acknowledged
    assert (settings.data_dir / "backups" / row.file).is_file()  # the backups themselves stay
    assert (settings.data_dir / "notify.key").read_bytes() == (restored.aside / "notify.key").read_bytes()
    async with open_gateway(settings, EmbeddedSettings(), MqttSettings(port=9)) as gateway:
        await send(gateway, before)  # the agent sends again what the restored ledger does not have
        assert gateway.pipeline.working.registers.backups.running is None


async def test_no_secret_lies_in_a_backup_when_its_bytes_are_searched(tmp_path: Path) -> None:
    """Not the ledger's secret, not the keys, not who is signed in, not first passwords; sealed they come back."""
    data = await _data(tmp_path)
    connection = sqlite3.connect(data / FILE)
    secret = connection.execute("SELECT value FROM meta WHERE key = 'secret'").fetchone()[0]
    connection.close()
    path = _made(data, tmp_path)
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        everything = b"".join(archive.read(name) for name in names) + path.read_bytes()
    wanted = {LEDGER, MANIFEST, f"{CONFIGURATION}/weizhan.yaml", "data/history/readme.txt", "data/photos/ab/abc.jpg"}
    assert names == wanted | {"data/plans/1.png"}
    for hidden in (secret, CANARY, "n" * 32, KEY.hex(), (b"n" * 32).hex()):
        assert hidden.encode() not in everything
    assert path.stat().st_mode & 0o777 == 0o600
    restore_backup(path, tmp_path / "new", KEY)
    assert dict(_dump(tmp_path / "new" / FILE)["meta"])["secret"] == secret  # type: ignore[call-overload] # pairs
    assert (tmp_path / "new" / "notify.key").read_bytes() == b"n" * 32
    assert (tmp_path / "new" / "restored-configuration" / "weizhan.yaml").is_file()
    restore_backup(path, tmp_path / "keyless", None)
    assert dict(_dump(tmp_path / "keyless" / FILE)["meta"])["secret"] not in ("", secret)  # type: ignore[call-overload] # pairs


def _flip(path: Path, at: float) -> None:
    raw = bytearray(path.read_bytes())
    raw[int(len(raw) * at)] ^= 0x40
    path.write_bytes(bytes(raw))


def _rewrite(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """The same archive with other members."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def _set(name: str, value: object) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        told = json.loads(members[MANIFEST])
        told[name] = value
        members[MANIFEST] = json.dumps(told).encode()

    return change


HURT: dict[str, Callable[[Path], None]] = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-200]),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "no archive": lambda path: path.write_bytes(b"PK" + b"\0" * 4000),
    "a bit": lambda path: _flip(path, 0.3),
    "newer format": lambda path: _rewrite(path, _set("format", 2)),
    "newer ledger": lambda path: _rewrite(path, _set("ledger_schema", 999)),
    "another head": lambda path: _rewrite(path, _set("head", 1)),
    "a file more": lambda path: _rewrite(path, lambda m: m.update({"data/photos/x.jpg": b"x"})),
    "a file less": lambda path: _rewrite(path, lambda m: m.pop("data/plans/1.png") and None),
    "no manifest": lambda path: _rewrite(path, lambda m: m.pop(MANIFEST) and None),
    "a file changed": lambda path: _rewrite(path, lambda m: m.update({"data/plans/1.png": b"y" * 1600})),
}


@pytest.mark.parametrize("how", HURT)
async def test_a_backup_is_refused_and_nothing_changed_when_it_was_hurt(tmp_path: Path, how: str) -> None:
    """Cut, changed, newer, with files more or less: one sentence, and the data folder stays as it is."""
    data = await _data(tmp_path)
    path = _made(data, tmp_path)
    before = sorted(str(each) for each in data.rglob("*"))
    HURT[how](path)
    for key in (KEY, None):
        with pytest.raises(ConfigError):
            restore_backup(path, data, key)
    assert sorted(str(each) for each in data.rglob("*")) == before
    assert [each.name for each in tmp_path.iterdir() if "restoring" in each.name or "before" in each.name] == []


async def test_a_backup_is_refused_when_the_key_is_another_or_a_gateway_runs(tmp_path: Path) -> None:
    """Each with its reason."""
    data = await _data(tmp_path)
    path = _made(data, tmp_path)
    with pytest.raises(Damaged, match="Give the key it was made with"):
        check_backup(path, b"k" * 32)
    async with Store(data):
        with pytest.raises(StartError, match="runs there already"):
            restore_backup(path, data, KEY)
    with pytest.raises(RetryLater, match="no such file"):
        check_backup(tmp_path / "none.zip", KEY)


TRAVELLERS = (
    "../x", "..", "a/../../x", "/etc/x", "//x", "\\..\\x", "..\\x", "C:\\x", "C:/x", "./x", "x/./y", "x//y", "x/", " x",
    "x ", "x.", "..../x", "x\0y", "x\ny", "x\ry", "~/x", "%2e%2e/x", "x:y", "．．/x", "..%c0%afx", "x/..", "…/x",
    "\u202ex", "x" * 300, "nul", ".ssh/authorized_keys", "ledger.sqlite-wal", "../d/ledger.sqlite", "",
)  # fmt: skip
HEADS = ("", "data/", "configuration/", "data/photos/", "data/history/../", "data/secret/", "data/photos/../../", "x/")
KINDS = (0o100644, 0o120777)


def _signed(members: dict[str, bytes], ledger: bytes, head: tuple[int, str]) -> bytes:
    import hashlib

    files = [
        File(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in ({LEDGER: ledger} | members).items()
    ]
    made = Manifest(
        format=1, program="x", ledger_schema=1, made_ms=1, covers_ms=1, by="x", head=head[0], head_hash=head[1],
        history="embedded", files=files, key=_key_name(), sealed=_sealed(),
    )  # fmt: skip
    return msgspec.json.encode(msgspec.structs.replace(made, signature=sign(KEY, made.signed_text())))


def _key_name() -> str:
    from gateway.backup.sealing import key_name

    return key_name(KEY)


def _sealed() -> str:
    import base64

    return base64.b64encode(seal(KEY, {})).decode()


async def test_nothing_is_written_outside_when_names_travel_in_five_hundred_ways(tmp_path: Path) -> None:
    """Even when the manifest is signed by the right key: 0 files outside, and a refusal for every name that travels."""
    data = await _data(tmp_path)
    good = _made(data, tmp_path)
    with zipfile.ZipFile(good) as archive:
        ledger, manifest = archive.read(LEDGER), json.loads(archive.read(MANIFEST))
    inside = tmp_path / "i"
    outside = {str(each): each.stat().st_mtime_ns for each in tmp_path.rglob("*") if each.is_file()}
    cases = [(head + name, kind) for head in HEADS for name in TRAVELLERS for kind in KINDS]
    assert len(cases) >= 500
    taken = []
    for number, (name, kind) in enumerate(cases):
        path = inside / "bad.zip"
        inside.mkdir(exist_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(LEDGER, ledger)
            info = zipfile.ZipInfo("placeholder")
            info.filename = name or "x"
            info.external_attr = kind << 16
            archive.writestr(info, b"/etc/passwd")
            members = {info.filename: b"/etc/passwd"}
            archive.writestr(MANIFEST, _signed(members, ledger, (manifest["head"], manifest["head_hash"])))
        try:
            restore_backup(path, inside / "new", KEY)
        except ConfigError:
            continue
        taken.append((number, name, kind))
        shutil.rmtree(inside)
    for _, name, kind in taken:
        assert is_safe(name)
        assert kind == 0o100644
        assert name.split("/")[0] in (DATA, CONFIGURATION)
    now = {str(each): each.stat().st_mtime_ns for each in tmp_path.rglob("*") if each.is_file()}
    assert {path: at for path, at in now.items() if not path.startswith(str(inside))} == outside
    assert not Path("/etc/x").exists()


async def test_a_bomb_is_refused_before_it_is_unpacked_when_it_says_or_hides_its_size(tmp_path: Path) -> None:
    """Above the bytes or the files that may be unpacked, or more than it says: nothing is kept."""
    data = await _data(tmp_path)
    path = _made(data, tmp_path)
    with pytest.raises(Damaged, match="want at most"):
        restore_backup(path, tmp_path / "a", KEY, limits=Limits(most_bytes=1000))
    with pytest.raises(Damaged, match="want at most"):
        restore_backup(path, tmp_path / "b", KEY, limits=Limits(most_files=2))
    _rewrite(path, lambda members: members.update({"data/plans/1.png": b"\0" * 50_000_000}))
    with pytest.raises(Damaged, match="has 50000000 bytes, want 1100"):
        restore_backup(path, tmp_path / "c", KEY)
    left = {path.name for name in ("a", "b", "c") for path in (tmp_path / name).iterdir()}
    assert left == {"gateway.lock"}


@pytest.mark.parametrize(
    ("last", "now", "due"),
    [
        ("2026-11-29T03:31", "2026-11-30T03:29", False),
        ("2026-11-29T03:31", "2026-11-30T03:30", True),
        ("2026-11-30T03:30", "2026-11-30T23:59", False),
        ("2026-11-20T00:00", "2026-11-30T00:01", True),
    ],
)
def test_a_daily_backup_is_due_once_a_day_when_its_time_has_passed(last: str, now: str, due: bool) -> None:
    """Also one that was missed while the gateway did not run."""
    from datetime import datetime

    zone = ZoneInfo("Asia/Shanghai")
    at = [int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000) for text in (last, now)]
    assert is_due(at[0], at[1], "03:30", zone) is due
    assert is_due(at[0], at[1], None, zone) is False


async def test_a_failed_backup_is_an_alarm_until_one_is_made_and_is_tried_again_only_after_an_hour(
    tmp_path: Path,
) -> None:
    """The folder is no folder: one row a try, not one every look; an old one is said by its own rule."""
    folder = tmp_path / "backups"
    folder.write_text("in the way", "utf-8")
    clock = Clock(MIDNIGHT_MS + 3 * HOUR_MS)
    settings = GatewaySettings.model_validate({
        "sites": [write_site(tmp_path)], "data_dir": tmp_path / "d", "backup": {"daily_at": "03:30", "folder": folder},
    })  # fmt: skip
    mqtt = MqttSettings(host="127.0.0.1", port=9)

    def rows(state: str) -> int:
        return sum(row.state == state for row in ledger.entries(BACKUP))

    def open_rules() -> set[str]:
        return {alarm.rule for alarm in ledger.open_alarms() if alarm.active and alarm.rule.startswith("backup-")}

    async with open_gateway(settings, EmbeddedSettings(kind="embedded"), mqtt, now_ms=clock.now):
        ledger = LedgerReader(tmp_path / "d" / FILE)
        clock.now_ms += 31 * MINUTE_MS
        await until(lambda: rows("failed") == 1)
        await until(lambda: open_rules() == {"backup-failed"} or tick(clock))
        assert rows("failed") == 1
        clock.now_ms += 60 * MINUTE_MS
        await until(lambda: rows("failed") == 2)
        clock.now_ms += 26 * HOUR_MS
        await until(lambda: open_rules() == {"backup-failed", "backup-old"} or tick(clock))
        folder.unlink()
        clock.now_ms += 61 * MINUTE_MS
        await until(lambda: rows("done") == 1)
        await until(lambda: open_rules() == set())
        ledger.close()


def tick(clock: Clock) -> bool:
    """A little time passes."""
    clock.now_ms += 1000
    return False
