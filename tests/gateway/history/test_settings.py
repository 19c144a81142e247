"""Settings of the history, and what opening costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from contract import configfile
from contract.configfile import Section
from contract.errors import ConfigError
from gateway.history.settings import EmbeddedSettings, HistorySettings, Influx1Settings, Influx2Settings


class Document(Section):
    history: HistorySettings = EmbeddedSettings(kind="embedded")


def load(tmp_path: Path, text: str) -> Document:
    path = tmp_path / "weizhan.yaml"
    path.write_text(text, "utf-8")
    return configfile.load(path, Document)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{}", EmbeddedSettings),
        ("history: {kind: embedded, keep_days: 30}", EmbeddedSettings),
        ("history: {kind: influx1, url: 'http://127.0.0.1:8086'}", Influx1Settings),
        ("history: {kind: influx2, url: 'https://store:8086/', org: o, token_file: t}", Influx2Settings),
    ],
)
def test_kind_chooses_the_back_end(tmp_path: Path, text: str, kind: type) -> None:
    """Each kind has its own settings; without any it is the embedded store."""
    assert type(load(tmp_path, text).history) is kind


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("history: {kind: influx1}", "history.url: got nothing, want a value. Add the key."),
        ("history: {kind: embedded, url: x}", "history.url: got an unknown key."),
        ("history: {kind: influx1, url: 'http://user:pw@x'}", "history.url: got "),
        ("history: {kind: embedded, keep_days: 0}", "history.keep_days: got 0, want greater than or equal to 1."),
    ],
)
def test_error_says_file_line_and_key_when_a_setting_is_wrong(tmp_path: Path, text: str, want: str) -> None:
    """Every wrong setting is one line that says where and what."""
    with pytest.raises(ConfigError) as error:
        load(tmp_path, text)
    assert str(error.value).startswith(f"{tmp_path}/weizhan.yaml:1: {want}")


def test_clients_of_remote_stores_are_not_loaded_when_the_store_is_embedded() -> None:
    """They take tens of megabytes, which a small gateway does not have."""
    code = (
        "import sys\n"
        "from gateway.history import open_history, mirror, settings\n"
        "from pathlib import Path\n"
        "open_history(settings.EmbeddedSettings(kind='embedded'), Path('x'))\n"
        "print([name for name in ('httpx', 'influxdb_client', 'urllib3') if name in sys.modules])\n"
    )
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert got.stdout == "[]\n"
