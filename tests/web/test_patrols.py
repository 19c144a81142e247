"""Patrols on the pages and the API, on the real gateway: labels, a round on a phone, photos, training."""

from __future__ import annotations

import io
import re
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from contract.mqtt import MqttSettings
from gateway.app import open_gateway
from gateway.history.settings import EmbeddedSettings
from gateway.ledger.reader import LedgerReader
from gateway.ledger.store import FILE
from gateway.web.access import Refused
from gateway.web.ledger import WebLedger
from gateway.web.registers.photos import BYTES, read_photo, shrink, store_photo
from gateway.work.labels import make_label
from tests.web.station import SITE, Browser, Station, csrf_in, serving

NEW = "three short horns at noon"
PATROLS = """\
place: key_unit
patrols:
  - id: hall
    title: {zh: 大厅巡查, en: Hall}
    kind: patrol
    walk_s: 0
    stops:
      - {device: hydrant-01, items: [{zh: 压力正常, en: Pressure right}, {zh: 无遮挡, en: Nothing in the way}]}
      - {id: exit-east, title: {zh: 东出口, en: East exit}}
  - id: roof
    title: {zh: 屋顶设施, en: Roof}
    kind: facility
    walk_s: 600
    stops:
      - {id: exit-east, title: {zh: 东出口, en: East exit}}
      - {device: hydrant-02}
trainings: [{kind: unit_drill}]
"""


def picture(width: int = 64, height: int = 48, form: str = "JPEG", **more: object) -> bytes:
    """A photo."""
    made = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(made, form, **more)
    return made.getvalue()


async def test_a_round_is_walked_from_label_to_hazard_and_a_fast_one_waits_for_another_person(
    tmp_path: Path, free_port: int
) -> None:
    """Labels are printed, scanned, typed; a finding with a photo is a hazard; who walked cannot judge; API likewise."""
    station = Station.__new__(Station)
    station.data_dir, station.site_file = tmp_path / "d", tmp_path / "shuiye.yaml"
    station.site_file.write_text(SITE + PATROLS, "utf-8")
    settings = station.settings()
    async with (
        open_gateway(settings, EmbeddedSettings(), MqttSettings(port=free_port)) as gateway,
        serving(station) as address,
        Browser(address) as duty,
        Browser(address) as maintainer,
    ):
        for name, browser in (("duty", duty), ("maintainer", maintainer)):
            await browser.sign_in(name, gateway.one_time_passwords[name])
            await browser.submit("/first-password", "/first-password", password=NEW, again=NEW)
        sheet = (await duty.get("/patrols/labels/shuiye")).text
        assert sheet.count("<svg") - sheet.count('<svg class="icon') == 3  # a label a place, not a route
        codes = re.findall("<code>(.{4}-.{4})</code>", sheet)
        html = (await duty.get("/patrols")).text
        assert ("Order 61, article 25" in html, "daily" in html, ">ahead<" in html) == (True, True, True)

        answer = await duty.submit("/patrols", "/patrols/start", site="shuiye", plan="hall")
        page = answer.headers["location"]
        assert page == "/patrols/rounds/1"
        form = {"csrf": csrf_in((await duty.get(page)).text), "spot": "hydrant-01", "proof": codes[0]}
        fields = {**form, "a0": "ok", "a1": "finding", "note": "<b>boxes</b>"}
        wrong = await duty.post(f"{page}/tick", data={**fields, "proof": codes[1]})
        assert (wrong.status_code, "not the code of the label" in wrong.text) == (422, True)
        silent = await duty.post(f"{page}/tick", data={**fields, "note": " "})
        assert (silent.status_code, "Say what you found" in silent.text) == (422, True)
        photo = {"photo": ("a.jpg", picture(3000, 2000), "image/jpeg")}
        assert (await duty.post(f"{page}/tick", data=fields, files=photo)).status_code == 303
        html = (await duty.get(page)).text
        assert "&lt;b&gt;boxes&lt;/b&gt;" in html
        assert "/hazards/1" in html
        name = re.findall(r'src="/photos/([0-9a-f]{64})"', html)[0]
        kept = await maintainer.get(f"/photos/{name}")
        assert (kept.headers["content-type"], Image.open(io.BytesIO(kept.content)).size) == (
            "image/jpeg",
            (1600, 1067),
        )

        # The label itself: its link opens the stop of the round that runs.
        csrf = {"X-CSRF-Token": await duty.csrf()}
        link = (await duty.get("/api/v1/patrols/rounds/1")).json()
        assert [visit["how"] for visit in link["visits"]] == ["typed"]
        tokens = tokens_of(settings.data_dir)
        scanned = (await duty.get(f"/patrols/at/{tokens['exit-east']}")).text
        assert f'value="{tokens["exit-east"]}"' in scanned
        begin = (await maintainer.get(f"/patrols/at/{tokens['exit-east']}")).text
        assert "Begin one" in begin
        tick = {"spot": "exit-east", "proof": tokens["exit-east"], "answers": ["ok"]}
        told = await duty.post("/api/v1/patrols/rounds/1/tick", json=tick, headers=csrf)
        assert told.json()["row"]["seen"][1][2] == "qr"
        assert (await duty.submit(page, f"{page}/finish")).status_code == 303
        assert ">complete<" in (await duty.get(page)).text

        made = (await duty.post("/api/v1/patrols/rounds", json={"site": "shuiye", "plan": "roof"}, headers=csrf)).json()
        assert made["id"] == 2
        for spot in ("exit-east", "hydrant-02"):
            tick = {"spot": spot, "proof": tokens[spot], "answers": ["ok"]}
            await duty.post("/api/v1/patrols/rounds/2/tick", json=tick, headers=csrf)
        ended = (await duty.post("/api/v1/patrols/rounds/2/finish", json={}, headers=csrf)).json()
        assert ended["state"] == "implausible"
        assert "Too fast to be true" in (await duty.get("/patrols")).text
        own = await duty.post("/api/v1/patrols/rounds/2/judge", json={"accept": True, "note": "x"}, headers=csrf)
        assert (own.status_code, "Another person" in own.json()["detail"]) == (422, True)
        page = "/patrols/rounds/2"
        assert (
            await maintainer.submit(page, f"{page}/judge", verdict="accept", note="side by side")
        ).status_code == 303
        assert "side by side" in (await duty.get(page)).text

        held = {
            "plan": "shuiye training/unit_drill",
            "held": "2026-01-01T10:00",
            "count": "12",
            "note": "east wing",
        }
        held["held"] = (await duty.get("/training")).text.split('name="held" value="')[1].split('"')[0]
        assert (await duty.submit("/training", "/training", **held)).status_code == 303
        assert "east wing" in (await duty.get("/training")).text
        for path in ("/api/v1/patrols", "/api/v1/trainings", "/api/v1/patrols/rounds"):
            assert (await duty.get(path)).status_code == 200
        month = await duty.get("/api/v1/patrols/completion?month=2020-01")
        assert month.json() == {"items": [], "next": None}
        for path in ("/patrols", "/patrols/rounds/1", "/training", "/patrols/labels/shuiye"):
            assert "style=" not in (await duty.get(path)).text
    with LedgerReader(settings.data_dir / FILE) as ledger:
        actions = {row.action for row in ledger.audit(limit=500)}
    assert {
        "round.start",
        "visit.answer",
        "round.finish",
        "round.accept",
        "training.record",
        "patrol.labels",
    } <= actions


