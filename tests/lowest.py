"""`python -m tests.lowest DIR`: the lowest version that pyproject.toml allows of each dependency, in a folder.

A package whose pin in constraints.txt is the lowest version already stays as it is, and so does torch: CI has one build
of it. What a lowest version needs of other packages comes too, in the newest version that fits. Then all requirements
of all that is on the path are checked, the folder before the environment; that is what `make lowest` tests with.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
LEFT_ALONE = ("torch",)
NOT_FOR_USERS = ("dev", "docs", "all")  # extras: tools of the project's own, and what stands in others
ROUNDS = 5  # of packages that others need


def groups() -> dict[str, list[Requirement]]:
    """What pyproject.toml asks for: always (the name is empty), and by extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = {"": project["dependencies"]} | project["optional-dependencies"]
    return {name: [Requirement(line) for line in group] for name, group in lines.items()}


def bounds() -> dict[str, Version]:
    """The lowest version of each dependency of what users install that is below its pin."""
    needs = [need for name, group in groups().items() if name not in NOT_FOR_USERS for need in group]
    lowest = {canonicalize_name(need.name): Version(spec.version)
              for need in needs for spec in need.specifier if spec.operator in (">=", "==")}  # fmt: skip
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {canonicalize_name(name): Version(version) for name, _, version in (line.partition("==") for line in lines)
            if version}  # fmt: skip
    return {name: bound for name, bound in lowest.items() if bound < pins[name] and name not in LEFT_ALONE}


def on_path(*folders: Path) -> dict[str, Distribution]:
    """Every package by its name; the first on the path counts, as it does for imports."""
    found: dict[str, Distribution] = {}
    for each in distributions(path=[*map(str, folders), *sys.path]):
        found.setdefault(_name(each), each)
    return found


def needs_of(package: Distribution) -> list[Requirement]:
    """What a package needs without its extras."""
    needs = map(Requirement, package.requires or ())
    return [need for need in needs if not need.marker or need.marker.evaluate({"extra": ""})]


def used(every: Mapping[str, Distribution]) -> set[str]:
    """What the program and its tests need, and what that needs; not what builds the manual as a site."""
    asked = [canonicalize_name(need.name) for name, group in groups().items() if name != "docs" for need in group]
    found: set[str] = set()
    while asked:
        if (name := asked.pop()) in every and name not in found:
            found.add(name)
            asked += [canonicalize_name(need.name) for need in needs_of(every[name])]
    return found


def unmet(folder: Path) -> Iterator[tuple[str, Requirement]]:
    """What used packages in the folder need, or need of packages in the folder, and is not there."""
    here, every = {*map(_name, distributions(path=[str(folder)]))}, on_path(folder)
    for name in sorted(used(every)):
        for need in needs_of(every[name]):
            found = every.get(canonicalize_name(need.name))
            met = found is not None and need.specifier.contains(found.version, prereleases=True)
            if not met and {name, canonicalize_name(need.name)} & here:
                yield name, need


def _name(package: Distribution) -> str:
    return canonicalize_name(package.metadata["Name"])


def install(folder: Path, requirements: list[str]) -> None:
    """Put packages into the folder, wheels only."""
    command = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:",
               "--upgrade", "--target", str(folder)]  # fmt: skip
    subprocess.run([sys.executable, *command, *requirements], check=True, env=os.environ | {"PYTHONPATH": ""})


def main() -> int:
    """Fill the folder that is named; 1 if the versions do not go together."""
    folder, lowest = Path(sys.argv[1]).resolve(), bounds()
    wanted = {name: f"{name}=={bound}" for name, bound in lowest.items()}
    asked = folder / "asked"  # is written last
    if asked.is_file() and asked.read_text() == "\n".join(wanted.values()):
        return 0
    if folder.is_dir():
        shutil.rmtree(folder)
    print("lowest versions:", *wanted.values(), flush=True)
    install(folder, list(wanted.values()))
    for _ in range(ROUNDS):
        needs: dict[str, list[str]] = {}
        for name, need in unmet(folder):
            if canonicalize_name(need.name) in lowest:
                bound = lowest[canonicalize_name(need.name)]
                print(f"{name} needs {need}, and pyproject.toml allows {need.name} {bound}: raise that bound")
                return 1
            needs.setdefault(canonicalize_name(need.name), []).append(str(need.specifier))
        if not needs:
            asked.write_text("\n".join(wanted.values()))
            return 0
        more = [f"{name}{','.join(filter(None, specifiers))}" for name, specifiers in needs.items()]
        print("and what they need:", *more, flush=True)
        install(folder, more)
    print("these do not go together:", *sorted(f"{name} needs {need}" for name, need in unmet(folder)), sep="\n  ")
    return 1


if __name__ == "__main__":
    sys.exit(main())
