"""The simulated station as its files describe it, and what the product logs while it runs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

SITE = """\
site: shuiye
title: {{zh: 水冶微站, en: {title}}}
agents:
  - id: edge1
    lines:
      - id: rs1
        kind: modbus_rtu
        port: /dev/ttyS1
        devices:
          - {{id: hydrant-01, profile: hydrant-municipal, unit_id: 1}}
          - {{id: hydrant-02, profile: hydrant-municipal, unit_id: 2}}
          - {{id: tank-01, profile: water-level, unit_id: 3, poll_s: {tank_s}}}
      - id: rs2
        kind: modbus_rtu
        port: /dev/ttyS2
        devices:
          - {{id: panel-01, profile: panel-modbus, unit_id: 1, points: 8, poll_s: 5}}
  - id: edge2
    lines:
      - id: rs3
        kind: modbus_rtu
        port: /dev/ttyS3
        devices:
          - {{id: hydrant-03, profile: hydrant-municipal, unit_id: 1}}
          - {{id: bay-01, profile: extinguisher-bay, unit_id: 2}}
"""
CANARY = "canary-5f1d9c2e"
"""The broker's password in every run: it must not show up anywhere."""


NEXT_AFTER_S = 120
"""The second on the chain is told after this, unless somebody has answered."""


def notify(folder: Path) -> dict[str, Any]:
    """Two people, each by a service; the second when the first does nothing."""
    secret = folder / "app-secret"
    secret.write_text(CANARY)
    secret.chmod(0o600)

    def person(name: str) -> dict[str, Any]:
        url = "https://example.invalid/hook"
        channel = {"kind": "webhook", "id": "app", "url": url, "secret_file": str(secret)}
        return {"id": name, "name": name, "channels": [channel]}

    return {
        "people": [person("wang"), person("li")],
        "chains": [
            {"id": "duty", "steps": [{"after_s": 0, "people": ["wang"]}, {"after_s": NEXT_AFTER_S, "people": ["li"]}]}
        ],
        "routes": [{"chain": "duty", "severities": ["fire", "critical"]}],
        "proof": {"period_s": 1800},
    }


class LogLines(logging.Handler):
    """Keeps what the product logs, while a world runs."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._lines = lines
        self._before: list[tuple[logging.Logger, int, bool]] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = f"{record.levelname} {record.getMessage()}"
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        self._lines.append(text)

    def __enter__(self) -> None:
        for name in ("edge_agents", "gateway"):
            logger = logging.getLogger(name)
            self._before.append((logger, logger.level, logger.propagate))
            logger.addHandler(self)
            logger.setLevel(logging.INFO)
            logger.propagate = False

    def __exit__(self, *_: object) -> None:
        for logger, level, propagate in self._before:
            logger.removeHandler(self)
            logger.setLevel(level)
            logger.propagate = propagate
        self._before.clear()
