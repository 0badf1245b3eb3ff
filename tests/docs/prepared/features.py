"""What the page's wrong path is told."""


def check(folder, names, printed):
    assert "names no layer of" in printed
    assert "block_1" in printed
