"""Distils an intent classifier for a phone and for TF Serving, in about three minutes.

    python examples/quickstart.py

The task: CLINC150, 150 intents of short requests, with ten labels per intent (1,500 in
all), and the other 13,500 training texts without labels. The teacher, four networks
averaged, learns from the labels. The student is 14 times smaller. It is trained once
alone, on the labels, and once by the teacher, which answers for all 15,000 texts. Both
take the same number of steps.

Writes to saved_models/quickstart: student.tflite with vocabulary.txt and labels.txt,
serving/1 (a SavedModel that takes text), and results.png.

Measured on two CPU cores, 2.2 minutes in all; mean and standard deviation of the seeds:

    model                       parameters   test accuracy      file  a sentence
    teacher                      3,227,992      82.3        12.97 MB     0.84 ms
    student alone                  230,806      77.5 +- 0.1  0.93 MB     0.02 ms
    student distilled              230,806      82.4 +- 0.1  0.93 MB     0.02 ms
    distilled, 8-bit weights       230,806      82.4         0.31 MB     0.01 ms

Settings were chosen on dev, for each student its own.

Where the gain comes from, and where there is little. Test accuracy of the same student in as
many steps, three seeds, one teacher for each set of labels; these are printed by
`python benchmarks/quickstart_settings.py`:

- With ten other labels per intent, nothing tuned anew: 77.1 +- 0.1 alone, 81.4 +- 0.4
  distilled.
- It comes from the teacher's answers to texts without labels. On the 1,500 labelled ones
  only, distillation gives 78.4 +- 0.3 where the student alone has 77.5 +- 0.1.
- Most of it needs no soft targets: the teacher's most likely intent as a plain label gives
  82.1 +- 0.1 with the settings of the student alone, 81.6 +- 0.1 with those of the distilled
  one; soft targets give 82.4 +- 0.1.
- From a teacher of the student's own size (78.1): 78.3 +- 0.1.
- With all 15,000 labels: 91.5 +- 0.1 (teacher 92.7), where the student alone has 89.8 +- 0.4,
  or 90.9 +- 0.2 with the settings of the distilled one. A gain of 0.6 points is left.
- Temperature 1 gives 82.3 +- 0.2 and 4 gives 81.8 +- 0.1; alpha 0 gives 82.1 +- 0.1 and 0.5
  gives 81.9 +- 0.1.
"""

import gzip
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # Progress bars are enough to read.

import keras
import matplotlib
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import layers

import keras_distill as kd

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = pathlib.Path(__file__).resolve().parent
LENGTH, NUM_CLASSES, BATCH_SIZE = 24, 150, 64
SENTENCES = [
    "how much money do i have in my savings account",
    "Please wake me up at seven tomorrow!",
    "can you tell me how to say good night in italian",
]


def read(name):
    """Returns the texts and the intents of one file."""
    path = HERE / "data" / "clinc150" / f"{name}.tsv.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in list(file)[1:]]
    return [text for text, _ in rows], [intent for _, intent in rows]


def load():
    """Returns the text-to-ids layer, the intents' names, and (ids, labels) of train and test."""
    (texts, intents), (test_texts, test_intents) = read("train"), read("test")
    names = sorted(set(intents))
    y, y_test = (np.array([names.index(i) for i in part]) for part in (intents, test_intents))
    vectorize = layers.TextVectorization(max_tokens=6000, output_sequence_length=LENGTH)
    vectorize.adapt(texts)
    x, x_test = (vectorize(part).numpy().astype("int32") for part in (texts, test_texts))
    return vectorize, names, (x, y), (x_test, y_test)


def keep_labels(labels, per_class, seed=0):
    """Returns the labels with all but `per_class` of each class set to -1, "no label"."""
    rng = np.random.default_rng(seed)
    kept = np.full_like(labels, -1)
    for label in range(NUM_CLASSES):
        chosen = rng.choice(np.flatnonzero(labels == label), per_class, replace=False)
        kept[chosen] = label
    return kept


