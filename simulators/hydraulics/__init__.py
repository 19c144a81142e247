"""Water of a district, by physics: a network stepped by EPANET, what happens to it, and the instruments that see it."""
