"""Training: Stage A, losses, curriculum, checkpoints, and cached features of frozen models."""
