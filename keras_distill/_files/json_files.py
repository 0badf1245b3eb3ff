"""Small JSON files of any origin: settings of runs and of tokenizers."""

import json
import pathlib

from keras_distill._arguments.printable import one_line
from keras_distill._arguments.printable import printable


def read_json_object(path):
    """Reads a file that contains one JSON object.

    Args:
        path: The file.

    Returns:
        A dict.

    Raises:
        ValueError: If it cannot be read, or contains something else. The message has the path.
    """
    try:
        found = json.loads(pathlib.Path(path).read_text(encoding="utf-8-sig"))
        problem = f"a {type(found).__name__}"
    # Invalid UTF-8 also raises a ValueError, and too deep nesting a RecursionError.
    except (OSError, ValueError, RecursionError) as error:
        found, problem = None, f"{type(error).__name__}: {one_line(error)}"
    if not isinstance(found, dict):
        raise ValueError(
            f"{printable(path)} must hold a JSON object. Received: {problem[:200]}. The file is "
            "damaged, or something else."
        )
    return found
