"""Pages of the duty board: the board itself, the wall, the map, what is done with an alarm from there."""
