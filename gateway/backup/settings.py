"""Settings of backups."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from contract.configfile import Section


class BackupSettings(Section):
    """Backups of ledger, history, photos, plans and configuration (docs/administration.md)."""

    daily_at: str | None = Field(default=None, pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    """Time of day (of the first site) at which one is made, such as 03:30; nothing: only when somebody asks."""
    keep: int = Field(default=14, ge=1, le=1000)
    """Backups that are kept; the oldest beyond it is deleted once a new one is complete."""
    folder: Path | None = None
    """Where they are put; `backups` in the data folder by default. Another disk is better."""
    key_file: Path | None = None
    """File with the key that signs them and seals their secrets (64 hex digits, mode 0600); `backup.key` in the data
    folder by default, made at the first backup. Keep a copy of it apart from the backups."""

    def folder_in(self, data_dir: Path) -> Path:
        """Where backups of that data folder are."""
        return self.folder or data_dir / "backups"

    def key_in(self, data_dir: Path) -> Path:
        """The file of the key."""
        return self.key_file or data_dir / "backup.key"
