"""Sensors of other makers that send on a broker by themselves: pure decoders and what was last reported of them."""