def text_cnn(vocabulary_size, width, kernel_sizes, dropout, embedding_dropout=0.0):
    """Words, convolutions over neighbouring words, their maxima, a logit for each intent."""
    ids = keras.Input((LENGTH,), dtype="int32", name="ids")
    words = layers.Embedding(vocabulary_size, width)(ids)
    words = layers.Dropout(embedding_dropout)(words)
    convolutions = [
        layers.Conv1D(256, size, padding="same", activation="relu")(words) for size in kernel_sizes
    ]
    features = layers.Concatenate()([layers.GlobalMaxPooling1D()(c) for c in convolutions])
    logits = layers.Dense(NUM_CLASSES, name="logits")(layers.Dropout(dropout)(features))
    return keras.Model(ids, logits)


def bilstm(vocabulary_size):
    ids = keras.Input((LENGTH,), dtype="int32", name="ids")
    words = layers.Dropout(0.4)(layers.Embedding(vocabulary_size, 128)(ids))
    states = layers.Bidirectional(layers.LSTM(64, return_sequences=True))(words)
    features = layers.Dropout(0.5)(layers.GlobalMaxPooling1D()(states))
    return keras.Model(ids, layers.Dense(NUM_CLASSES, name="logits")(features))


def train(model, x, y, num_steps, learning_rate, seed, loss):
    """Trains a model or a Distiller; all models here get their steps from this function."""
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
    model.compile(keras.optimizers.Adam(schedule), loss=loss, steps_per_execution=50)
    batches = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(y), seed=seed)
    batches = batches.repeat().batch(BATCH_SIZE).prefetch(2)
    model.fit(batches, steps_per_epoch=num_steps, shuffle=False)


def train_teacher(vocabulary_size, x, y, num_steps):
    """Trains four networks on the labels and averages their logits."""
    members = []
    for seed in range(4):
        print(f"Teacher, network {seed + 1} of 4")
        keras.utils.set_random_seed(seed)
        if seed < 2:
            member = text_cnn(vocabulary_size, 128, [(3,), (1, 2)][seed], 0.5, 0.2)
        else:
            member = bilstm(vocabulary_size)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        train(member, x, y, num_steps, 6e-3, seed, loss)
        members.append(member)
    ids = keras.Input((LENGTH,), dtype="int32", name="ids")
    return keras.Model(ids, layers.Average()([member(ids) for member in members]), name="teacher")


def train_alone(vocabulary_size, x, y, num_steps, seed):
    """The baseline, tuned on dev, smoothing included."""
    keras.utils.set_random_seed(seed)
    student = text_cnn(vocabulary_size, 32, (3,), dropout=0.7)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    train(student, x, keras.utils.to_categorical(y, NUM_CLASSES), num_steps, 4e-3, seed, loss)
    return student


def train_distilled(
    vocabulary_size, x, y, teacher_logits, num_steps, seed, alpha=0.1, temperature=2.0, dropout=0.1
):
    """The same student, taught, with settings of its own, likewise chosen on dev."""
    keras.utils.set_random_seed(seed)
    student = text_cnn(vocabulary_size, 32, (3,), dropout)
    distiller = kd.Distiller(student=student, alpha=alpha, temperature=temperature)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    inputs = kd.DistillationInputs(student=x, teacher_outputs=teacher_logits)
    train(distiller, inputs, y, num_steps, 8e-3, seed, loss)
    return student


def accuracy(model, x, y):
    return 100 * np.mean(model.predict(x, batch_size=500, verbose=0).argmax(-1) == y)


class LiteRTClassifier:
    """A .tflite file as an app runs it: one sentence at a time, one thread."""

    def __init__(self, path):
        self.run = Interpreter(str(path), num_threads=1).get_signature_runner()

    def __call__(self, ids):
        (logits,) = self.run(ids=ids[None]).values()
        return logits[0]

    def accuracy_and_milliseconds(self, x, y):
        correct, seconds = [], []
        for ids, label in zip(x, y):
            start = time.perf_counter()
            logits = self(ids)
            seconds.append(time.perf_counter() - start)
            correct.append(logits.argmax() == label)
        return 100 * np.mean(correct), 1000 * np.median(seconds)


