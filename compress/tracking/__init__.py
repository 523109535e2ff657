"""Weights & Biases: what is told of a run, and how."""
