"""A page and an .ipynb file to download of each script in docs/notebooks."""

import pathlib

import jupytext
from mkdocs.structure.files import File


def on_files(files, config):
    for script in sorted(pathlib.Path(config.docs_dir, "notebooks").glob("*.py")):
        notebook = jupytext.read(script, fmt="py:percent")
        name = f"notebooks/{script.stem}"
        files.append(File.generated(config, f"{name}.ipynb", content=as_ipynb(notebook)))
        files.append(File.generated(config, f"{name}.md", content=as_page(notebook, script.stem)))
    return files


def as_ipynb(notebook):
    return jupytext.writes(notebook, fmt="ipynb")


def as_page(notebook, stem):
    """The cells as Markdown; below the title a link to the file."""
    parts = [
        cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```"
        for cell in notebook.cells
    ]
    parts.insert(1, f"[Download the notebook]({stem}.ipynb){{ .md-button download }}")
    return "\n\n".join(parts) + "\n"
