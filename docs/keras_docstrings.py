"""Brings Keras's docstring sections into Markdown, for mkdocstrings.

Keras writes sections that Google's style does not know, such as `Formula:` and
`Call arguments:`, and leaves examples without indentation. Here they become
Markdown; `Args:`, `Returns:` and `Raises:` stay as they are.
"""

import re
import textwrap
from typing import Any

import griffe

SECTION = re.compile(
    r"^(Formula|Example|Call arguments|Input shape|Output shape|Reference|"
    r"Args|Returns|Raises):\n",
    re.MULTILINE,
)
KNOWN = ("Args", "Returns", "Raises")
EXAMPLE = re.compile(r"(?:^>>> .*\n(?:.+(?:\n|\Z))*)+", re.MULTILINE)
ARGUMENT = re.compile(r"^(\w+): ", re.MULTILINE)


class KerasDocstrings(griffe.Extension):
    """Rewrites the docstrings of everything that is documented."""

    def on_instance(self, *, obj: Any, **kwargs: Any) -> None:
        """Called by griffe for each object that it finds."""
        if obj.docstring is not None:
            obj.docstring.value = to_markdown(obj.docstring.value)


def to_markdown(docstring: str) -> str:
    """The docstring with Keras's sections as Markdown."""
    start, *parts = SECTION.split(docstring + "\n")
    sections = [fenced(start)]
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        if name in KNOWN:
            sections.append(f"{name}:\n{body}")
            continue
        body = textwrap.dedent(body).strip()
        if name == "Call arguments":
            body = ARGUMENT.sub(r"- `\1`: ", body)
        sections.append(f"**{name}**\n\n{fenced(body)}\n\n")
    return "".join(sections).rstrip()


def fenced(text: str) -> str:
    """Text whose examples are blocks of code."""
    return EXAMPLE.sub(
        lambda match: f"```pycon\n{match[0].rstrip()}\n```\n", text + "\n"
    )
