"""Small JSON files of any origin: settings of runs and of tokenizers."""

import json
import pathlib

from keras_distill._arguments.printable import one_line
from keras_distill._arguments.printable import printable


def read_json_object(path):
    """Reads a file that holds one JSON object.

    Args:
        path: The file.

    Returns:
        A dict.

    Raises:
        ValueError: If it cannot be read, or holds something else. The message has its path.
    """
    try:
        found = json.loads(pathlib.Path(path).read_text(encoding="utf-8-sig"))
        problem = f"a {type(found).__name__}"
    # A ValueError is also what is not UTF-8, and a RecursionError what is nested too deep.
    except (OSError, ValueError, RecursionError) as error:
        found, problem = None, f"{type(error).__name__}: {one_line(error)}"
    if not isinstance(found, dict):
        raise ValueError(
            f"{printable(path)} must hold a JSON object. Received: {problem[:200]}. The file is "
            "damaged, or something else."
        )
    return found
