"""The notebooks run as notebooks, from scripts that jupytext converts."""

import pathlib

import jupytext
import nbclient
import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "docs" / "notebooks"


@pytest.mark.long
@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.py")), ids=lambda script: script.stem)
# A kernel that starts and ends is pyzmq's and asyncio's matter.
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:.*:ResourceWarning")
def test_it_runs(script, tmp_path):
    notebook = jupytext.read(script)
    installing = [c for c in notebook.cells if "install" in c.metadata.get("tags", ())]
    assert len(installing) == 1
    assert "%pip install" in installing[0].source
    notebook.cells = [cell for cell in notebook.cells if cell not in installing]
    resources = {"metadata": {"path": tmp_path}}
    nbclient.NotebookClient(notebook, timeout=240, resources=resources).execute()
    assert list(tmp_path.glob("*.tflite"))
    assert list(tmp_path.glob("*.html"))
    assert notebook.cells[0].source.startswith("# ")