def draw(rows, path):
    """Draws the table's accuracies, with their spread, and what each model costs."""
    figure, axes = plt.subplots(figsize=(8, 0.9 + 0.55 * len(rows)), layout="constrained")
    for position, row in enumerate(reversed(rows)):
        color = "tab:blue" if "distilled" in row["model"] else "tab:gray"
        spread = row["spread"] or None
        axes.errorbar(row["accuracy"], position, xerr=spread, fmt="o", color=color, capsize=4)
        cost = f"{row['parameters']:,} parameters, {row['bytes'] / 1e6:.2f} MB, {row['ms']:.2f} ms"
        axes.annotate(
            cost, (row["accuracy"], position), (12, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks(range(len(rows)), [row["model"] for row in reversed(rows)])
    axes.margins(x=0.7, y=0.15)
    axes.set_xlim(left=min(row["accuracy"] for row in rows) - 1)
    axes.set_xlabel("Test accuracy in %; bars: standard deviation over the seeds")
    axes.set_title("CLINC150, ten labels per intent: what each file costs on one CPU thread")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def print_table(rows):
    print(f"\n{'model':26}{'parameters':>12}{'test accuracy':>16}{'file':>10}{'a sentence':>12}")
    for row in rows:
        spread = f" ± {row['spread']:.1f}" if row["spread"] else "      "
        print(
            f"{row['model']:26}{row['parameters']:>12,}{row['accuracy']:>10.1f}{spread}"
            f"{row['bytes'] / 1e6:>7.2f} MB{row['ms']:>9.2f} ms"
        )


def main(output_dir, teacher_steps=600, student_steps=2000, num_seeds=3):
    output_dir = pathlib.Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    vectorize, names, (x, y), (x_test, y_test) = load()
    y = keep_labels(y, per_class=10)
    size, has_label = vectorize.vocabulary_size(), y >= 0

    teacher = train_teacher(size, x[has_label], y[has_label], teacher_steps)
    teacher_logits = teacher.predict(x, batch_size=500)
    alone, distilled = [], []
    for seed in range(num_seeds):
        print(f"Student alone, seed {seed + 1} of {num_seeds}")
        alone.append(train_alone(size, x[has_label], y[has_label], student_steps, seed))
        print(f"Student distilled, seed {seed + 1} of {num_seeds}")
        distilled.append(train_distilled(size, x, y, teacher_logits, student_steps, seed))

    rows = []
    groups = {"teacher": [teacher], "student alone": alone, "student distilled": distilled}
    for name, models in groups.items():
        path = output_dir / f"{name.split()[-1]}.tflite"
        report = kd.export_tflite(models[0], path, representative_data=x_test[:100])
        accuracies = [accuracy(model, x_test, y_test) for model in models]
        rows.append(
            {
                "model": name,
                "parameters": models[0].count_params(),
                "accuracy": np.mean(accuracies),
                "spread": np.std(accuracies, ddof=1) if len(models) > 1 else 0.0,
                "bytes": report.num_bytes,
                "ms": LiteRTClassifier(path).accuracy_and_milliseconds(x_test[:500], y_test)[1],
            }
        )
    student = distilled[0]
    path = output_dir / "student.tflite"
    report = kd.export_tflite(
        student, path, quantization="dynamic", representative_data=x_test[:100]
    )
    student_on_phone = LiteRTClassifier(path)
    file_accuracy, ms = student_on_phone.accuracy_and_milliseconds(x_test, y_test)
    costs = {"bytes": report.num_bytes, "ms": ms, "accuracy": file_accuracy, "spread": 0.0}
    rows.append(
        {"model": "distilled, 8-bit weights", "parameters": student.count_params(), **costs}
    )
    (output_dir / "vocabulary.txt").write_text("\n".join(vectorize.get_vocabulary()))
    (output_dir / "labels.txt").write_text("\n".join(names))

    serving = keras.Sequential([keras.Input((), dtype="string", name="text"), vectorize, student])
    saved_model = kd.export_saved_model(serving, output_dir / "serving")

    print_table(rows)
    draw(rows, output_dir / "results.png")
    print(f"\nThe accuracies are of {num_seeds} seeds; of one for the teacher and the 8-bit file.")
    print(f"\nFrom {path.name}, through LiteRT:")
    for sentence, ids in zip(SENTENCES, vectorize(SENTENCES).numpy().astype("int32")):
        probabilities = tf.nn.softmax(student_on_phone(ids)).numpy()
        print(f"  {sentence!r}: {names[probabilities.argmax()]} ({probabilities.max():.0%})")
    print(f"\nWrote {path}, {saved_model} and {output_dir / 'results.png'}.")
    return rows


if __name__ == "__main__":
    start = time.time()
    main(HERE.parent / "saved_models" / "quickstart")
    print(f"Took {(time.time() - start) / 60:.1f} minutes.")
