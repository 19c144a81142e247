"""No secret stands in a file of the repository: keys, tokens, passwords, and whatever looks like one."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pytest
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import transient_settings

from tests.test_house import ROOT, tracked

PLUGINS = (
    "AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "GitHubTokenDetector", "GitLabTokenDetector",
    "JwtTokenDetector", "KeywordDetector", "NpmDetector", "OpenAIDetector", "PrivateKeyDetector", "PypiTokenDetector",
    "SendGridDetector", "SlackDetector", "StripeDetector", "TelegramBotTokenDetector", "TwilioKeyDetector",
)  # fmt: skip
SETTINGS = {
    "plugins_used": [
        *({"name": name} for name in PLUGINS),
        {"name": "Base64HighEntropyString", "limit": 4.5},
        {"name": "HexHighEntropyString", "limit": 3.0},
    ],
    # None: no comment in a file makes a finding go away, only the list below.
    "filters_used": [],
}
HEX, BASE64, WORD, URL = (
    "Hex High Entropy String", "Base64 High Entropy String", "Secret Keyword", "Basic Auth Credentials",
)  # fmt: skip


WHOLE = (".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf")
"""Files that are read by their structure, not by the line."""
MAY_HOLD = re.compile(r"[A-Za-z0-9+/_=-]{16}|pass|pwd|secret|key|token|contrase|://|BEGIN", re.IGNORECASE)
"""Lines that a key, a token or a password may stand in: no plugin finds one in any other."""


class Allowed(NamedTuple):
    """A finding that is no secret. path: glob; value: pattern of the whole of what was found."""

    path: str
    kind: str
    value: str
    why: str


ALLOWED = (
    Allowed("contract/profiles/*.yaml", HEX, "[0-9A-F]+", "frames as devices send them"),
    Allowed("tests/*/*.json", HEX, "[0-9A-F]+", "the same"),
    Allowed("tests/*/test_*.py", HEX, "[0-9A-F]+", "the same"),
    Allowed("deploy/assets.json", HEX, "[0-9a-f]{64}", "what fetched files must hash to"),
    Allowed("docs/wire.md", HEX, "[0-9a-f]{16}", "epochs of the examples"),
    Allowed("gateway/*.py", HEX, "0[1-9]{9}a[b-f]{5}", "an alphabet"),
    Allowed("gateway/*.py", BASE64, "[0-9]*[a-zA-Z]{23,26}[0-9]*", "alphabets"),
    Allowed("[cd]*", WORD, r"(edge|gateway)\.secret", "names of files with secrets, in what is generated"),
    Allowed("docs/openapi.json", WORD, "password", "a word of a description"),
    Allowed("gateway/ledger/secret.py", WORD, "secret", "the name of a row"),
    Allowed("*", WORD, "a (bench that signs in|picture of 微站 is taken)", "passwords of runs that end with them"),
    Allowed("tests/*", WORD, "[abs][12b]?|x", "stand-ins"),
    Allowed("tests/*", WORD, "three short horns at noon|correct horse 站|secret of influxdb", "of tests' own people"),
    Allowed("tests/gateway/notify/sending.py", WORD, "canary-secret-of-the-hook", "searched for in what is made"),
    Allowed("docs/operations.md", URL, "PASSWORD", "to be replaced"),
    Allowed("tests/*", URL, r"pw?|s3cr%2Fet|canarypassword|\{CANARY\}-pass", "stand-ins"),
)


class Finding(NamedTuple):
    """What looks like a secret, where."""

    path: str
    line: int
    kind: str
    value: str

    def is_of(self, allowed: Allowed) -> bool:
        """Whether it is that finding."""
        of = fnmatchcase(self.path, allowed.path) and self.kind == allowed.kind
        return of and re.fullmatch(allowed.value, self.value) is not None

    @property
    def told(self) -> str:
        """Without its value: what a log keeps is read by more people than the repository."""
        return f"{self.path}:{self.line}: {self.kind}"


def found_in(paths: Iterable[Path], root: Path, scratch: Path) -> list[Finding]:
    """Everything that looks like a secret in text files."""
    found = []
    with transient_settings(SETTINGS):
        for path in paths:
            name, numbers, looked_at = path.relative_to(root).as_posix(), None, path
            if path.suffix not in WHOLE:
                # Most lines can hold none, and asking every plugin about each takes long.
                lines = path.read_text("utf-8").splitlines()
                numbers = [number for number, line in enumerate(lines, 1) if MAY_HOLD.search(line)]
                looked_at = scratch / f"lines{path.suffix}"
                looked_at.write_text("".join(f"{lines[number - 1]}\n" for number in numbers), "utf-8")
            here = SecretsCollection()
            here.scan_file(str(looked_at))
            for _, each in here:
                line = each.line_number if numbers is None else numbers[each.line_number - 1]
                found.append(Finding(name, line, each.type, each.secret_value or ""))
    return found


def leaks(found: Iterable[Finding]) -> list[str]:
    """Those that nothing allows."""
    return [each.told for each in found if not any(each.is_of(allowed) for allowed in ALLOWED)]


def test_no_file_holds_a_secret_and_every_exception_is_one(tmp_path: Path) -> None:
    """Over everything git knows. An exception that nothing needs any more is gone from the list."""
    found = found_in((path for path in tracked() if b"\0" not in path.read_bytes()), ROOT, tmp_path)
    assert leaks(found) == [], "Take it out and change the secret: it was seen. Is it none, say so in ALLOWED."
    unused = [allowed for allowed in ALLOWED if not any(each.is_of(allowed) for each in found)]
    assert unused == []


# Put together here, so that this file holds none.
_RANDOM = sha256(b"random").digest()
_TEXT = base64.b64encode(_RANDOM).decode()
_PEM = "-----BEGIN " + "PRIVATE KEY-----"
PLANTED = {
    "deploy/tls.pem": f"{_PEM}\n{_TEXT}\n",
    "deploy/weizhan.yaml": "mqtt:\n  pass" + "word: hunter2-and-more\n",
    "docs/operations.md": "mqtt://edge:" + "hunter2" + "@broker:1883\n",
    "gateway/settings.py": "HOOK = '" + _TEXT + "'\n",
    "contract/profiles/own.yaml": f"key: '{_RANDOM.hex()}'\n",
    "tests/web/station.py": "TO" + "KEN = 'gh" + "p_" + "0123456789abcdefghijABCDEFGHIJ012345'\n",
    "cli/main.py": "AWS = 'AK" + "IA" + "QWERTYUIOPASDFGH'\n",
    "web.js": "const pass" + "word = 'hunter2-and-more'; // pragma: allow" + "list secret\n",
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_secret_is_found_when_somebody_puts_it_into_a_file(tmp_path: Path, name: str) -> None:
    """Of each kind, in files that have exceptions, and where a comment asks to look away; its value is not told."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PLANTED[name], "utf-8")
    told = leaks(found_in([path], tmp_path, tmp_path))
    assert told
    assert all(line.startswith(f"{name}:") for line in told)
    assert not any(secret in line for line in told for secret in ("hunter2", _TEXT, _RANDOM.hex()))
