"""A real VictoriaMetrics, which takes the writes of an InfluxDB 2.x client."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request

from tests.parts.process import Part


class VictoriaMetrics(Part):
    """`victoria-metrics -storageDataPath -httpListenAddr` on a free loopback port."""

    binary = "victoria-metrics"
    package = "victoria-metrics"

    @property
    def url(self) -> str:
        """Base address of the HTTP API."""
        return f"http://{self.host}:{self.port}"

    def command(self) -> list[str]:
        return [
            self.path,
            f"-storageDataPath={self.dir}/data",
            f"-httpListenAddr={self.host}:{self.port}",
            "-retentionPeriod=100y",
            "-search.latencyOffset=0s",
            # By default it sizes its caches to 60 % of the machine.
            "-memory.allowedBytes=64MiB",
        ]

    def export(self, match: str) -> list[dict]:  # type: ignore[type-arg] # JSON
        """Every series that matches: `{metric, values, timestamps}`, flushed to storage first."""
        with urllib.request.urlopen(f"{self.url}/internal/force_flush", timeout=10):
            pass
        data = urllib.parse.urlencode({"match[]": match}).encode()
        with urllib.request.urlopen(f"{self.url}/api/v1/export", data=data, timeout=10) as answer:
            return [json.loads(line) for line in answer.read().splitlines()]
