"""What the duty board keeps: floor plans, ticks of advice, checks that a screen can be heard."""
