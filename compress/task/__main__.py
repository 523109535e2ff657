"""`python -m compress.task FILE`."""

from __future__ import annotations

from compress.task_file import main

if __name__ == "__main__":
    raise SystemExit(main())
