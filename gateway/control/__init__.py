"""The gateway's local control socket: operator commands in, committed events out."""
