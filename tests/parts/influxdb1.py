"""A real InfluxDB 1.x with authentication on, reporting nothing to anybody."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from tests.parts.process import Part, free_port

USER = "weizhan"
PASSWORD = "secret of influxdb"


class InfluxDB1(Part):
    """`influxd -config` on a free loopback port; `url`, `USER` and `password_file` are what settings need."""

    binary = "influxd"
    package = "influxdb"

    def __init__(self) -> None:
        super().__init__()
        # It wants a second port for back-ups even when nobody uses it.
        self._rpc_port = free_port()

    @property
    def url(self) -> str:
        """Base address of the HTTP API."""
        return f"http://{self.host}:{self.port}"

    @property
    def password_file(self) -> Path:
        """A file that holds the password of USER."""
        return self.dir / "password"

    def command(self) -> list[str]:
        self.password_file.write_text(PASSWORD + "\n", "utf-8")
        conf = self.dir / "influxdb.conf"
        conf.write_text(
            f"""
reporting-disabled = true
bind-address = "{self.host}:{self._rpc_port}"
[meta]
  dir = "{self.dir}/meta"
[data]
  dir = "{self.dir}/data"
  wal-dir = "{self.dir}/wal"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "{self.host}:{self.port}"
  auth-enabled = true
  log-enabled = false
""",
            "utf-8",
        )
        return [self.path, "-config", str(conf)]

    def ready(self) -> bool:
        """Whether queries are answered; the first time this makes the admin user."""
        try:
            self.query("SHOW DATABASES")
            return True
        except urllib.error.HTTPError as exc:
            exc.close()
            if exc.code not in (401, 403):
                return False
        except OSError:
            return False
        try:
            self.query(f"CREATE USER {USER} WITH PASSWORD '{PASSWORD}' WITH ALL PRIVILEGES", signed=False)
        except urllib.error.HTTPError as exc:
            exc.close()
            return False
        return True

    def query(self, text: str, database: str | None = None, *, signed: bool = True) -> list[dict]:  # type: ignore[type-arg] # JSON
        """Results of InfluxQL statements, for asking the store itself. Raises urllib's errors."""
        fields = {"q": text, "epoch": "ms", **({"db": database} if database else {})}
        request = urllib.request.Request(f"{self.url}/query", data=urllib.parse.urlencode(fields).encode())
        if signed:
            token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            request.add_header("Authorization", f"Basic {token}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            results: list[dict] = json.load(answer)["results"]  # type: ignore[type-arg] # JSON
        for result in results:
            assert "error" not in result, result["error"]
        return results
