"""`python -m launch`: before and after a sweep."""

from launch.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
