"""What is configured: the schema of an experiment, and how command lines and files become it."""
