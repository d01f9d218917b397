"""Training of one model, or of many replicas at once: batches, steps, evaluations and the record."""
