"""Packages that an installation may leave out: which extra brings one, and what to type."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec

from compress.called import NAME


def missing(package: str) -> str:
    """That a package is not installed, or lacks a module, and the command that installs it, in one line."""
    extra, editable = _extra_of(package)
    words = f"{'-e ' if editable else ''}'.{f'[{extra}]' if extra else ''}'"
    whole = package.partition(".")[0]
    if whole != package and find_spec(whole) is not None:
        return f"{package} is not in the installed {whole}; in the project's folder: pip install --upgrade {words}"
    return f"the package {whole} is not installed; in the project's folder: pip install {words}"


def _extra_of(package: str) -> tuple[str, bool]:
    """The smallest extra that has a package ("" if every installation has it), and whether the project is editable."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        project = distribution(NAME)
    except PackageNotFoundError:  # the sources alone, on the path
        return "all", True
    wanted = re.escape(package.partition(".")[0]).replace("_", "[-_]")
    needs: dict[str, list[str]] = {}  # extra, "" for every installation -> what it takes
    for need in project.requires or ():
        extra = re.search(r"extra == ['\"]([\w-]+)", need)
        needs.setdefault(extra[1] if extra else "", []).append(need)
    found = [extra for extra, every in needs.items()
             if any(re.match(rf"{wanted}(?![\w.-])", need, re.IGNORECASE) for need in every)]  # fmt: skip
    installed = json.loads(project.read_text("direct_url.json") or "{}")
    smallest = "" if "" in found else min(found, key=lambda extra: len(needs[extra]), default="all")
    return smallest, bool(installed.get("dir_info", {}).get("editable"))
