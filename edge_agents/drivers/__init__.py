"""Pure protocol knowledge: what to read, and what the answer means. No I/O, no clock."""
