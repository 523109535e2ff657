"""The report on paper: A4 pages of a PDF, charts as vectors, printed by Chromium, Chrome or Edge."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from compress.errors import ConfigError
from compress.storage.files import write_bytes

BROWSERS = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)  # fmt: skip
WIDTH = 688  # CSS pixels between the margins that paper.css gives to A4; charts are drawn for a window of it
SECONDS = 180


def browser() -> str:
    """The browser to print with; ConfigError where there is none."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        fix = "install one (apt-get install chromium), or open report.html and print it"
        raise ConfigError(f"--pdf: is printed by Chromium, Chrome or Edge, and none of them is on the PATH; {fix}")
    return found


def write(page: str, path: Path, program: str) -> None:
    """Put the PDF of a page in place, or leave what was there; ConfigError with what the browser says if it cannot."""
    with tempfile.TemporaryDirectory(prefix="report-") as scratch:
        source, printed = Path(scratch) / "report.html", Path(scratch) / "report.pdf"
        source.write_text(page, encoding="utf-8")
        command = [
            program, "--headless", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
            f"--user-data-dir={scratch}/user", f"--window-size={WIDTH},1000",
            "--virtual-time-budget=20000", "--no-pdf-header-footer",
            f"--print-to-pdf={printed}", *(["--no-sandbox"] if _is_root() else []), source.as_uri(),
        ]  # fmt: skip
        try:
            ran = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS)
        except subprocess.TimeoutExpired as error:
            raise ConfigError(f"--pdf: {program} took longer than {SECONDS} s; print report.html by hand") from error
        if not printed.is_file() or not (content := printed.read_bytes()).startswith(b"%PDF"):
            said = (ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"])[-1]
            raise ConfigError(f"--pdf: {program} printed nothing ({said:.160}); print report.html by hand")
    write_bytes(path, content)


def _is_root() -> bool:
    """Whether Chromium would refuse to start in its sandbox."""
    return hasattr(os, "geteuid") and os.geteuid() == 0
