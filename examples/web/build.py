"""Makes a folder with a page that runs a student in the browser, offline.

    python examples/web/build.py student.tflite page
    python -m http.server --bind 127.0.0.1 --directory page

The page classifies text with MediaPipe (@mediapipe/tasks-text). student.tflite is a file that
export_tflite wrote with TextMetadata, of a student without a loop: text_cnn, transformer, or bilstm
with unroll=True. With --raw the page takes numbers, such as ids, for any file: LiteRT.js
(@litertjs/core) runs it as it is. Needs npm, once, for these runtimes (Apache-2.0, 7 and 10 MB);
the page itself loads nothing from elsewhere.
"""

import argparse
import pathlib
import shutil
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
# The package of each page, and the places of its files in the page's folder.
MEDIAPIPE = "@mediapipe/tasks-text@1.0.1"
MEDIAPIPE_FILES = {
    "@mediapipe/tasks-text/text_bundle.mjs": "mediapipe/text_bundle.mjs",
    "@mediapipe/tasks-text/wasm/text_wasm_internal.js": "mediapipe/text_wasm_internal.js",
    "@mediapipe/tasks-text/wasm/text_wasm_internal.wasm": "mediapipe/text_wasm_internal.wasm",
}
LITERT = "@litertjs/core@2.5.3"
LITERT_FILES = {
    "@litertjs/core/dist/index.js": "litert/core.js",
    "@litertjs/wasm-utils/dist/index.js": "litert/wasm-utils.js",
    "@litertjs/core/wasm/litert_wasm_internal.js": "litert/wasm/litert_wasm_internal.js",
    "@litertjs/core/wasm/litert_wasm_internal.wasm": "litert/wasm/litert_wasm_internal.wasm",
}


def build(model, page, raw=False):
    """Writes the page's folder; an existing one is an error."""
    page = pathlib.Path(page)
    package, files = (LITERT, LITERT_FILES) if raw else (MEDIAPIPE, MEDIAPIPE_FILES)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "install", "--silent", "--prefix", folder, package], check=True)
        page.mkdir(parents=True)
        for name, place in files.items():
            (page / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(pathlib.Path(folder) / "node_modules" / name, page / place)
    html, script = ("raw.html", "raw.js") if raw else ("index.html", "app.js")
    shutil.copy(HERE / html, page / "index.html")
    shutil.copy(HERE / script, page)
    shutil.copy(model, page / "student.tflite")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="the .tflite file")
    parser.add_argument("page", help="the folder to write")
    parser.add_argument("--raw", action="store_true", help="numbers instead of text, any file")
    arguments = parser.parse_args()
    build(arguments.model, arguments.page, arguments.raw)
    print(f"python -m http.server --bind 127.0.0.1 --directory {arguments.page}")
