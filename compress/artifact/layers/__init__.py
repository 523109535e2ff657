"""The layers of finished models that are not dense, a module for each kind."""
