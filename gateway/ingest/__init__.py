"""From the broker to the pipeline: connection, checks at the door, order of batches."""
