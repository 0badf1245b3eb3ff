"""A small table, and a served model of it in place of the reader's."""

import shlex

import keras
import tensorflow as tf

import keras_distill as kd
from keras_distill_cli import command as cli

WORDS = {"good": ("good", "fine"), "bad": ("bad", "dull")}
REPLACED = {"epochs=3": "epochs=1"}


def plan(code, names):
    """tests/jobs runs whole jobs."""
    _, *arguments = shlex.split(code.replace("\\\n", " "))
    assert cli.main([*arguments, "--dry-run"]) == 0


RUN = {"keras-distill text": plan}


def prepare(folder, monkeypatch):
    rows = [(f"the {x} is {w}", name) for x in "abcdefgh" for name, ws in WORDS.items() for w in ws]
    lines = ["text,label", *map(",".join, rows)]
    (folder / "train.csv").write_text("\n".join(lines) + "\n")
    (folder / "more.txt").write_text("".join(f"the {x} is fair\n" for x in "ijklmnop"))
    texts = keras.Input((), dtype="string", name="text")
    lookup = keras.layers.TextVectorization(output_mode="multi_hot")
    lookup.adapt(tf.constant([text for text, _ in rows]))
    model = keras.Model(texts, keras.layers.Dense(2)(lookup(texts)))
    model.export(folder / "logits", verbose=False)
    serve = tf.function(
        lambda text: {
            "label": tf.gather(tf.constant(["bad", "good"]), tf.argmax(model(text), -1)),
            "probabilities": tf.nn.softmax(model(text)),
        },
        input_signature=[tf.TensorSpec([None], tf.string, "text")],
        autograph=False,
    )
    tf.saved_model.save(
        model, str(folder / "models/reviews/1"), signatures={"serving_default": serve}
    )


def check(folder, names, printed):
    assert isinstance(names["store"], kd.TeacherStore)
    assert len(names["store"]) == 32
