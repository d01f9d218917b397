"""The problems that come with optbench, one file a family."""
