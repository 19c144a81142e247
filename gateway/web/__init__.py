"""The pages and the JSON API.

Reads the ledger and the history, never writes either; commands go to the gateway over the control socket.
"""
