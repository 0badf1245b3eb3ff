"""Size, latency and agreement of TFLite files, for every kind of model and mode.

    python benchmarks/export_table.py [--only cnn,text_cnn] [--modes none,int8]

Prints one table in Markdown: models with random weights, so that no download is needed; sizes and
latencies do not depend on their values. Inputs are of ten classes: texts with words of their own, a
quarter of each padding, and images with a pattern of their own and noise. The last layer tells the
classes apart by the means of its features, so that top-1 agreement is not that of near ties.
Modes that are calibrated get
three times as many examples: two thirds calibrate, and the file is checked on the others.
Difference: the largest, and its share of the range of Keras's output, which is what the tolerances
limit. ms: median of one run, in a process of its own. Refused: with the reason's start.
"""

import argparse
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras_hub
import numpy as np

import keras_distill as kd
from keras_distill.export.tflite.modes import MODES

NUM_CLASSES, LENGTH, VOCABULARY = 10, 32, 8000
NUM_EXAMPLES = 50
# Of many classes the untrained are near ties, and their order is no failure here.
TOLERANCE = 1.0


def cnn():
    image = keras.Input((28, 28, 1), name="image")
    x = image
    for filters in (16, 32, 64):
        x = keras.layers.Conv2D(filters, 3, strides=2, use_bias=False)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(NUM_CLASSES, name="logits")(x))


def application(build, size):
    return lambda: build(
        input_shape=(size, size, 3), weights=None, classes=NUM_CLASSES, classifier_activation=None
    )


def bert():
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=VOCABULARY,
        num_layers=4,
        num_heads=4,
        hidden_dim=256,
        intermediate_dim=1024,
        max_sequence_length=LENGTH,
    )
    inputs = {
        name: keras.Input((LENGTH,), dtype="int32", name=name)
        for name in ("token_ids", "segment_ids", "padding_mask")
    }
    pooled = backbone(inputs)["pooled_output"]
    return keras.Model(inputs, keras.layers.Dense(NUM_CLASSES, name="logits")(pooled))


def two_in_two_out():
    ids = keras.Input((LENGTH,), dtype="int32", name="ids")
    features = keras.Input((16,), name="features")
    x = keras.layers.Embedding(VOCABULARY, 32)(ids)
    x = keras.layers.Conv1D(64, 3, activation="relu")(x)
    x = keras.layers.Concatenate()([keras.layers.GlobalMaxPooling1D()(x), features])
    x = keras.layers.Dense(64, activation="relu")(x)
    outputs = {"topic": keras.layers.Dense(NUM_CLASSES)(x), "urgency": keras.layers.Dense(3)(x)}
    return keras.Model({"ids": ids, "features": features}, outputs)


def text(build, **arguments):
    return lambda: build(VOCABULARY, NUM_CLASSES, **arguments)


MODELS = {
    "cnn": cnn,
    "MobileNetV2 96": application(keras.applications.MobileNetV2, 96),
    "MobileNetV3Small 96": application(keras.applications.MobileNetV3Small, 96),
    "EfficientNetB0 96": application(keras.applications.EfficientNetB0, 96),
    "text_cnn": text(kd.students.text_cnn, embedding_dim=64),
    "bilstm": text(kd.students.bilstm, embedding_dim=64, units=64),
    "bilstm, unrolled": text(
        kd.students.bilstm, embedding_dim=64, units=64, sequence_length=LENGTH, unroll=True
    ),
    "transformer": text(kd.students.transformer, hidden_dim=128, num_layers=2, num_heads=4),
    "pairs, text_cnn": text(kd.students.text_cnn, embedding_dim=64, pairs=True),
    "BERT of KerasHub, 4 layers": bert,
    "two in, two out": two_in_two_out,
}
DEFAULT_MODES = ("none", "float16", "dynamic", "int8", "int4")


