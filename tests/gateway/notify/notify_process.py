"""A gateway with people to tell, as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import uvloop

from contract.mqtt import MqttSettings
from gateway.app import run
from gateway.history.settings import EmbeddedSettings
from gateway.notify.settings import NotifySettings
from gateway.settings import GatewaySettings
from tests.gateway.gateway_process import GatewayProcess
from tests.gateway.harness import write_site


class NotifyingProcess(GatewayProcess):
    """`gateway.app.run` with a section `notify`; `with` ends it."""

    def __init__(self, folder: Path, port: int, notify: dict[str, Any], **settings: Any) -> None:
        super().__init__(folder, port, **settings)
        self._notify = notify

    def start(self) -> subprocess.Popen[str]:
        settings = {"sites": [str(write_site(self.folder))], "data_dir": str(self.data_dir), "checkpoint_s": 600}
        settings |= self._settings
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, json.dumps(settings), str(self._port), json.dumps(self._notify)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "default"},
            cwd=Path(__file__).parents[3],
        )
        return self._process


if __name__ == "__main__":
    uvloop.run(
        run(
            GatewaySettings.model_validate_json(sys.argv[1]),
            EmbeddedSettings(),
            MqttSettings(port=int(sys.argv[2])),
            NotifySettings.model_validate_json(sys.argv[3]),
        )
    )
