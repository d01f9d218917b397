"""The lecture's experiments: each tests one claim, as a configuration of the harness and a plot."""
