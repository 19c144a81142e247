"""A real Mosquitto with the shipped configuration: same limits, same ACL, real password file."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.parts.process import Part, require

DEPLOY = Path(__file__).parents[2] / "deploy" / "mosquitto"
PACKAGE = "mosquitto"
GATEWAY = "gateway"


class Mosquitto(Part):
    """`mosquitto -c` on a free loopback port.

    Args:
        agents: user names `{site}/{agent}` to make beside `gateway`; their passwords are `password(name)`.
        anonymous: True leaves passwords, ACL and user-name client ids out (any client may do anything).
    """

    binary = "mosquitto"
    package = PACKAGE

    def __init__(self, agents: tuple[str, ...] = (), *, anonymous: bool = False) -> None:
        super().__init__()
        self.anonymous = anonymous
        self.users = () if anonymous else (GATEWAY, *agents)

    def password(self, user: str) -> str:
        """The user's password."""
        return f"secret of {user}"

    def password_file(self, user: str) -> Path:
        """A file with the user's password on one line, as the settings want it."""
        path = self.dir / f"{user.replace('/', '_')}.secret"
        path.write_text(self.password(user) + "\n", "utf-8")
        path.chmod(0o600)
        return path

    def add_user(self, user: str) -> None:
        """One more user; takes effect at the next start."""
        self.users = (*self.users, user)

    def command(self) -> list[str]:
        conf = self.dir / "mosquitto.conf"
        conf.write_text("\n".join(self._lines()) + "\n", "utf-8")
        return [self.path, "-c", str(conf)]

    def _lines(self) -> list[str]:
        # The shipped file with its places changed, so that every test also tests what is shipped.
        ours = {
            "listener": f"{self.port} {self.host}",
            "persistence_location": f"{self.dir}/",
            "password_file": str(self.dir / "passwd"),
            "acl_file": str(DEPLOY / "acl"),
        }
        dropped = (
            {"allow_anonymous", "password_file", "acl_file", "use_username_as_clientid"} if self.anonymous else set()
        )
        lines = []
        for line in (DEPLOY / "mosquitto.conf").read_text("utf-8").splitlines():
            word = line.partition(" ")[0]
            if line and not line.startswith("#") and word not in dropped:
                lines.append(f"{word} {ours[word]}" if word in ours else line)
        if self.anonymous:
            lines.append("allow_anonymous true")
        else:
            self._write_passwords()
        if os.geteuid() == 0:
            # Started by root it would become user mosquitto, who cannot read this directory.
            lines.append("user root")
        return lines

    def _write_passwords(self) -> None:
        path = self.dir / "passwd"
        path.touch(mode=0o600)
        for user in self.users:
            tool = require("mosquitto_passwd", PACKAGE)
            subprocess.run([tool, "-b", str(path), user, self.password(user)], check=True, capture_output=True)
