"""What a student loses that learns from stored answers: MNIST, live teacher against stores.

    python benchmarks/store_dtypes.py FOLDER_OF_IDX_FILES [--seeds 5]

Test accuracy of a student of one hidden layer that learns from a larger network: live, stored as
float32, as float16, and as the 3 most likely classes. Same order, same start, seed by seed.
"""

import argparse
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import idx_files
import keras
import numpy as np
import tensorflow as tf

import keras_distill as kd

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
SETTINGS = {"float32": {"dtype": "float32"}, "float16": {}, "top 3": {"top_k": 3}}


def make_network(*widths):
    inputs = features = keras.Input((28, 28, 1))
    features = keras.layers.Flatten()(features)
    for width in widths:
        features = keras.layers.Dense(width, activation="relu")(features)
    return keras.Model(inputs, keras.layers.Dense(10)(features))


def train_student(data, teacher, num_examples, seed):
    keras.utils.set_random_seed(seed)
    soft_loss = kd.losses.SoftTargetKL(2.0, teacher_from_logits=True)
    distiller = kd.Distiller(student=make_network(64), teacher=teacher, soft_loss=soft_loss)
    schedule = kd.optimizers.WarmupLinearDecay(2e-3, 5 * num_examples // 128)
    distiller.compile(keras.optimizers.Adam(schedule), CROSS_ENTROPY)
    batches = data.shuffle(num_examples, seed=seed).batch(128)
    distiller.fit(batches, epochs=5, shuffle=False, verbose=0)
    return distiller.student


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="of MNIST's four idx .gz files")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)
    x_train, y_train, x_test, y_test = idx_files.load(arguments.folder)
    teacher = make_network(512, 512)
    teacher.compile("adam", CROSS_ENTROPY)
    teacher.fit(x_train, y_train, batch_size=128, epochs=3, verbose=0)
    examples = tf.data.Dataset.from_tensor_slices((x_train, y_train))
    datasets = {"live": examples}
    with tempfile.TemporaryDirectory() as folder:
        for name, settings in SETTINGS.items():
            path = pathlib.Path(folder, name)
            store = kd.TeacherStore.build(examples, teacher, path, verbose=0, **settings)
            datasets[name] = store.attach(examples)
        accuracies = {name: [] for name in datasets}
        for seed in range(arguments.seeds):
            for name, data in datasets.items():
                live_teacher = teacher if name == "live" else None
                student = train_student(data, live_teacher, len(x_train), seed)
                logits = student.predict(x_test, batch_size=1000, verbose=0)
                accuracies[name].append(np.mean(np.argmax(logits, -1) == y_test))
    print("| test accuracy | " + " | ".join(f"seed {n}" for n in range(arguments.seeds)), end="")
    print(" | mean |\n|" + "---|" * (arguments.seeds + 2))
    for name, values in accuracies.items():
        cells = [f"{value:.4f}" for value in (*values, np.mean(values))]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
