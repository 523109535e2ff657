"""A task of GLUE: its texts, labels and metrics."""
