"""An .npz file is read as it was written, or not at all."""

import io
import zipfile

import numpy as np
import pytest

from keras_distill.jobs.images.npz import read_arrays

ROOM = 2**20


def write(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy(array, shape=None):
    content = io.BytesIO()
    header = np.lib.format.header_data_from_array_1_0(array)
    np.lib.format.write_array_header_1_0(content, {**header, "shape": shape or array.shape})
    return content.getvalue() + array.tobytes()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays(save, tmp_path):
    x, y = np.arange(12).reshape(3, 4), np.array(["a", "b", "ü"])
    save(tmp_path / "d.npz", x=np.asfortranarray(x), y=y, other=x)
    for array, expected in zip(read_arrays(tmp_path / "d.npz", ("x", "y"), ROOM), (x, y)):
        np.testing.assert_array_equal(array, expected)


def test_what_is_too_large_is_not_read(tmp_path):
    """By its header; a few zeros in a zip archive may be many gigabytes."""
    path = write(tmp_path / "d.npz", x=npy(np.zeros(8), shape=(10**9, 10**9)))
    with pytest.raises(ValueError, match=r"d\.npz must fit in memory.*arrays of 7.5e\+09 GiB"):
        read_arrays(path, ("x",), ROOM)
    np.savez(path, x=np.zeros(ROOM // 2, "uint8"), y=np.zeros(ROOM // 2 + 1, "uint8"))
    with pytest.raises(ValueError, match="must fit in memory"):
        read_arrays(path, ("x", "y"), ROOM)


def test_a_header_that_hides_the_checksum(tmp_path):
    """NumPy stops where the header says, and the checksum stands behind it."""
    path = write(tmp_path / "d.npz", x=npy(np.arange(8), shape=(4,)))
    with np.load(path) as arrays:
        assert len(arrays["x"]) == 4
    with pytest.raises(ValueError, match="x has more bytes than its header says"):
        read_arrays(path, ("x",), ROOM)


def test_no_pickle(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.array([{}], object))
    with pytest.raises(ValueError, match=r"Python objects in x.*allow_pickle"):
        read_arrays(tmp_path / "d.npz", ("x",), ROOM)


def test_what_is_no_such_file(tmp_path):
    path = tmp_path / "d.npz"
    with pytest.raises(ValueError, match=r"must be there. Received: .*d\.npz"):
        read_arrays(path, ("x",), ROOM)
    np.savez(path, z=np.zeros(1))
    with pytest.raises(ValueError, match=r"arrays x, y, each once.*\['z'\]; without x, y"):
        read_arrays(path, ("x", "y"), ROOM)
    for content in (b"", b"\x93NUMPY", path.read_bytes()[:-30]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"d\.npz must be an \.npz file as numpy.savez"):
            read_arrays(path, ("z",), ROOM)
