"""Transmitters and monitoring centres that speak GB/T 26875.3, with an encoder of their own."""
