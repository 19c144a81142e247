"""How it is proven who does something at a post."""

from typing import Literal

Proof = Literal["login", "pin", "qr"]
"""login: their own sign-in; pin: their PIN at the screen of the post; qr: they scanned the code that hangs there."""
