"""Site files through an administrator's page, on the gateway itself."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from contract.errors import ConfigError
from contract.profile import ProfileLibrary
from contract.site import load_site
from gateway.web.admin.sites import faults_in_words
from gateway.web.refusals import SITE_FAULTS, Refusal, catalogue
from tests.web.office import Office, open_office
from tests.web.said import CHINESE
from tests.web.station import SITE, Browser, csrf_in

NEW = SITE.replace("Victory Road hydrant", "Victory Road 18 hydrant")


async def _send(office: Office, path: str, data: bytes, name: str = "shuiye.yaml") -> httpx.Response:
    token = csrf_in((await office.browser.get("/admin/sites")).text)
    return await office.browser.post(path, data={"csrf": token}, files={"file": (name, data)})


async def test_a_site_file_is_checked_compared_confirmed_and_brought_back(tmp_path: Path) -> None:
    """Wrong lines are told by line; what changes is drawn before anything does; an earlier version comes back."""
    async with open_office(tmp_path / "o") as office:
        browser = office.browser
        here = "/admin/sites/shuiye"
        assert (await browser.get(f"{here}/file")).text == SITE
        wrong = await _send(office, f"{here}/file", SITE.replace("unit_id: 4", "unit_id: 400").encode())
        assert wrong.status_code == 422
        assert "agents[0].lines[0].devices[3].unit_id: </code> <span>got 400, want" in wrong.text
        for data, said in (
            (SITE.encode(), "nothing would change"),
            (b"\xff\xfe\x00", "UTF-8"),
            (b"a: [", "Mend the YAML"),
            (
                SITE.replace("profile: panel-modbus", "profile: panel-modbus\n      point_map: /etc/passwd").encode(),
                "got",
            ),
        ):
            answer = await _send(office, f"{here}/file", data)
            assert answer.status_code == 422
            assert said in answer.text
        assert (await _send(office, f"{here}/file", b"x" * 9_000_000)).status_code == 413
        assert (await _send(office, "/admin/sites/nowhere/file", b"x")).status_code == 404

        staged = await _send(office, f"{here}/file", NEW.encode())
        change = staged.headers["location"]
        html = (await browser.get(change)).text
        assert 'data-change="changed" data-device="hydrant-01"' in html
        assert "<ins>Victory Road 18 hydrant</ins>" in html
        assert office.site_file.read_text("utf-8") == SITE
        await browser.post(change, data={"csrf": csrf_in(html)})
        assert office.site_file.read_text("utf-8") == NEW
        again = await browser.post(change, data={"csrf": csrf_in(html)})
        assert again.status_code in (303, 404)

        table = (await browser.get(f"{here}/devices.csv")).content
        assert table.decode("utf-8-sig").count("\n") == 11
        back = table.replace(b"hydrant-02,", b"=hydrant-02,")
        faulty = await _send(office, f"{here}/devices", back, "devices.csv")
        assert faulty.status_code == 422
        assert "=hydrant-02" in faulty.text
        assert (await browser.get(f"{here}/devices.xlsx")).content[:2] == b"PK"

        other = await _send(office, f"{here}/file", SITE.encode())
        change = other.headers["location"]
        await browser.post(change, data={"csrf": csrf_in((await browser.get(change)).text)})
        versions = await browser.get("/admin/sites")
        assert versions.text.count("<tr data-version=") == 2
        before = {"csrf": csrf_in(versions.text), "before": "1"}
        same = await browser.post(f"{here}/versions/1", data=before)  # what was installed is in force again
        assert (same.status_code, "nothing would change" in same.text) == (422, True)
        brought = await browser.post(f"{here}/versions/1", data={"csrf": csrf_in(versions.text)})
        change = brought.headers["location"]
        await browser.post(change, data={"csrf": csrf_in((await browser.get(change)).text)})
        assert office.site_file.read_text("utf-8") == NEW
        files = (await browser.get("/api/v1/site-files")).json()["items"]
        assert (files[0]["by"], files[0]["devices"]) == ("administrator", 10)


async def test_the_audit_names_the_token_when_a_program_puts_a_site_file_in_force(tmp_path: Path) -> None:
    """Not only whose token it was: an administrator can tell what a script did from what the person did."""
    async with open_office(tmp_path / "o") as office:
        form = {"name": "deploy", "role": "administrator"}
        page = (await office.browser.submit("/account", "/account/tokens", **form)).text
        token = page.split("wzt_")[1].split("<")[0]
        async with Browser(office.address) as program:
            program.headers["Authorization"] = f"Bearer wzt_{token}"
            files = {"file": ("shuiye.yaml", NEW.encode())}
            staged = await program.post("/admin/sites/shuiye/file", files=files)
            assert (await program.post(staged.headers["location"])).status_code == 303
        assert office.site_file.read_text("utf-8") == NEW
        rows = (await office.browser.get("/api/v1/audit")).json()["items"]
        (row,) = [row for row in rows if row["action"] == "site_version.apply"]
        assert (row["actor"], row["detail"].get("via")) == ("administrator", "deploy")


WRONG = (
    ("unit_id: 4", "unit_id: 400"), ("unit_id: 4", "unit_id: four"), ("unit_id: 4", "unitid: 4"),
    ("unit_id: 4", "unit_id: 3"), ("profile: panel-modbus", "profile: panel-modbuz"),
    ("id: hydrant-02", "id: hydrant-01"),
    ("site: shuiye\n", "site: shuiye\nsite: shuiye\n"), ("site: shuiye\n", "site: shuiye\ntime_zone: Mars/North\n"),
    ("agents:", "agents: 7\nother:"), ("site: shuiye\n", "site: [\n"),
)  # fmt: skip


@pytest.mark.parametrize(("was", "becomes"), WRONG, ids=[becomes.strip() for _, becomes in WRONG])
def test_what_is_wrong_with_a_site_file_is_told_in_the_readers_language(was: str, becomes: str, tmp_path: Path) -> None:
    """Each fault has its line and key and a Chinese sentence; in English it stays the sentence it is."""
    assert was in SITE
    path = tmp_path / "shuiye.yaml"
    path.write_text(SITE.replace(was, becomes, 1), "utf-8")
    with pytest.raises(ConfigError) as wrong:
        load_site(path, ProfileLibrary())
    told = faults_in_words(str(wrong.value), "zh")
    assert [what for _, what, is_told in told if not is_told or not CHINESE.search(what)] == []
    assert all(re.search(r":\d+: ", where) for where, _, _ in told)
    english = faults_in_words(str(wrong.value), "en")
    assert sorted(where + what for where, what, _ in english) == sorted(str(wrong.value).splitlines())


@pytest.mark.parametrize("refusal", catalogue(SITE_FAULTS), ids=lambda refusal: refusal.english[:40])
def test_a_fault_of_a_site_file_keeps_what_differs_when_it_is_told(refusal: Refusal) -> None:
    """What stands in the English sentence stands in the Chinese one, apart from an advice that is general."""
    blanks = set(re.findall(r"\{\d\}", refusal.english)), set(re.findall(r"\{\d\}", refusal.chinese))
    assert blanks[1] <= blanks[0]
    assert "{1}" not in refusal.english or "{1}" in refusal.chinese
