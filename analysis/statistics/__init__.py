"""What the results say, with its uncertainty."""
