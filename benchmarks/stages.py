"""What teaching in stages, in generations, by assistants and by two students is worth: one table.

    python benchmarks/stages.py FOLDER_OF_IDX_FILES [--seeds 3]

The folder has the four idx .gz files of MNIST or of Fashion-MNIST. All networks are dense, on
images of 14x14; all learn from the same 5,000 labelled images, with the same number of epochs in
total for every model (an assistant's, and earlier generations', come on top). Each seed has a
teacher of its own. The settings are tuned on nothing. Prints the accuracy on the test set in
percent, mean and standard deviation, and the difference to the row that it is compared with, seed
by seed.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import idx_files
import keras
import numpy as np
from keras import layers

import keras_distill as kd
from keras_distill.teaching import Stage
from keras_distill.teaching import fit_chain
from keras_distill.teaching import fit_stages

NUM_IMAGES, EPOCHS, HINT_EPOCHS = 5000, 20, 8
FIT = {"batch_size": 128, "verbose": 0}
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
TEACHER, DEEP, ASSISTANT, SMALL = (256, 256, 256), (32,) * 8, (48,), (6,)
# The row that each is compared with.
COMPARED = {
    "deep, KD": "deep, alone",
    "deep, FitNets in two stages": "deep, KD",
    "deep, hint and labels": "deep, alone",
    "deep, KD from the students of KD and of hint and labels": "deep, KD",
    "small, KD": "small, alone",
    "small, KD from the assistant": "small, KD",
    "generation 1": "teacher",
    "generation 2": "teacher",
    "generation 3": "teacher",
    "ensemble of the generations": "generation 3",
}


def network(widths):
    hidden = [layers.Dense(width, "relu", name=f"hidden_{i}") for i, width in enumerate(widths, 1)]
    return keras.Sequential([keras.Input((196,)), *hidden, layers.Dense(10, name="logits")])


def on_outputs(epochs=EPOCHS, **kwargs):
    optimizer = keras.optimizers.Adam(2e-3)
    return [Stage("outputs", epochs=epochs, optimizer=optimizer, loss=CROSS_ENTROPY, **kwargs)]


def hint():
    """As in the paper: middle of the teacher to middle of the student."""
    return kd.Objective(
        kd.losses.FeatureMSE(), teacher_layer="hidden_2", student_layer="hidden_4", projector="auto"
    )


def fitnets(student):
    """First the hint, then the outputs."""
    up_to_hint = {"alpha": 1.0, "objectives": [hint()], "frozen": student.layers[4:]}
    optimizer = keras.optimizers.Adam(2e-3)
    first = Stage("hint", epochs=HINT_EPOCHS, optimizer=optimizer, **up_to_hint)
    return [first, *on_outputs(EPOCHS - HINT_EPOCHS)]


def models_of(seed, x, y):
    """Dict from the name of each row to its model."""

    def taught(widths, teacher, make_stages):
        keras.utils.set_random_seed(seed)
        student = network(widths)
        fit_stages(make_stages(student), x, y, student=student, teacher=teacher, **FIT)
        return student

    def alone(student):
        return on_outputs(alpha=1.0)

    def hint_and_labels(student):
        return on_outputs(alpha=1.0, objectives=[hint()])

    def kd_stage(student):
        return on_outputs(alpha=0.1, temperature=4.0)

    models = {"teacher": taught(TEACHER, None, alone)}
    teacher = models["teacher"]
    models["deep, alone"] = taught(DEEP, None, alone)
    models["deep, KD"] = taught(DEEP, teacher, kd_stage)
    models["deep, FitNets in two stages"] = taught(DEEP, teacher, fitnets)
    models["deep, hint and labels"] = taught(DEEP, teacher, hint_and_labels)
    both = kd.teachers.Ensemble([models["deep, KD"], models["deep, hint and labels"]])
    models["deep, KD from the students of KD and of hint and labels"] = taught(DEEP, both, kd_stage)
    models["small, alone"] = taught(SMALL, None, alone)
    models["small, KD"] = taught(SMALL, teacher, kd_stage)
    keras.utils.set_random_seed(seed)
    chain = [network(widths) for widths in (SMALL, ASSISTANT)][::-1]
    fit_chain(kd_stage(None), x, y, students=chain, teacher=teacher, **FIT)
    models["assistant"], models["small, KD from the assistant"] = chain
    keras.utils.set_random_seed(100 + seed)
    generations, _ = fit_chain(
        on_outputs(alpha=0.5, temperature=1.0),
        x,
        y,
        students=[lambda: network(TEACHER)] * 3,
        teacher=teacher,
        **FIT,
    )
    for number, generation in enumerate(generations, 1):
        models[f"generation {number}"] = generation
    models["ensemble of the generations"] = kd.teachers.Ensemble(generations)
    return models


def load(folder):
    x_train, y_train, x_test, y_test = idx_files.load(folder)
    x_train, x_test = (
        x.reshape(-1, 14, 2, 14, 2).mean((2, 4)).reshape(-1, 196) for x in (x_train, x_test)
    )
    return x_train[:NUM_IMAGES], y_train[:NUM_IMAGES], x_test, y_test


def accuracy(model, x, y):
    return 100 * np.mean(model.predict(x, batch_size=1000, verbose=0).argmax(-1) == y)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    x_train, y_train, x_test, y_test = load(arguments.folder)
    found, teachers = {}, []
    for seed in range(arguments.seeds):
        models = models_of(seed, x_train, y_train)
        teachers.append(models["teacher"])
        for name, model in models.items():
            found.setdefault(name, []).append(accuracy(model, x_test, y_test))
            print(seed, name, f"{found[name][-1]:.2f}", flush=True)
    for name, values in found.items():
        row = f"| {name} | {np.mean(values):.2f} ± {np.std(values, ddof=1):.2f} |"
        gains = np.subtract(values, found[COMPARED.get(name, name)])
        print(row, ", ".join(f"{gain:+.2f}" for gain in gains) if name in COMPARED else "", "|")
    together = accuracy(kd.teachers.Ensemble(teachers), x_test, y_test)
    print(f"| ensemble of the {len(teachers)} teachers | {together:.2f} | |")


if __name__ == "__main__":
    main()
