"""What a stranger's file is refused for."""


def check(folder, names, printed):
    assert "Lambda" in printed
