"""Training of the miniature bases, Stage A, losses, curriculum, checkpoints."""
