"""What the configuration file says, as far as pages show it; nothing in it is a secret."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from contract import configfile
from contract.errors import ConfigError
from gateway.backup.settings import BackupSettings
from gateway.notify.settings import NotifySettings


class Configured(NamedTuple):
    """The configuration file and its sections that pages explain. file: None where nobody named it."""

    file: Path | None = None
    notify: NotifySettings = NotifySettings()
    backup: BackupSettings = BackupSettings()
    certificates: tuple[Path, ...] = ()
    """Certificates whose end an administrator is told of."""

    def place(self, *loc: int | str) -> str:
        """`weizhan.yaml:41` of a place in the file; empty when it cannot be read now."""
        if self.file is None:
            return ""
        try:
            line, _ = configfile.locate(configfile.read_node(self.file), loc)
        except ConfigError:
            return ""
        return f"{self.file.name}:{line}"
