"""One training, or many replicas of one at once: what it is made of, what it records."""
