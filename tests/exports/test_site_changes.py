"""The life of a device in the versions of its site file: entered, moved, changed, taken out."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gateway.sites.register import SiteVersion, sha256_of, version_path
from gateway.web.records.site_changes import Change, SiteChanges, go_on

FILE = "agents: [{id: edge1, lines: [{id: LINE, devices: [{id: h1, profile: P, place: {zh: 门, en: door}}]}]}]"


def test_each_change_is_told_once_when_a_device_comes_moves_changes_and_goes(tmp_path: Path) -> None:
    """A version that was undone, is lost, or says nothing new is no change."""
    texts = ["agents: []", FILE, FILE, FILE.replace("LINE", "b"), FILE.replace("LINE", "b").replace("P,", "Q,"), "x: ["]
    versions = []
    for n, text in enumerate([*texts, "agents: []", FILE, "lost"], 1):
        digest = sha256_of(text.encode())
        state = "undone" if n == 8 else "past"
        row = SiteVersion(id=n, site="s", state=state, from_ms=n, by="li", sha256=digest, before="")
        versions.append(row)
        path = version_path(tmp_path, "s", digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        if text != "lost":
            path.write_text(text, "utf-8")
    wanted = [
        Change(2, 2, "li", "entered"),
        Change(4, 4, "li", "moved", (("line", "LINE", "b"),)),
        Change(5, 5, "li", "changed", (("profile", "P", "Q"),)),
        Change(7, 7, "li", "removed"),
    ]
    whole = go_on(SiteChanges(), tmp_path, reversed(versions))
    assert (whole.changes, whole.is_whole) == ({"h1": wanted}, False)
    assert go_on(SiteChanges(), tmp_path, versions[:-1]).is_whole
    for split in range(len(versions)):
        begun = go_on(SiteChanges(), tmp_path, versions[:split])
        before = {device: list(each) for device, each in begun.changes.items()}
        assert go_on(begun, tmp_path, versions) == whole, split
        assert begun.changes == before


def test_each_version_is_read_once_and_all_again_when_one_was_undone(tmp_path: Path) -> None:
    """What was read may be gone since; of hundreds of versions the first is told like the last."""
    versions = []
    for n in range(1, 301):
        text = FILE.replace("LINE", f"line-{n}")
        row = SiteVersion(id=n, site="s", state="past", from_ms=n, by="li", sha256=sha256_of(text.encode()), before="")
        versions.append(row)
        path = version_path(tmp_path, "s", row.sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    kept = go_on(SiteChanges(), tmp_path, versions)
    assert [change.version for change in kept.changes["h1"]] == list(range(1, 301))
    for row in versions[:150]:
        version_path(tmp_path, "s", row.sha256).unlink()
    assert go_on(kept, tmp_path, versions) is kept
    undone = [*versions[:-1], msgspec.structs.replace(versions[-1], state="undone")]
    again = go_on(kept, tmp_path, undone)
    assert [change.version for change in again.changes["h1"]] == list(range(151, 300))
