"""Real parts (broker, stores) on free loopback ports, for tests."""
