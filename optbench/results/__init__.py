"""Results directories: written atomically, read back as pandas frames."""
