"""Physical lines. Each serial port or TCP endpoint has one owner task; nothing else touches it."""
