"""The life of a device in the versions of its site file: entered, moved, changed, taken out."""

from __future__ import annotations

from pathlib import Path

from gateway.sites.register import SiteVersion, sha256_of, version_path
from gateway.web.records.site_changes import Change, changes_of, read_texts

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
    assert changes_of("h1", read_texts(tmp_path, reversed(versions))) == [
        Change(2, "li", "entered"),
        Change(4, "li", "moved", (("line", "LINE", "b"),)),
        Change(5, "li", "changed", (("profile", "P", "Q"),)),
        Change(7, "li", "removed"),
    ]
