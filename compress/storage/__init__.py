"""Files and folders: written whole, cached, locked, fetched from a hub, and what to say when they cannot be."""
