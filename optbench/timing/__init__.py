"""Whether a change made something slower: measured with pytest-benchmark, judged so that noise raises no alarm."""
