"""Runs quickstart.ipynb, and stores it with its outputs.

    python examples/run_notebook.py             # to see that it runs
    python examples/run_notebook.py --write     # replaces the outputs

Takes less than a minute.
"""

import argparse
import pathlib

import nbclient
import nbformat

NOTEBOOK = pathlib.Path(__file__).with_name("quickstart.ipynb")


def executed() -> nbformat.NotebookNode:
    """The notebook with new outputs, without times or messages on stderr."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=600, record_timing=False
    ).execute()
    for cell in code_cells(notebook):
        cell.outputs = [
            output for output in cell.outputs if output.get("name") != "stderr"
        ]
    return notebook


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The cells that have outputs."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def main() -> None:
    """Runs the notebook."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--write", action="store_true", help="replaces the stored notebook"
    )
    write = parser.parse_args().write
    notebook = executed()
    if write:
        nbformat.write(notebook, NOTEBOOK)
        print(NOTEBOOK)


if __name__ == "__main__":
    main()
