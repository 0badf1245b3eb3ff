"""What the README's reader has: reviews, photos, models of their own."""

import pathlib

import keras
import numpy as np
import tensorflow as tf
from keras import layers

import keras_distill as kd

ROWS = ["the film is good\tgood", "the cafe is bad .\tbad"] * 20

REPLACED = {
    # It would be downloaded. This one reads what the folder of photos holds.
    "EfficientNetV2B0": "photos.keras",
    # Jobs take a minute at least; tests/jobs runs them.
    "--output out\n": "--output out --dry-run\n",
    "--output out_images": "--output out_images --dry-run",
    # The times are another test.
    "preprocessors=read_ids,": "num_threads=(), preprocessors=read_ids,",
}


def prepare(folder, monkeypatch):
    pathlib.Path("train.tsv").write_text("\n".join(["text\tlabel", *ROWS]))
    test = ["the film\tgood", "bad\tbad", "the film is un\tgood", "john lives\tbad"]
    pathlib.Path("test.tsv").write_text("\n".join(["text\tlabel", *test]))
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


def _make_models_with_blocks(names):
    encoder = keras.Sequential(
        [keras.Input((20,)), layers.Dense(12, name="block_4")], name="encoder"
    )
    names["teacher"] = keras.Sequential([keras.Input((20,)), encoder, layers.Dense(2)])
    student = keras.Sequential(
        [keras.Input((20,)), layers.Dense(6, name="block_2"), layers.Dense(2)]
    )
    names["student"] = student
    names["dataset"] = tf.data.Dataset.from_tensor_slices((names["x"], names["y"])).batch(500)
    names["student_ids"] = names["teacher_ids"] = lambda x: x
    hint = kd.Objective(
        kd.losses.FeatureMSE(), teacher_layer="block_4", student_layer="block_2", projector="auto"
    )
    stopped = kd.Distiller(student=student, teacher=names["teacher"], objectives=[hint])
    stopped.compile("adam", names["cross_entropy"])
    stopped.fit(names["dataset"], epochs=4, verbose=0)
    stopped.save("distiller.keras")


def _write_texts(names):
    # Few repeat: untrained, the classes of equal texts would be near ties together.
    names["texts"] = [f"{a} {b} film" for a in ("good", "bad", "dull", "fine") for b in "abcdefgh"]


def _check_the_berts_student(names):
    assert pathlib.Path("student.tflite").exists()
    assert names["teacher"](tf.constant(["the film", "bad"])).shape == (2, 2)
    assert len(names["store"]) == len(ROWS)
    _write_texts(names)


def _make_alone(names):
    names["alone"] = kd.students.text_cnn(names["words"], 2, embedding_dim=4, filters=4)


BEFORE = {
    "hint = kd.Objective(": _make_models_with_blocks,
    "names = train.class_names": _check_the_berts_student,
    'read_table("test.tsv"': _make_alone,
}


def check(folder, names, printed):
    assert "texts to train on, 2 classes" in printed
    assert "16 images of 16 x 16 x 3 to train on" in printed
    # In fifteen lines
    assert (folder / "serving" / "1" / "saved_model.pb").exists()
    # Shipping the student
    assert "token_ids: int32 [1, 32]" in printed
    assert "docker run" in printed
    assert (folder / "models" / "reviews" / "1" / "saved_model.pb").exists()
    # Which model to ship
    assert "Difference(value=" in printed
    assert (folder / "comparison.html").stat().st_size > 10_000
