"""How an alarm reaches a person: plans, the outbox in the ledger, the ways out, proof of the path."""
