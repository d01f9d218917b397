"""The machine that runs the trainings: devices, memory, software versions, signals."""