def examples(model):
    """Inputs by name: ids with padding, masks of ones, noise; as many as a calibrated mode gets."""
    generator = np.random.default_rng(0)
    inputs = {}
    for tensor in keras.tree.flatten(model.inputs):
        shape = (3 * NUM_EXAMPLES, *(LENGTH if size is None else size for size in tensor.shape[1:]))
        if len(shape) == 4:
            values = images(generator, shape)
        elif tensor.dtype != "int32":
            values = generator.normal(size=shape).astype("float32")
        elif tensor.name == "segment_ids":
            values = np.zeros(shape, "int32")
        else:
            is_mask = tensor.name == "padding_mask"
            values = np.ones(shape) if is_mask else ids(generator, shape)
            values[..., 3 * shape[-1] // 4 :] = 0
            values = values.astype("int32")
        inputs[tensor.name] = values
    return inputs


def ids(generator, shape):
    """Each class in turn; it has a tenth of the vocabulary."""
    size = VOCABULARY // NUM_CLASSES
    classes = np.arange(shape[0]) % NUM_CLASSES
    first = size * classes.reshape(-1, *[1] * (len(shape) - 1))
    return first + generator.integers(1, size, shape)


def images(generator, shape):
    """Each class in turn; grey values of 0 to 255."""
    patterns = keras.ops.image.resize(
        generator.normal(size=(NUM_CLASSES, 6, 6, shape[-1])), shape[1:3]
    )
    noise = 0.5 * generator.normal(size=shape)
    values = 128 + 50 * (np.take(patterns, np.arange(shape[0]) % NUM_CLASSES, axis=0) + noise)
    return np.clip(values, 0, 255).astype("float32")


def teach_classes(model, inputs):
    """Settles the normalization; the last layer then goes by the nearest mean."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    (x,) = inputs.values() if len(inputs) == 1 else (inputs,)
    model(x, training=True)
    head = [layer for layer in model.layers if hasattr(layer, "kernel")][-1]
    features = keras.Model(model.input, head.input).predict(x, verbose=0)
    features = features.reshape(NUM_EXAMPLES, -1)
    middle = features.mean(axis=0)
    means = np.stack([features[n::NUM_CLASSES].mean(axis=0) for n in range(NUM_CLASSES)]) - middle
    square_norms = np.sum(means**2, axis=1)
    scale = 5 / square_norms.mean()
    head.kernel.assign(np.reshape(scale * means.T, head.kernel.shape))
    head.bias.assign(-scale * (means @ middle + square_norms / 2))


def row(name, model, inputs, mode, folder):
    path = folder / "model.tflite"
    try:
        report = kd.export_tflite(
            model,
            path,
            quantization=mode,
            representative_data=inputs,
            sequence_length=LENGTH,
            tolerance=TOLERANCE,
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).split(". ")[0]
        return f"| {name} | {mode} | refused: {reason} | | | | | |"
    first = {key: values[:1] for key, values in inputs.items()}
    if len(first) == 1:
        first = {kd.describe(path).inputs[0].name: values for values in first.values()}
    ms = [kd.benchmark(path, num_threads=threads, inputs=first).median_ms for threads in (1, 2)]
    return (
        f"| {name} | {mode} | {report.num_bytes / 1024:,.0f} | {ms[0]:.3f} | {ms[1]:.3f} "
        f"| {report.max_difference:.1e} | {report.max_relative_difference:.4f} "
        f"| {report.top1_agreement:.2f} |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=";".join(MODELS), help="models, parted by ;")
    parser.add_argument("--modes", default=",".join(DEFAULT_MODES), help="modes, parted by commas")
    arguments = parser.parse_args()
    print("| model | mode | KB | ms, 1 thread | ms, 2 threads | difference | of range | top-1 |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only.split(";"):
            keras.utils.set_random_seed(0)
            model = MODELS[name]()
            many = examples(model)
            inputs = {name: values[:NUM_EXAMPLES] for name, values in many.items()}
            if len(model.outputs) == 1:
                teach_classes(model, inputs)
            for mode in arguments.modes.split(","):
                data = many if MODES[mode].is_calibrated else inputs
                print(row(name, model, data, mode, pathlib.Path(folder)), flush=True)


if __name__ == "__main__":
    main()
