"""What is imported once for all workers, in the process of which they are copies (see `engines.begin_imports`)."""

from __future__ import annotations

from optbench.machine.signals import ending_with_parent

# The creating thread counts as the parent, and may end before the process does. So this holds for the imports only.
with ending_with_parent():
    import optbench.runner.cell
    import optbench.runner.timing_pass  # noqa: F401
