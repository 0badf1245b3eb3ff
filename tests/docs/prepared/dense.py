"""What the page prints of its detector and its segmentation."""


def check(folder, names, printed):
    assert "(16, 32, 32, 3)" in printed
    # Else its losses would be zeros.
    assert int(printed.split(" anchors with a box")[0].split()[-1]) > 0
    assert names["history"]["region_mse"][0] > 0
    assert len(names["written"]) == 3
