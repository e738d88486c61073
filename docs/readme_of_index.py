"""Writes the description for the package index, with links that lead there."""

import pathlib
import re
from typing import Any
from urllib.parse import urljoin

from hatchling.metadata.plugin.interface import MetadataHookInterface

TARGET = re.compile(r'(?<=\]\()[^)\s]+|(?<=src=")[^"]+')
PICTURES = (".gif", ".png", ".svg")


def absolute(text: str, repository: str) -> str:
    """Markdown of the repository's root whose links lead to the repository."""

    def link(found: re.Match[str]) -> str:
        target = found[0]
        form = "raw" if target.endswith(PICTURES) else "blob"
        return urljoin(f"{repository.rstrip('/')}/{form}/HEAD/", target)

    return TARGET.sub(link, text)


class IndexReadme(MetadataHookInterface):
    """Called by Hatch. Without `[project.urls]` the links stay as they are."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Sets the field `readme`."""
        text = pathlib.Path(self.root, "README.md").read_text()
        repository = metadata.get("urls", {}).get("Repository")
        if repository:
            text = absolute(text, repository)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
