"""Images are scaled as Keras scales those that teachers were trained on."""

import keras
import numpy as np
from PIL import Image

from keras_distill.jobs.images import image_data
from keras_distill.jobs.images import scaling

PHOTOS = np.random.default_rng(0).integers(0, 256, (2, 90, 70, 3), dtype="uint8")


def test_as_the_loader_and_the_layer_of_keras(tmp_path):
    """Of a folder, of an .npz file, of images without labels."""
    for name, photo in zip("ab", PHOTOS):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.fromarray(photo).save(tmp_path / "photos" / name / "x.png")
    np.savez(tmp_path / "d.npz", x=PHOTOS, y=[0, 1])
    for size in ((24, 32), (90, 71), (200, 100)):
        loaded = keras.utils.image_dataset_from_directory(
            tmp_path / "photos", image_size=size, shuffle=False, verbose=0
        )
        expected = np.rint(np.concatenate([x for x, _ in loaded]))
        layer = keras.layers.Resizing(*size, dtype="float32")
        np.testing.assert_array_equal(expected, np.rint(layer(PHOTOS)))
        for path in (tmp_path / "photos", tmp_path / "d.npz"):
            np.testing.assert_array_equal(image_data.read_labelled(path, size).pixels, expected)
            np.testing.assert_array_equal(image_data.read_unlabelled(path, size).pixels, expected)


def test_in_parts(monkeypatch):
    whole = scaling.scaled(PHOTOS, (20, 30))
    monkeypatch.setattr(scaling, "_MAX_PIXELS", 1)
    np.testing.assert_array_equal(scaling.scaled(PHOTOS, (20, 30)), whole)
