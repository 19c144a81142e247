"""Assessment: what a week or a month was like, in counts and rates, for areas, sites and over time. Pure."""
