"""What the page's errors say."""


def check(folder, names, printed):
    assert "has no outputs for 50 of these" in printed
