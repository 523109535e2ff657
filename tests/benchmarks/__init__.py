"""How fast the project is, measured against others and against itself."""
