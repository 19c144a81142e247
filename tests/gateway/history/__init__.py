"""The history and its mirror."""
