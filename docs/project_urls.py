"""Takes the addresses of the repository and the site from pyproject.toml."""

import pathlib
import tomllib
from typing import Any

PYPROJECT = pathlib.Path(__file__).parents[1] / "pyproject.toml"


def on_config(config: Any) -> None:
    """Called by MkDocs. Without `[project.urls]` the site links to neither."""
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    urls = project.get("urls", {})
    config.site_url = urls.get("Documentation", "")
    config.repo_url = urls.get("Repository")
    config.repo_name = config.repo_url and project["name"]
