"""What the README's reader has: reviews and photos."""

import pathlib

import keras
import numpy as np
from keras import layers

ROWS = ["the film is good\tgood", "the cafe is bad .\tbad"] * 20

REPLACED = {
    # It would be downloaded. This one reads what the folder of photos holds.
    "EfficientNetV2B0": "photos.keras",
    # Jobs take a minute at least; tests/jobs runs them.
    "--output out\n": "--output out --dry-run\n",
    "--output out_bert": "--output out_bert --dry-run",
    "--output out_images": "--output out_images --dry-run",
}


def prepare(folder, monkeypatch):
    reviews = [row.replace("\t", f" {number},") for number, row in enumerate(ROWS)]
    pathlib.Path("reviews.csv").write_text("\n".join(["text,label", *reviews]))
    pathlib.Path("more.txt").write_text("the film\nthe cafe is un good\n")
    _write_photos(pathlib.Path("photos"))


def _write_photos(folder):
    """Two classes of noise, and a teacher that tells light from dark."""
    rng = np.random.default_rng(0)
    for name, brightest in (("dark", 100), ("light", 250)):
        (folder / name).mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(0, brightest, (16, 16, 3))
            keras.utils.save_img(folder / name / f"{number}.png", pixels, scale=False)
    inputs = keras.Input((16, 16, 3))
    logits = layers.Dense(2)(layers.GlobalAveragePooling2D()(inputs))
    model = keras.Model(inputs, logits)
    model.layers[-1].set_weights([np.repeat([[-0.02, 0.02]], 3, axis=0), np.array([4.0, -4.0])])
    model.save("photos.keras")


def check(folder, names, printed):
    assert "texts to train on, 2 classes" in printed
    assert "16 images of 16 x 16 x 3 to train on" in printed
    # In fifteen lines
    assert (folder / "serving" / "1" / "saved_model.pb").exists()
