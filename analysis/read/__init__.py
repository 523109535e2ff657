"""Results read into one table: from run folders, files, or W&B."""
