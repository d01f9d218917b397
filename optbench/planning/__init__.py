"""From a configuration to the cells of the matrix, each with its cost and its execution; without torch."""
