"""Makes a folder with a page that classifies text in the browser, offline.

    python examples/web/build.py student.tflite page
    python -m http.server --bind 127.0.0.1 --directory page

student.tflite is a file that export_tflite wrote with TextMetadata, of a student without a loop:
text_cnn, transformer, or bilstm with unroll=True. Needs npm, once, for MediaPipe's runtime
(@mediapipe/tasks-text, Apache-2.0, 7 MB); the page itself loads nothing from elsewhere.
"""

import argparse
import pathlib
import shutil
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PACKAGE = "@mediapipe/tasks-text"
VERSION = "1.0.1"
RUNTIME = ("text_bundle.mjs", "wasm/text_wasm_internal.js", "wasm/text_wasm_internal.wasm")


def build(model, page):
    """Writes the page's folder; an existing one is an error."""
    page = pathlib.Path(page)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["npm", "install", "--silent", "--prefix", folder, f"{PACKAGE}@{VERSION}"], check=True
        )
        package = pathlib.Path(folder) / "node_modules" / PACKAGE
        page.mkdir(parents=True)
        (page / "mediapipe").mkdir()
        for name in RUNTIME:
            shutil.copy(package / name, page / "mediapipe")
    for name in ("index.html", "app.js"):
        shutil.copy(HERE / name, page)
    shutil.copy(model, page / "student.tflite")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="the .tflite file")
    parser.add_argument("page", help="the folder to write")
    arguments = parser.parse_args()
    build(arguments.model, arguments.page)
    print(f"python -m http.server --bind 127.0.0.1 --directory {arguments.page}")
