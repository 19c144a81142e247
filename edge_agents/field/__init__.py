"""Tools for an installer with a laptop: how a line behaves, what hangs on it, what a register means. Read only."""
