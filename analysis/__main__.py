"""`python -m analysis`: what the results say."""

from analysis.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
