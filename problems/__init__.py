"""The problems that come with optbench, one module per family."""
