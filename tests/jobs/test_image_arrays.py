"""Pixels and labels of an .npz file: read as they are meant, or refused."""

import numpy as np
import pytest

from keras_distill.jobs.images import image_data
from keras_distill.jobs.images.image_arrays import to_classes
from keras_distill.jobs.images.image_arrays import to_pixels

LABELS = np.array([1, 0, 2, 1])
NAMES = np.array(["cat", "dog", "eel"])


@pytest.mark.parametrize(
    "y",
    [
        *(LABELS, LABELS.astype("float32"), LABELS.astype("uint64"), LABELS[:, None]),
        *(np.eye(3)[LABELS], np.eye(3, dtype=bool)[LABELS]),
    ],
)
def test_numbers(y):
    labels, names = to_classes("d.npz", y, 4)
    assert (labels.dtype, labels.tolist()) == (np.int32, LABELS.tolist())
    assert names == ("0", "1", "2")


@pytest.mark.parametrize(
    "y", [NAMES[LABELS], NAMES[LABELS].astype("S"), np.char.add(NAMES[LABELS], "\u200b\n")]
)
def test_names(y):
    labels, names = to_classes("d.npz", y, 4)
    assert (labels.tolist(), names) == (LABELS.tolist(), ("cat", "dog", "eel"))


def test_true_and_false():
    labels, names = to_classes("d.npz", np.array([True, False]), 2)
    assert (labels.tolist(), names) == ([1, 0], ("0", "1"))


@pytest.mark.parametrize("y", [[1, -1, 0], [1.0, -1.0, 0.0], [[1], [-1], [0]]])
def test_minus_1_is_no_label(y):
    labels, names = to_classes("d.npz", np.array(y), 3)
    assert (labels.tolist(), names) == ([1, -1, 0], ("0", "1"))
    assert to_classes("d.npz", np.array(y), 3, names)[0].tolist() == [1, -1, 0]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 1.5], r"Received: 1\.5, of image 1"),
        ([0, np.nan], "Received: nan, of image 1"),
        ([0, np.inf], "Received: inf"),
        ([0, -2], "Received: -2, of image 1"),
        ([0, 2**40], f"Received: {2**40}"),
        ([0, 2], r"each class from 0 to 2.*none of 1\."),
        ([1, 2], r"each class from 0 to 2.*none of 0\."),
        ([0, 10**8], r"none of 1, 2, 3, 4, 5\."),
        ([[0.9, 0.1], [0, 1]], "which is not one-hot"),
        ([[1, 1], [0, 1]], "which is not one-hot"),
        ([[0, 0], [0, 1]], "which is not one-hot"),
        ([[1, 0], [np.nan, 1]], "which is not one-hot"),
        ([[1, 0, 0], [0, 0, 1]], r"none of 1\."),
        ([["a", "b"], ["a", "b"]], "Received: <U1"),
        (["a", "-1", "b"], "Received: the name '-1'"),
        (["a", ""], "an empty name, of image 1"),
        ([b"a", b"\xff"], "one class for each image"),
        (np.array([2**31 - 1, 97], "<u4").view("<U1"), "Received: <U1"),
        ([0, 1j], "Received: complex128"),
        (np.array(["2020", "2021"], "datetime64[Y]"), "Received: datetime64"),
        (np.zeros((2, 2, 2)), r"Received: float64 \(2, 2, 2\)"),
        ([0, 1, 1], "2 images, labels of shape"),
        (0, "2 images, labels of shape"),
    ],
)
def test_what_is_ambiguous_is_refused(y, message):
    with pytest.raises(ValueError, match=rf"d\.npz must have.*{message}"):
        to_classes("d.npz", np.array(y), len(y) if message.startswith("Received: the") else 2)


