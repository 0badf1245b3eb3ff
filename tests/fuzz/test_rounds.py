"""How many damaged files are read in all."""

import pathlib
import re

import pytest
from fuzzing import ROUNDS

HERE = pathlib.Path(__file__).parent


def test_the_table_of_rounds(request):
    found = request.config.stash[ROUNDS]
    page = (HERE.parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"\| `(test_\w+\.py)` \| ([\d,]+) \|", page)
    listed = {name: int(number.replace(",", "")) for name, number in rows}
    assert sum(listed.values()) >= 10_000
    if set(found) != set(listed):
        pytest.skip("Counts the rounds of all files in tests/fuzz together.")
    assert found == listed
