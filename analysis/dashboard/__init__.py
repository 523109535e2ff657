"""The W&B dashboard."""
