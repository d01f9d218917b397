"""Results directories: written atomically, read as pandas frames."""
