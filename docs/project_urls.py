"""Takes the addresses of the repository and the site from pyproject.toml."""

import pathlib
import tomllib
from typing import Any


def on_config(config: Any) -> None:
    """Called by MkDocs. Without `[project.urls]` the site links to neither."""
    path = pathlib.Path(config.config_file_path).with_name("pyproject.toml")
    project = tomllib.loads(path.read_text())["project"]
    urls = project.get("urls", {})
    config.site_url = urls.get("Documentation", "")
    config.repo_url = urls.get("Repository")
    config.repo_name = config.repo_url and project["name"]
