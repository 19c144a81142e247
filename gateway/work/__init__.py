"""Work: dates, patrols, self-checks, hazards and their rectification, drills and training. Pure."""
