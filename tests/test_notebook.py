"""The notebook, run from top to bottom as a reader would."""

import pathlib
import re

import nbformat
import pytest

pytestmark = pytest.mark.slow
EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def run_notebook():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        import run_notebook

        yield run_notebook


@pytest.fixture(scope="module")
def cells(run_notebook):
    return run_notebook.code_cells(run_notebook.executed())


@pytest.fixture(scope="module")
def stored_cells(run_notebook):
    stored = nbformat.read(run_notebook.NOTEBOOK, as_version=4)
    return run_notebook.code_cells(stored)


def pictures(cell):
    return [
        output["data"]["image/png"]
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]


def accuracy(cells):
    (line,) = (output.text for output in cells[-1].outputs if "text" in output)
    return float(re.match(r"([\d.]+)% of 360", line)[1])


@pytest.mark.filterwarnings("default")
def test_the_notebook_is_stored_with_its_outputs(cells, stored_cells):
    assert [len(pictures(cell)) for cell in stored_cells] == [
        len(pictures(cell)) for cell in cells
    ]
    assert accuracy(stored_cells) == pytest.approx(accuracy(cells), abs=3)


@pytest.mark.filterwarnings("default")
def test_the_picture_of_the_weights_is_replaced(cells):
    (training,) = (cell for cell in cells if ".fit(" in cell.source)
    assert len(pictures(training)) == 1  # of 30 that were drawn


@pytest.mark.filterwarnings("default")
def test_every_figure_is_shown(cells):
    drawing = [cell for cell in cells if "plotting" in cell.source]
    assert len(drawing) == 2
    for cell in drawing:
        assert len(pictures(cell)) == 1
