"""The documentation: its code runs, and it says what is true of the package."""

import inspect
import pathlib
import re
import runpy
import subprocess
import sys
import tomllib
import unittest
from urllib.parse import unquote, urlsplit

import keras
import numpy as np
import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

import keras_hebbian as kh

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
MARKDOWN = Sybil([PythonCodeBlockParser(), SkipParser()])
SLOW = {"guides/scikit-learn.md", "guides/stacking.md"}
WITH_CODE = [
    pytest.param(page, id=name, marks=[pytest.mark.slow] * (name in SLOW))
    for page in sorted(DOCS.rglob("*.md"))
    if "```py" in page.read_text()
    for name in [str(page.relative_to(DOCS))]
]


@pytest.mark.filterwarnings("ignore:.* units won no sample:UserWarning")
@pytest.mark.parametrize("page", WITH_CODE)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "examples")
    run_code_of(page)


def run_code_of(page):
    """From top to bottom, as a reader would copy it."""
    policy = keras.config.dtype_policy()
    try:
        for example in MARKDOWN.parse(page).examples():
            try:
                example.evaluate()
            except unittest.SkipTest:
                continue
    finally:
        keras.config.set_dtype_policy(policy)


def test_the_code_of_the_readme_does_what_it_says(
    tmp_path, monkeypatch, capsys
):
    """Draws the animation, prints its number and exports the features."""
    monkeypatch.chdir(tmp_path)
    run_code_of(README)
    (said,) = re.findall(r"print\(.*\)  # about (\d+)%", README.read_text())
    (printed,) = re.findall(r"([\d.]+)% of 360", capsys.readouterr().out)
    assert float(printed) == pytest.approx(float(said), abs=2)  # per backend
    assert (tmp_path / "weights" / "weights.gif").stat().st_size > 1000
    if keras.backend.backend() != "torch":
        import tensorflow as tf

        exported = tf.saved_model.load("features")
        assert exported.serve(np.ones((5, 8, 8))).shape == (5, 100)


def test_the_badges_of_the_readme_are_true():
    badges = unquote(" ".join(re.findall(r"badge/(\S+)\)", README.read_text())))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    python = project["requires-python"].removeprefix(">=")
    keras_versions = re.search(
        r"Works with Keras (\S+ to \d+\.\d+)",
        (ROOT / "CHANGELOG.md").read_text(),
    )[1]
    assert f"python-{python}+-" in badges
    assert f"keras-{keras_versions}-" in badges
    assert f"license-{project['license'].replace('-', '--')}-" in badges


def test_one_version_is_named_everywhere():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    citation = (DOCS / "CITATION.cff").read_text()
    assert re.search(r"^## (\S+)", changelog, re.M)[1] == kh.__version__
    assert re.search(r"^version: (\S+)$", citation, re.M)[1] == kh.__version__


LINKED = sorted(set(re.findall(r"\]\(([^:)#]+\.md)\b", README.read_text())))
ONLY_MKDOCS = {
    "front matter": r"\A---$",
    "a tab": r'^=== "',
    "an admonition": r"^(!!!|\?\?\?) ",
    "a snippet": r"--8<--",
    "attributes": r"\)\{",
    "mkdocstrings": r"^::: ",
}


@pytest.mark.parametrize("page", LINKED)
def test_github_renders_the_pages_that_the_readme_links_to(page):
    text = (ROOT / page).read_text()
    assert not [
        name
        for name, pattern in ONLY_MKDOCS.items()
        if re.search(pattern, text, re.MULTILINE)
    ]


def found_public():
    """All that a user may call: classes, and functions of public modules."""
    for name in kh.__all__:
        value = getattr(kh, name)
        if not inspect.ismodule(value):
            yield value
            continue
        for inner, found in inspect.getmembers(value, inspect.isfunction):
            at_home = found.__module__.startswith(value.__name__)
            if at_home and not inner.startswith("_"):
                yield found


PUBLIC = list(dict.fromkeys(found_public()))


@pytest.mark.parametrize("public", PUBLIC, ids=lambda x: x.__name__)
def test_every_public_object_is_in_the_reference(public):
    pages = (DOCS / "reference").glob("*.md")
    documented = re.findall(
        r"^::: (\S+)$", "\n".join(page.read_text() for page in pages), re.M
    )
    assert sum(each.endswith(f".{public.__name__}") for each in documented) == 1


@pytest.mark.parametrize("public", PUBLIC, ids=lambda x: x.__name__)
def test_every_public_object_has_an_example(public):
    assert "\n>>> " in inspect.getdoc(public)


def test_the_pictures_of_the_rules_are_drawn(tmp_path):
    script = ROOT / "examples" / "docs_pictures.py"
    subprocess.run(
        [sys.executable, script, "--only=init", "--epochs=1", "--output=."],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert (tmp_path / "init.png").stat().st_size > 1000


@pytest.mark.parametrize("known", [True, False])
def test_the_package_index_links_to_the_repository(known):
    """There no relative link leads anywhere."""
    pytest.importorskip("hatchling")
    hook = runpy.run_path(DOCS / "readme_of_index.py")["IndexReadme"]
    metadata = {"urls": {"Repository": "https://host/o/r"}} if known else {}
    hook(ROOT, {}).update(metadata)
    text = metadata["readme"]["text"]
    if not known:
        assert text == README.read_text()
        return
    targets = re.findall(
        r"""\]\(\s*(\S+?)\s*\)|src\s*=\s*["'](.+?)["']""", text
    )
    links = ["".join(each) for each in targets]
    assert not [link for link in links if not urlsplit(link).netloc]
    assert "https://host/o/r/actions/workflows/ci.yml" in links
    files = re.findall(r"https://host/o/r/(?:blob|raw)/HEAD/(\S+?)[)\"]", text)
    assert len(files) > 10
    assert not [path for path in files if not (ROOT / path).is_file()]
