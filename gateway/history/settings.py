"""Settings of the history: which store, how long, and how to reach it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from contract.configfile import Section
from contract.errors import ConfigError


class _History(Section):
    keep_days: int = Field(default=1095, ge=1, le=36500)
    """Days the history is kept. The embedded store drops whole months that lie before; InfluxDB 1.x gets it as the
    duration of the retention policy; the bucket of InfluxDB 2.x keeps the duration it was made with."""


class _Remote(_History):
    url: str = Field(pattern=r"^https?://[^/?#@\s]+/?$")
    """Base address of the server, e.g. http://127.0.0.1:8086."""
    timeout_s: float = Field(default=10.0, gt=0, le=120)
    """Give a request up after this; the rows are kept and written again."""
    ca_file: Path | None = None
    """CA certificate for an https server with a certificate of its own; the system's when absent."""


class EmbeddedSettings(_History):
    """SQLite files in the data folder; needs no server."""

    kind: Literal["embedded"] = "embedded"


class Influx1Settings(_Remote):
    """InfluxDB 1.x."""

    kind: Literal["influx1"]
    database: str = Field(default="weizhan", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    """Database; made when absent."""
    retention_policy: str = Field(default="weizhan", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    """Retention policy; made when absent, and set to `keep_days`."""
    username: str | None = None
    """User with all rights on the database; none: the server asks for no sign-in."""
    password_file: Path | None = None
    """File holding the user's password, one line."""

    def password(self) -> str | None:
        """The password from its file. Raises ConfigError when the file cannot be read."""
        return _secret(self.password_file, "history.password_file")


class Influx2Settings(_Remote):
    """InfluxDB 2.x or 3.x through the 2.x write API; also other servers that take it."""

    kind: Literal["influx2"]
    org: str = Field(default="", max_length=200)
    """Organisation; InfluxDB 3 has none."""
    bucket: str = Field(default="weizhan", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    """Bucket (in 3.x: database); it must exist."""
    token_file: Path | None = None
    """File holding a token that may read and write the bucket, one line."""

    def token(self) -> str | None:
        """The token from its file. Raises ConfigError when the file cannot be read."""
        return _secret(self.token_file, "history.token_file")


HistorySettings = Annotated[EmbeddedSettings | Influx1Settings | Influx2Settings, Field(discriminator="kind")]


def _secret(path: Path | None, key: str) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text("utf-8").strip()
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}. {key} must name a readable file.") from exc
