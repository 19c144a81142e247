"""Personal data: kept apart from rows and chain, handed out whole, erased without a trace; the record stays whole."""

from __future__ import annotations

import random
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.control.client import ControlError
from gateway.ledger import audit
from gateway.ledger.dossier import make_dossier
from gateway.ledger.personal import Identity, Wiping, add_identity, change_identity, erase, find_identities
from gateway.ledger.store import Store
from tests.gateway.staff import Staff, install_stations
from tests.gateway.world import World

NAME, PHONE, NUMBER = "王小明同志", "13800138000", "320102199001011234"


@pytest.fixture
def staff(tmp_path: Path) -> Staff:
    return Staff(World(install_stations(tmp_path)))


def held(folder: Path) -> bytes:
    """Every byte of the ledger's files, what is free in them included."""
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


async def test_nothing_of_an_erased_person_is_left_in_any_file(tmp_path: Path) -> None:
    """Names of all lengths, pages that were split, a name that was changed before, a reader that holds the log."""
    chance = random.Random(7)  # any order of writing

    def name(number: int) -> str:
        return f"NAME{number:06d}"

    async with Store(tmp_path) as store:
        numbers = list(range(1, 401))
        chance.shuffle(numbers)

        def write(connection: sqlite3.Connection) -> None:
            for number in numbers:
                long = name(number) * chance.choice((1, 4, 700))
                add_identity(Identity(number, long, f"TEL{number:06d}", {"operator": f"NO{number:06d}"}, None))(
                    connection
                )

        await store.run(lambda connection: connection.execute("PRAGMA secure_delete=OFF").fetchall())
        await store.run(write)
        await store.run(change_identity(numbers[0], "NEWNAME", "TELNEW", {}))
        reader = sqlite3.connect(store.path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM identity").fetchone()
        gone, stay = numbers[:40], numbers[40:]
        for number in gone:
            await store.run(erase("identity", "person", number, 1))
        wiping = Wiping(store)
        assert await wiping.wipe() is False  # the reader may still look at what was
        reader.execute("ROLLBACK")
        reader.close()
        assert await wiping.wipe() is True
        data = held(tmp_path)
        left = [n for n in gone if any(f"{what}{n:06d}".encode() in data for what in ("NAME", "TEL", "NO"))]
        assert (left, b"NEWNAME" in data, b"TELNEW" in data) == ([], False, False)
        assert all(f"{what}{n:06d}".encode() in data for n in stay for what in ("NAME", "TEL", "NO"))
        assert sorted(await store.run(find_identities)) == sorted(stay)
        assert await store.run(lambda connection: connection.execute("PRAGMA secure_delete").fetchone()[0]) == 0


async def test_an_erasure_is_brought_to_its_end_after_a_stop(tmp_path: Path) -> None:
    """The mark stands in the ledger until the log is empty, whoever looks next."""
    async with Store(tmp_path) as store:
        await store.run(add_identity(Identity(1, NAME, PHONE, {}, None)))
        await store.run(erase("identity", "person", 1, 5))
    async with Store(tmp_path) as store:
        assert await Wiping(store).wipe() is True
        assert NAME.encode() not in held(tmp_path)
        assert await Wiping(store).wipe() is True  # nothing left to do


def test_rows_chain_and_screens_never_hold_who_somebody_is(staff: Staff) -> None:
    """Whatever is done with a person, also what is refused: the number stands there, the name does not."""
    world, ask = staff.world, staff.world.ask
    person = staff.add(NAME, phone=PHONE, certificates=[{"kind": "operator", "number": NUMBER}], roles=["leader"])
    fields: dict[str, Any] = {"site": "dongfeng", "name": NAME, "phone": PHONE, "user": "wang"}
    ask("person.change", "admin", id=person, certificates=[{"kind": "driver", "number": NUMBER}], **fields)
    ask("person.set_pin", "wang", id=person, pin_hash="$argon2id$v=19$secret")
    refused = []
    for args in ({**fields, "user": ""}, {**fields, "phone": f"x{PHONE}"}, {**fields, "site": "nowhere"}):
        with pytest.raises(ControlError) as said:
            ask("person.add", "admin", **args)
        refused.append(str(said.value))
    ask("person.leave", "admin", id=person, reason="moved")
    rows = world.connection.execute("SELECT data FROM entry UNION ALL SELECT detail FROM audit").fetchall()
    told = [msgspec.json.encode(event.data).decode() for event in world.events]
    for text in (*(row[0] for row in rows), *told, *refused):
        assert not [secret for secret in (NAME, PHONE, NUMBER, "argon2id") if secret in text]


def test_an_erased_person_is_a_number_and_the_record_stays_whole(staff: Staff) -> None:
    """Only who has left is erased; duties and history stay under the number, the chain is whole, nobody comes back."""
    world = staff.world
    person, other = staff.add(NAME, phone=PHONE), staff.add("another")
    day = staff.today() + timedelta(days=1)
    staff.plan((day, "08:00", "control", [person, other]))
    with pytest.raises(ControlError, match="Mark them as left first"):
        world.ask("person.erase", "admin", id=person)
    assert world.ask("person.leave", "admin", id=person) == {"planned": 1}
    world.ask("person.erase", "admin", id=person)
    for op in ("person.erase", "person.return"):
        with pytest.raises(ControlError):
            world.ask(op, "admin", id=person)
    assert sorted(find_identities(world.connection)) == [other]
    row = msgspec.json.decode(world.connection.execute("SELECT data FROM entry WHERE kind = 'person'").fetchone()[0])
    assert (row["state"], row["certificates"], row["user"], row["has_pin"]) == ("erased", [], "", False)
    found = make_dossier(world.connection, person)
    assert found is not None
    assert (found["identity"], [each["kind"] for each in found["records"]]) == (None, ["roster"])
    assert [each["action"] for each in found["changes"]] == ["person.add", "person.leave", "person.erase"]
    assert audit.verify_chain(world.connection, None) is None
    world.restart()
    assert world.state.registers.people.find(person) is None
    assert staff.add("next") > other  # a number is never given again


def test_an_export_has_everything_that_names_a_person_and_nothing_of_others(staff: Staff) -> None:
    """By number and by login, the login only while it was theirs; no hash of a PIN."""
    world = staff.world
    first = staff.add("first", user="li", phone="13800000110")
    world.ask("exported", "li", what="early")
    world.now_ms += 1000
    world.ask("person.leave", "admin", id=first)
    world.now_ms += 1000
    second = staff.add("second", user="li", certificates=[{"kind": "driver", "number": NUMBER}])
    world.now_ms += 1000
    world.ask("exported", "li", what="late")
    world.ask("person.set_pin", "li", id=second, pin_hash="$argon2id$v=19$secret")
    day = staff.today() + timedelta(days=1)
    staff.plan((day, "08:00", "gate", [second]))
    one, two = make_dossier(world.connection, first), make_dossier(world.connection, second)
    assert one is not None
    assert two is not None
    assert [each["subject"] for each in one["done"]] == ["early"]
    assert [each["action"] for each in two["done"]] == ["exported", "person.set_pin"]
    assert (one["identity"]["phone"], one["records"]) == ("13800000110", [])
    assert two["identity"]["certificates"] == {"driver": NUMBER}
    assert [each["kind"] for each in two["records"]] == ["roster"]
    assert [each["name"] for each in two["sign_ins"]] == ["li"]
    assert "secret" not in msgspec.json.encode([one, two]).decode()
    assert make_dossier(world.connection, 99) is None


def test_who_comes_back_has_the_same_number(staff: Staff) -> None:
    """And counts again, where they are planned."""
    one, two = staff.add(), staff.add()
    day = staff.today() + timedelta(days=1)
    staff.plan((day, "08:00", "control", [one, two]))
    before = staff.world.state.registers.roster.findings("shuiye", staff.world.now_ms)
    staff.world.ask("person.leave", "admin", id=one)
    gap = staff.world.state.registers.roster.findings("shuiye", staff.world.now_ms)
    assert {each.kind for each in set(gap) - set(before)} == {"few", "gap"}
    staff.world.ask("person.return", "admin", id=one)
    assert staff.world.state.registers.roster.findings("shuiye", staff.world.now_ms) == before
