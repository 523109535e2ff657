"""Texts and tokens: read, generated, rewritten, batched."""
