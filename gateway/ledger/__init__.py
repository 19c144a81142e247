"""The ledger: one SQLite file that holds the truth, written by one thread of one process."""
