"""mkdocs: the manual's pages where they lie, as one site; API pages from docstrings. `make docs` builds it in site/."""

from __future__ import annotations

import logging
import posixpath
import re
from collections.abc import Iterator
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from tests.manual import ROOT, slug, tracked

TRACKED = tracked()
PAGES = [name for name in TRACKED if name.endswith(".md") and not name.startswith(".github/")]
PICTURES = (".png", ".svg", ".jpg")
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\](?:\([^)]*\))?)*)\]\(([^)\s]+)((?:\s+\"[^\"]*\")?)\)")
LOG = logging.getLogger("mkdocs.hooks.pages")

MANUAL: list[dict[str, Any]] = [
    {"Start": "README.md"},
    {
        "Tutorials": [
            {"Compress your model on your CSV": "compress/tutorials/own_csv.md"},
            {"A grid on your cluster": "launch/tutorials/cluster.md"},
            {"Add a method": "compress/tutorials/new_method.md"},
            {"Read a report and defend it": "analysis/tutorials/report.md"},
        ]
    },
    {
        "Manual": [
            {"One experiment": "compress/README.md"},
            {"Methods": "compress/methods/README.md"},
            {"Tasks and data": "compress/task/README.md"},
            {"Models": "compress/model/README.md"},
            {"The stored model": "compress/artifact/README.md"},
            {"Weights & Biases": "compress/tracking/README.md"},
            {"Many experiments": "launch/README.md"},
            {"Analysis": "analysis/README.md"},
            {"The evidence on GLUE": "analysis/reference/glue/README.md"},
            {"One encoder's layers": "analysis/reference/family/README.md"},
        ]
    },
    {"Configuration": "conf/README.md"},
]
API = {
    "Runs and results": ("compress", "compress.experiment", "compress.runs.result", "compress.artifact.store"),
    "Methods": ("compress.methods.base", "compress.methods.registry"),
    "Metrics": ("compress.task.metrics",),
    "Sweeps": ("launch.plan", "launch.sweep"),
    "Reading results": ("analysis.read.results", "analysis.read.predictions", "analysis.options"),
    "Statistics": (
        "analysis.statistics.table1", "analysis.statistics.equivalent_size", "analysis.statistics.interactions",
        "analysis.statistics.ablation", "analysis.statistics.advice", "analysis.statistics.paired",
    ),
    "Figures": ("analysis.figures.figures",),
}  # fmt: skip
CONTRIBUTORS: list[dict[str, Any]] = [
    {"Contributing": "CONTRIBUTING.md"},
    {"How it is tested": "tests/README.md"},
    {"What is done with odd inputs": "tests/odd_inputs.md"},
    {"What breaks, and what happens then": "tests/faults.md"},
    {"Changes": "CHANGELOG.md"},
]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Navigation and anchors."""
    api = {"API": [{title: _api_page(title)} for title in API]}
    config.nav = [*_present(MANUAL), api, {"For contributors": _present(CONTRIBUTORS)}]
    config.mdx_configs["toc"]["slugify"] = slug
    return config


def _present(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for entry in entries:
        for title, what in entry.items():
            if isinstance(what, list):
                found.append({title: _present(what)})
            elif what in PAGES:
                found.append({title: what})
            else:
                LOG.warning("%s: the navigation names it, and it is not in the repository", what)
    return found


def _api_page(title: str) -> str:
    return f"api/{slug(title)}.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Every page and picture of the repository, and a page for each part of the API."""
    for name in TRACKED:
        if name in PAGES or name.endswith(PICTURES):
            files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    for title, modules in API.items():
        text = f"# {title}\n\n" + "".join(f"::: {module}\n\n" for module in modules)
        files.append(File.generated(config, _api_page(title), content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to source files lead to the API or are names alone; lists are as on GitHub."""
    if page.file.src_uri.startswith("api/"):
        return markdown
    return "\n".join(_as_here(markdown.splitlines(), page.file.src_uri)) + "\n"


def _as_here(lines: list[str], page: str) -> Iterator[str]:
    """For Python-Markdown, which wants four blanks before what is in a list, and an empty line before the list."""
    columns: list[int] = []  # where the text of the items begins that a line is in
    fence, blank = "", True
    for line in lines:
        if not line.strip():
            blank = True
            yield ""
            continue
        indent = len(line) - len(line.lstrip())
        marker = re.match(r" *([-*+]|\d+[.)]) +", line)
        inside = bool(columns)
        while not fence and columns and indent < columns[-1] and (marker or blank):
            columns.pop()
        column, depth = columns[-1] if columns else 0, len(columns)
        text = line[min(indent, column) :]
        if ticks := re.match(r"(`{3,})", text):
            fence = "" if fence else ticks[1]
        elif not fence:
            if marker and not inside and not blank:
                yield ""
            columns += [len(marker[0])] if marker else []
            text = LINK.sub(lambda link: _linked(link, page), text)
        blank = False
        yield " " * 4 * depth + text


def _linked(link: re.Match[str], page: str) -> str:
    image, text, target, title = link.groups()
    text = LINK.sub(lambda inner: _linked(inner, page), text)
    path, _, anchor = target.partition("#")
    if re.match(r"[a-z]+:", target) or not path:
        return f"{image}[{text}]({target}{title})"
    there = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
    if f"{there}/README.md" in PAGES:
        there = f"{there}/README.md"
    if there in PAGES or there.endswith(PICTURES):
        target = posixpath.relpath(there, posixpath.dirname(page) or ".") + (f"#{anchor}" if anchor else "")
        return f"{image}[{text}]({target}{title})"
    if there not in TRACKED and not any(name.startswith(f"{there}/") for name in TRACKED):
        LOG.warning("%s links to %s, which is not in the repository", page, target)
    module = there.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    for name, modules in API.items():
        if module in modules:
            return f"[{text}]({posixpath.relpath(_api_page(name), posixpath.dirname(page) or '.')}#{module})"
    return text
