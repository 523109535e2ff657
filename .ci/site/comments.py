"""griffe: an attribute is documented by the comment behind it, or by the description of its pydantic field."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Comments(griffe.Extension):
    """What this project writes of attributes, as their docstrings."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Give an attribute without a docstring one."""
        if attr.docstring is None and attr.lineno is not None and (said := _said(attr)):
            attr.docstring = griffe.Docstring(said, parent=attr)


def _said(attribute: griffe.Attribute) -> str:
    lines = attribute.lines_collection[attribute.filepath][attribute.lineno - 1 : attribute.endlineno]
    source = "\n".join(lines)
    if "Field(" in source and (told := re.search(r'description=f?("[^"]*"(?:\s+f?"[^"]*")*)', source)):
        return "".join(re.findall(r'"([^"]*)"', told[1]))
    comment = re.search(r"#\s(?!fmt:|noqa|type:)([^\"']*)$", lines[-1])
    return comment[1] if comment else ""