class TestClassesOfTheTrainingImages:
    def test_by_name(self):
        labels, _ = to_classes("d.npz", np.array(["dog", "cat"]), 2, ("cat", "dog", "eel"))
        assert labels.tolist() == [1, 0]
        with pytest.raises(ValueError, match="Received: emu"):
            to_classes("d.npz", np.array(["dog", "emu"]), 2, ("cat", "dog"))

    def test_numbers_are_names_where_names_are_numbers(self):
        """Folders are sorted as texts: the third class of ten is the folder 2, not the index 2."""
        labels, _ = to_classes("d.npz", np.array([10, 2, 1]), 3, ("1", "10", "2"))
        assert labels.tolist() == [1, 2, 0]
        with pytest.raises(ValueError, match="a label of 0"):
            to_classes("d.npz", np.array([0, 1]), 2, ("1", "10", "2"))

    def test_numbers_count_names(self):
        assert to_classes("d.npz", np.array([1, 1]), 2, ("a", "b"))[0].tolist() == [1, 1]
        with pytest.raises(ValueError, match=r"classes of the training images, 2.*label of 5"):
            to_classes("d.npz", np.array([0, 5]), 2, ("a", "b"))

    def test_numbers_are_names_with_a_point(self):
        """np.array([1.0, 2.0]).astype(str) has such names."""
        labels, _ = to_classes("d.npz", np.array([2, 1]), 2, ("1.0", "2.0", "3.0"))
        assert labels.tolist() == [1, 0]

    def test_one_hot_columns_are_classes(self):
        names = ("1", "2", "3")
        assert to_classes("d.npz", np.eye(3)[[2, 2]], 2, names)[0].tolist() == [2, 2]
        with pytest.raises(ValueError, match="2 columns"):
            to_classes("d.npz", np.eye(2), 2, names)

    @pytest.mark.parametrize(
        ("y", "names"),
        [
            (np.eye(3)[[2, 2]], ("1", "10", "2")),
            (np.array([2, 1]), ("class_1", "class_10", "class_2")),
            (np.array([1, 2]), ("1", "2", "none")),
            (np.array([0, 2]), ("0", "2", "two")),
        ],
    )
    def test_what_can_be_read_in_two_ways(self, y, names):
        with pytest.raises(ValueError, match=r"two ways\. Received.*Save the names"):
            to_classes("d.npz", y, 2, names)


class TestPixels:
    X = np.random.default_rng(0).integers(0, 256, (4, 6, 5, 3), dtype="uint8")

    @pytest.mark.parametrize("kind", ["uint8", "int64", "float32", ">u2"])
    def test_whole_numbers(self, kind):
        pixels = to_pixels("d.npz", self.X.astype(kind), 3)
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, self.X)

    def test_gray(self):
        np.testing.assert_array_equal(to_pixels("d.npz", self.X[..., 0], 1), self.X[..., :1])

    @pytest.mark.parametrize(
        ("x", "message"),
        [
            (X / 255, r"float64 .*from 0.* to 1\. Save np.rint\(255"),
            (np.ones((2, 4, 4), "float32"), "from 1 to 1. Save"),
            (X // 255, r"uint8 .*from 0 to 1\. .* not been divided"),
            (X * 0, "uint8 .*from 0 to 0"),
            (X / 2.0, "from 0 to 127.5"),
            (X.astype("int16") - 1, "int16 .*from -1 to 254"),
            (X.astype("uint16") * 257, "from 0 to 65535"),
            (np.where(X == 0, np.nan, X), "from nan to nan"),
            (X > 100, "Received: bool"),
            (X[:0], r"\(0, 6, 5, 3\)"),
            (X[0, 0], r"\(5, 3\)"),
            (X.astype(str), "Received: <U"),
        ],
    )
    def test_what_is_refused(self, x, message):
        with pytest.raises(ValueError, match=f"uint8.*from 0 to 255.*{message}"):
            to_pixels("d.npz", x, None)

    def test_channels(self):
        with pytest.raises(ValueError, match=r"teacher reads, 1, .*shape \(6, 5, 3\)"):
            to_pixels("d.npz", self.X, 1)


def test_a_file(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (6, 9, 7), dtype="uint8")
    np.savez(tmp_path / "d.npz", x=x, y=np.array(list("abbaab"))[:, None])
    images = image_data.read_labelled(tmp_path / "d.npz", (4, 4))
    assert images.pixels.shape == (6, 4, 4, 1)
    assert images.class_names == ("a", "b")
    with pytest.raises(ValueError, match="must fit in memory"):
        image_data.read_labelled(tmp_path / "d.npz", (400, 400), max_bytes=900_000)
