"""The encoder and its tokenizer: from a checkpoint or from scratch."""
