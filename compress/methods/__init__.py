"""Compression methods: a module each, found by the registry; nothing outside a module knows its name."""
