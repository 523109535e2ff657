"""`python -m compress`: one experiment, or with -m a sweep."""

from compress.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
