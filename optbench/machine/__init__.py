"""The machine that computes: devices, memory, versions, signals."""