def tokens_of(data_dir: Path) -> dict[str, str]:
    """What the QR codes of the sheet carry."""
    with closing(WebLedger(data_dir / FILE)) as ledger:
        secret = ledger.secret()
    return {spot: make_label(secret, "shuiye", spot).token for spot in ("hydrant-01", "hydrant-02", "exit-east")}


def test_a_photo_is_kept_small_and_says_nothing_beside_the_picture(tmp_path: Path) -> None:
    """Place and time of the phone are gone, it stands upright; the same picture is one file."""
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    exif[0x010F] = "Phone of Mr Wang"
    exif.get_ifd(0x8825)[1] = "N"
    name = store_photo(tmp_path, picture(400, 300, exif=exif))
    assert store_photo(tmp_path, picture(400, 300, exif=exif)) == name
    assert [path.name for path in tmp_path.rglob("*.*")] == [f"{name}.jpg"]
    kept = Image.open(io.BytesIO(read_photo(tmp_path, name)))
    assert (kept.size, dict(kept.getexif())) == ((300, 400), {})
    assert b"Wang" not in read_photo(tmp_path, name)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no photo"),
        (b"GIF89a" + bytes(100), "no photo"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no photo"),
        (picture()[:200], "no photo"),
        (picture(form="GIF"), "no photo"),
        (picture(form="PNG")[:80], "no photo"),
        (picture(5000, 5000, "PNG", compress_level=1), "too many pixels"),
        (bytes(BYTES + 1), "too large"),
    ],
    ids=["empty", "gif head", "svg", "cut jpeg", "gif", "cut png", "bomb", "large"],
)
def test_what_is_no_photo_is_refused_when_it_is_sent(tmp_path: Path, data: bytes, said: str) -> None:
    """Decided by decoding, with limits of bytes and pixels before that."""
    with pytest.raises(Refused, match=said):
        store_photo(tmp_path, data)
    assert list(tmp_path.iterdir()) == []


def test_an_altered_photo_is_not_shown(tmp_path: Path) -> None:
    """Its name is the hash of its content; a name that is none finds nothing."""
    name = store_photo(tmp_path, picture())
    path = tmp_path / name[:2] / f"{name}.jpg"
    path.write_bytes(shrink(picture(10, 10)))
    for wrong in (name, "0" * 64, "../" + name[3:], "x"):
        with pytest.raises(Refused):
            read_photo(tmp_path, wrong)
