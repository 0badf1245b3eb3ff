"""The process that reads damaged files, one after the other: what ends it ends no test.

Run as a script, with the name of a module beside it; on standard input come lines of JSON,
a function of the module and a path, and each is answered with a line.
"""

import contextlib
import faulthandler
import hashlib
import importlib
import json
import os
import pathlib
import resource
import sys
import time
import traceback
import warnings

# Far more than the small files need; TensorFlow maps a few GB by itself.
_MEMORY_BYTES = 4 * 2**30


def read(function, path):
    """Calls the reader: a dict with its digest, or with the error."""
    start = time.process_time()
    try:
        digest = _digest(function(path))
        outcome = {"digest": digest}
    except Exception as error:
        outcome = {
            "error": type(error).__name__,
            "message": str(error),
            "place": _place(error),
        }
    return {**outcome, "seconds": time.process_time() - start}


def _place(error):
    """File and line that raised it."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno}"


def _digest(value):
    """A hash of nested values, arrays and texts: equal for equal ones."""
    found = hashlib.sha256()
    _add(value, found)
    return found.hexdigest()


def _add(value, found):
    if isinstance(value, dict):
        value = list(value.items())
    if isinstance(value, (list, tuple)):
        found.update(f"[{len(value)}".encode())
        for item in value:
            _add(item, found)
    elif hasattr(value, "tobytes") and value.dtype.kind != "O":
        found.update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
    elif hasattr(value, "tolist"):
        _add(value.tolist(), found)
    else:
        found.update(repr(value).encode("utf-8", "surrogatepass"))


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    faulthandler.enable()
    warnings.simplefilter("ignore")
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    module = importlib.import_module(sys.argv[1])
    mapped = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + _MEMORY_BYTES,) * 2)
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr):
            answer = read(getattr(module, request["function"]), pathlib.Path(request["path"]))
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
