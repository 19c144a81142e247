"""Equipment, serial lines and stories that speak the real protocols, and the ground truth of what they did.

Encodes on its own from the device profiles: a simulator that shares the driver's codec proves nothing.
"""
