"""Main program of a `ChildProcess`: reads requests, lets a script answer, writes the answers.

It is run with the path of a script that has a function `answer(arrays, **request)`, which returns
a dict and arrays by name. It imports NumPy but nothing of this package, to start fast.
"""

import json
import os
import runpy
import sys

import numpy as np


def write_message(stream, fields, arrays):
    """Writes a line of JSON, followed by the bytes of arrays."""
    arrays = {name: without_objects(values) for name, values in arrays.items()}
    kinds = [(name, values.dtype.str, values.shape) for name, values in arrays.items()]
    stream.write(json.dumps({"fields": fields, "arrays": kinds}).encode("ascii") + b"\n")
    for values in arrays.values():
        stream.write(values.tobytes())
    stream.flush()


def without_objects(values):
    """An array with texts as bytes of fixed width, because objects would be pickled."""
    values = np.asarray(values)
    if values.dtype.kind not in "OU":
        return values
    encoded = [v if isinstance(v, bytes) else str(v).encode("utf-8") for v in values.ravel()]
    return np.array(encoded, "S").reshape(values.shape)


def read_message(stream):
    """Returns the fields and the arrays of a message.

    Raises:
        EOFError: If the stream ends before or within the message.
    """
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    message = json.loads(line)
    arrays = {}
    for name, dtype, shape in message["arrays"]:
        dtype = np.dtype(dtype)
        num_bytes = dtype.itemsize * int(np.prod(shape, dtype="int64"))
        content = stream.read(num_bytes)
        if len(content) < num_bytes:
            raise EOFError
        arrays[name] = np.frombuffer(content, dtype).reshape(shape)
    return message["fields"], arrays


def main():
    # Libraries may print to the standard output, so answers get a copy of it.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    answer = runpy.run_path(sys.argv[1])["answer"]
    while True:
        try:
            request, arrays = read_message(sys.stdin.buffer)
        except EOFError:
            return
        try:
            fields, found = answer(arrays, **request)
        except Exception as error:
            fields, found = {"error": f"{error}" or type(error).__name__}, {}
        write_message(answers, fields, found)


if __name__ == "__main__":
    main()
