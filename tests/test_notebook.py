"""The notebook, run from top to bottom as a reader would."""

import pathlib

import nbclient
import nbformat
import pytest

NOTEBOOK = pathlib.Path(__file__).parents[1] / "examples" / "quickstart.ipynb"


@pytest.fixture(scope="module")
def cells():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def pictures(cell):
    return [
        output["data"]["image/png"]
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]


def test_the_notebook_is_stored_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)


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
