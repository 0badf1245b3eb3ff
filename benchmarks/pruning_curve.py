"""Size and accuracy of one student, pruned while its teacher goes on teaching it.

    python benchmarks/pruning_curve.py FOLDER_OF_MNIST_IDX_FILES [--seeds 3]

The student is taught once for each seed, and from there again, for the same steps and under the
same teacher, at each sparsity, 0 among them. The files are run by LiteRT on the whole test set;
sizes are those of the files, and of the files compressed by gzip at its best. Half an hour on
two cores that others kept busy.
"""

import argparse
import gzip
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import idx_files
import keras
import numpy as np
import tensorflow as tf

import keras_distill as kd
from keras_distill.export.tflite import trusted_file

SPARSITIES = (0.0, 0.5, 0.75, 0.9, 0.95)
NUM_IMAGES, BATCH_SIZE = 20_000, 64
NUM_PARAMETERS = 12_000
# Learning rate and steps of the teaching, and of the pruning after it.
TEACHING, PRUNING = (3e-3, 600), (3e-3, 600)
# The sparsity rises for the first steps of the pruning; the others mend what it broke.
RISING_STEPS, FREQUENCY = 300, 10
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def train_teacher(x, y):
    keras.utils.set_random_seed(0)
    teacher = kd.students.plain_cnn((28, 28, 1), 10, num_layers=3, filters=32, num_stages=3)
    teacher.compile(keras.optimizers.Adam(cosine(3e-3, 600)), CROSS_ENTROPY)
    batches = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=0)
    teacher.fit(batches.batch(BATCH_SIZE).repeat(), steps_per_epoch=600, shuffle=False, verbose=0)
    return teacher


def cosine(learning_rate, num_steps):
    return keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)


def fit(distiller, batches, learning_rate, num_steps, callbacks=()):
    optimizer = keras.optimizers.Adam(cosine(learning_rate, num_steps))
    distiller.compile(optimizer, CROSS_ENTROPY)
    distiller.fit(
        batches, steps_per_epoch=num_steps, shuffle=False, verbose=0, callbacks=list(callbacks)
    )


def rising(sparsity):
    return keras.optimizers.schedules.PolynomialDecay(0.0, RISING_STEPS, sparsity, power=3.0)


def measure(student, quantization, x, y, representative_data):
    """KB of the file, KB of it compressed, and the file's accuracy in percent."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "student.tflite"
        kd.export_tflite(
            student, path, quantization=quantization, representative_data=representative_data
        )
        content = path.read_bytes()
    file = trusted_file.open_file(content)
    (name,) = file.get_signature_runner().get_input_details()
    (logits,) = trusted_file.run_file(file, {name: x}, 1).values()
    compressed = gzip.compress(content, 9, mtime=0)
    return len(content) / 1000, len(compressed) / 1000, 100 * np.mean(logits.argmax(-1) == y)


def curve(seed, data, logits):
    """Yields a sparsity, a quantization and what was measured of that student."""
    x, y, x_test, y_test = data
    keras.utils.set_random_seed(seed)
    student = kd.students.plain_cnn(
        (28, 28, 1), 10, num_layers=3, num_stages=3, num_parameters=NUM_PARAMETERS
    )
    distiller = kd.Distiller(
        student=student, alpha=0.1, soft_loss=kd.losses.SoftTargetKL(4.0, teacher_from_logits=True)
    )
    inputs = kd.DistillationInputs(x, teacher_outputs=logits)
    batches = tf.data.Dataset.from_tensor_slices((inputs, y)).shuffle(len(x), seed=seed)
    batches = batches.batch(BATCH_SIZE).repeat().prefetch(2)
    fit(distiller, batches, *TEACHING)
    taught = student.get_weights()
    for sparsity in SPARSITIES:
        student.set_weights(taught)
        # The first and the last layer have few weights: of the logits' 240, a sparsity of 0.95
        # would leave 12 for ten classes.
        exclude = ("conv_1", "logits")
        pruning = kd.callbacks.Pruning(rising(sparsity), frequency=FREQUENCY, exclude=exclude)
        fit(distiller, batches, *PRUNING, [pruning])
        for quantization in ("none", "int8"):
            yield sparsity, quantization, measure(student, quantization, x_test, y_test, x[:200])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    x, y, x_test, y_test = idx_files.load(arguments.data)
    x, *test = np.rint(255 * x), np.rint(255 * x_test), y_test
    x, y = x[:NUM_IMAGES], y[:NUM_IMAGES]
    teacher = train_teacher(x, y)
    accuracy = np.mean(teacher.predict(test[0], verbose=0).argmax(-1) == test[1])
    print(f"teacher: {teacher.count_params()} parameters, {100 * accuracy:.2f} %", flush=True)
    logits = teacher.predict(x, batch_size=500, verbose=0)
    found = {}
    for seed in range(arguments.seeds):
        for sparsity, quantization, measured in curve(seed, (x, y, *test), logits):
            print(seed, sparsity, quantization, *measured, flush=True)
            found.setdefault((sparsity, quantization), []).append(measured)
    print("| sparsity | float32 KB | gzip KB | accuracy | int8 KB | gzip KB | accuracy |")
    print("|---|---|---|---|---|---|---|")
    for sparsity in SPARSITIES:
        cells = []
        for quantization in ("none", "int8"):
            size, compressed, accuracy = np.array(found[sparsity, quantization]).T
            spread = f" ± {accuracy.std(ddof=1):.2f}" if len(accuracy) > 1 else ""
            cells += [f"{size.mean():.1f}", f"{compressed.mean():.1f}"]
            cells.append(f"{accuracy.mean():.2f}{spread}")
        print(f"| {sparsity:g} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
