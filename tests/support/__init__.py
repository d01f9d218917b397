"""What several test modules share: problems, optimizers, frames, processes, clusters, pages."""
