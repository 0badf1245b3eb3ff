"""No file of a folder is lost without a word."""

import numpy as np
import pytest
from PIL import Image

from keras_distill.jobs.images import image_data


def picture(path, value=0, size=(8, 8), **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value,) * 3).save(path, **how)


@pytest.fixture
def photos(tmp_path):
    picture(tmp_path / "cat" / "a.png", 1)
    picture(tmp_path / "cat" / "b.webp", 2, lossless=True)
    picture(tmp_path / "cat" / "2024" / "may" / "c.tif", 3)
    picture(tmp_path / "cat" / "d.jfif", 4, format="JPEG")
    picture(tmp_path / "cat" / "no suffix", 5, format="PNG")
    picture(tmp_path / "dog" / "E.PNG", 6)
    return tmp_path


def test_all_pictures_below_a_class(photos):
    """Of all formats and names, in subfolders as well."""
    images = image_data.read_labelled(photos, None)
    assert images.class_names == ("cat", "dog")
    assert images.labels.tolist() == [0] * 5 + [1]
    assert sorted(images.pixels[:, 0, 0, 0].tolist()) == [1, 2, 3, 4, 5, 6]
    assert images.broken == ()
    more = image_data.read_unlabelled(photos, None)
    assert sorted(map(bytes, more.pixels)) == sorted(map(bytes, images.pixels))


def test_what_is_left_out_is_listed_with_its_reason(photos):
    (photos / "labels.csv").write_text("a,b")
    (photos / "cat" / "notes.txt").write_text("a cat")
    (photos / "cat" / "cut.png").write_bytes((photos / "cat" / "a.png").read_bytes()[:45])
    (photos / "empty").mkdir()
    (photos / "dog" / "loop").symlink_to(photos / "dog")
    (photos / "dog" / "\x1b[31m\udc80.png").write_bytes(b"")
    (photos / ".DS_Store").write_bytes(b"")
    (photos / "cat" / ".a.png").write_bytes(b"")
    picture(photos / ".thumbnails" / "a.png")
    images = image_data.read_labelled(photos, None)
    assert len(images) == 6
    reasons = dict(line.removeprefix(f"{photos}/").split(": ", 1) for line in images.broken)
    assert reasons.pop("cat/cut.png").startswith("cannot be read, ")
    assert reasons == {
        "labels.csv": "in no folder of a class",
        "empty": "a folder without a file",
        "cat/notes.txt": "not a picture in a raster format that Pillow reads",
        "dog/loop": "a link to a folder that it lies in",
        "dog/\\x1b[31m\\udc80.png": "not a picture in a raster format that Pillow reads",
    }
    assert all(line.isprintable() for line in images.broken)


def test_pictures_of_one_size_and_one_that_is_cut_short(photos):
    """It was decoded where its error ended the job, without its name."""
    cut = photos / "dog" / "cut.png"
    picture(cut, size=(64, 64))
    cut.write_bytes(cut.read_bytes()[:-30])
    (line,) = image_data.read_labelled(photos, (8, 8)).broken
    assert line.startswith(f"{cut}: cannot be read")


def test_a_class_does_not_vanish(photos):
    (photos / "bird").mkdir()
    (photos / "bird" / "a.heic").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(ValueError, match=r"none in bird; left out are 1, the first is .*a\.heic"):
        image_data.read_labelled(photos, None)


def test_one_name_in_two_spellings_is_one_class(tmp_path):
    """An é of one character, or of two as macOS writes it."""
    picture(tmp_path / "caf\u00e9" / "a.png", 1)
    picture(tmp_path / "cafe\u0301" / "b.png", 2)
    picture(tmp_path / "tea" / "c.png", 3)
    images = image_data.read_labelled(tmp_path, None)
    assert images.class_names == ("caf\u00e9", "tea")
    assert images.labels.tolist() == [0, 0, 1]
    assert image_data.read_labelled(tmp_path, None, images.class_names).labels.tolist() == [0, 0, 1]


def test_parts_of_a_data_set_are_no_classes(tmp_path):
    picture(tmp_path / "train" / "cat" / "a.png")
    picture(tmp_path / "test" / "cat" / "a.png")
    with pytest.raises(ValueError, match="test, train, which are parts of a data set"):
        image_data.read_labelled(tmp_path, None)


@pytest.mark.parametrize(
    "names",
    [
        ("test_set", "training_set"),
        ("seg_pred", "seg_test", "seg_train"),
        ("TestSet", "train-2017"),
    ],
)
def test_parts_by_longer_names(tmp_path, names):
    """They were the classes."""
    for name in names:
        picture(tmp_path / name / "cat" / "a.png")
    with pytest.raises(ValueError, match="which are parts of a data set"):
        image_data.read_labelled(tmp_path, None)


def test_classes_may_be_called_like_parts(tmp_path):
    for name in ("bullet train", "steam train"):
        picture(tmp_path / name / "a.png")
    assert len(image_data.read_labelled(tmp_path, None)) == 2


def test_classes_again_within_a_folder(photos):
    """Its pictures were a class of their own, called train."""
    picture(photos / "train" / "cat" / "a.png")
    picture(photos / "train" / "dog" / "2024" / "a.png")
    with pytest.raises(ValueError, match="Received: train, in which there are cat, dog"):
        image_data.read_labelled(photos, None)
    picture(photos / "train" / "a.png")
    assert image_data.read_labelled(photos, None).class_names == ("cat", "dog", "train")


def test_folders_of_test_have_the_classes_of_train(photos):
    names = ("bird", "cat", "dog")
    assert image_data.read_labelled(photos, None, names).labels.tolist() == [1] * 5 + [2]
    with pytest.raises(ValueError, match="other classes: dog"):
        image_data.read_labelled(photos, None, ("cat", "bird"))


def test_several_sizes_need_one(photos):
    """The first file's size, by its name, was that of all."""
    picture(photos / "dog" / "wide.png", size=(20, 8))
    with pytest.raises(ValueError, match=r"image_size must be given.*8 x 8; .*wide.png, 8 x 20"):
        image_data.read_labelled(photos, None)
    assert image_data.read_labelled(photos, (4, 4)).pixels.shape == (7, 4, 4, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_of_the_teacher(photos, channels):
    images = image_data.read_labelled(photos, None, channels=channels)
    assert images.pixels.shape == (6, 8, 8, channels)
    assert sorted(images.pixels[:, 0, 0, 0].tolist()) == [1, 2, 3, 4, 5, 6]


def test_memory(photos):
    """Refused before the second picture is read."""
    with pytest.raises(ValueError, match=r"must fit in memory.*6 images of 8 x 8"):
        image_data.read_labelled(photos, (8, 8), max_bytes=6 * 8 * 8 * 3 - 1)
    assert len(image_data.read_labelled(photos, (8, 8), max_bytes=6 * 8 * 8 * 3)) == 6


def test_names_are_part_of_what_a_job_works_with(photos):
    before = image_data.read_labelled(photos, None)
    (photos / "cat").rename(photos / "a cat")
    after = image_data.read_labelled(photos, None)
    np.testing.assert_array_equal(after.labels, before.labels)
    assert image_data.fingerprint(after) != image_data.fingerprint(before)


def test_no_picture_at_all(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(ValueError, match=r"image that can be read.*1 files.*a\.txt: not a picture"):
        image_data.read_unlabelled(tmp_path, None)
    with pytest.raises(ValueError, match=r"no folder with images in it, 1 left out"):
        image_data.read_labelled(tmp_path, None)
