"""The training loop, evaluation, checkpoints and progress."""
