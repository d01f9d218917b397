"""The presets: configurations that are known by name."""
