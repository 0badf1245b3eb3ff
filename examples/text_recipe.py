"""What the text examples share: fine-tune a BERT, store its answers, teach, show the table."""

import argparse
import dataclasses
import os
import pathlib
import re

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # Progress bars are enough to read.

import keras
import numpy as np

import keras_distill as kd

SAVED_MODELS = pathlib.Path(__file__).resolve().parent.parent / "saved_models"
# A label of -1 is none: of a text without one, of padding behind the words.
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
# How often a student is scored on dev while it learns.
NUM_EVALUATIONS = 10
LENGTHS = (8, 12, 16, 24, 32, 48, 64, 96, 128)


def arguments(description, **defaults):
    """Reads --teacher, --data, --seeds and --output, and what else has a default here."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--teacher",
        required=True,
        help="a KerasHub preset or folder, a Hugging Face folder, or a TF-Hub handle or folder",
    )
    parser.add_argument("--preprocessor", help="for a TF-Hub teacher: its preprocessor")
    parser.add_argument("--data", required=True, type=pathlib.Path, help="folder of the .tsv.gz")
    parser.add_argument("--seeds", type=int, default=3, help="students of each kind")
    parser.add_argument("--output", type=pathlib.Path, help="folder for what is written")
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    return parser.parse_args()


def finetuned_teacher(
    arguments, output, train, num_classes, *, loss=CROSS_ENTROPY, epochs, learning_rate, **settings
):
    """Returns the teacher in the folder `output`, or fine-tunes one and writes it there.

    `settings` are those of `text_classifier`.
    """
    path = output / "teacher.keras"
    if path.exists():
        print(f"The teacher is the one in {path}; remove it to train another.")
        # Written by this script: the modules that it names are those of --teacher.
        return keras.models.load_model(path, safe_mode=False)
    keras.utils.set_random_seed(0)
    teacher = kd.teachers.text_classifier(
        arguments.teacher, arguments.preprocessor, num_classes, **settings
    )
    finetune(teacher, train, loss, epochs, learning_rate)
    output.mkdir(parents=True, exist_ok=True)
    teacher.save(path)
    return teacher


def finetune(teacher, train, loss, epochs, learning_rate, batch_size=32, layer_decay=0.9):
    """Fine-tunes a `text_classifier` on the batches that its preprocessor makes in tf.data."""
    classifier = teacher.classifier
    batches = kd.text.batch_by_length(
        train, teacher.preprocessor, bucket_lengths=LENGTHS, batch_size=batch_size
    )
    optimizer = kd.optimizers.finetuning_optimizer(
        classifier, learning_rate, num_steps=epochs * len(batches), layer_decay=layer_decay
    )
    classifier.compile(optimizer, loss)
    classifier.fit(batches, epochs=epochs, shuffle=False)


def answers(model, inputs, examples):
    """The model's logits in the order of the examples; of tagged words, a list of arrays.

    Args:
        model: Model of ids: a student, or the "classifier" of a `text_classifier`.
        inputs: What turns texts into its ids.
        examples: `Examples`.
    """
    texts = examples.texts
    places = np.arange(len(texts), dtype="int32")
    if is_tagging(examples):
        # One for each word, as tags are.
        places = np.array([np.full(len(words), n) for n, words in zip(places, texts)], object)
    batches = kd.text.batch_by_length(
        kd.text.Examples(texts, places),
        inputs,
        bucket_lengths=LENGTHS,
        tokens_per_batch=8192,
        shuffle=False,
    )
    logits = [None] * len(texts)
    progress = keras.utils.Progbar(len(batches), unit_name="batch")
    for ids, places in batches:
        for place, row in zip(
            np.reshape(places, (len(places), -1))[:, 0], model.predict_on_batch(ids)
        ):
            logits[place] = row
        progress.add(1)
    if is_tagging(examples):
        return [row[: len(words)] for row, words in zip(logits, texts)]
    return np.stack(logits)


def teacher_answers(teacher, examples):
    """The logits of a `text_classifier`."""
    return answers(teacher.classifier, teacher.preprocessor, examples)


def stored_answers(teacher, examples, output):
    """The answers of a `text_classifier`, in the folder `output`; it runs once for all students."""
    return kd.TeacherStore.build(examples, teacher, output / "answers")


def read_parts(folder, train="train", **columns):
    """Reads train, dev and test, with the class names of train."""
    train = kd.text.read_table(folder / f"{train}.tsv.gz", **columns)
    dev, test = (
        kd.text.read_table(folder / f"{part}.tsv.gz", class_names=train.class_names, **columns)
        for part in ("dev", "test")
    )
    return train, dev, test


def teacher_embeddings(teacher, vocabulary):
    """A start for the student's embeddings: the fine-tuned teacher's, of each token's pieces."""
    matrices = [w for w in teacher.weights if re.search("(token|word)_embedding", w.path)]
    (matrix,) = [w for w in matrices if len(w.shape) == 2]
    preprocessor = teacher.preprocessor.preprocessor
    if not isinstance(preprocessor, kd.text.WordPieceVocabulary):
        preprocessor = kd.text.WordPieceVocabulary.from_teacher(preprocessor)
    return kd.text.copy_embeddings(matrix, teacher_vocabulary=preprocessor, vocabulary=vocabulary)


def evened(embeddings):
    """Embeddings as a layer of their own likes them, without offset and not small.

    A BERT normalizes the sum of its embeddings, so theirs have both.
    """
    return 0.4 * (embeddings - embeddings.mean(0)) / embeddings.std()


def is_tagging(examples):
    return examples.texts.ndim == 1 and not isinstance(examples.texts[0], str)


@dataclasses.dataclass
class Lesson:
    """How a student is taught: on which texts, by whom, and how long.

    Args:
        examples: The transfer set, with -1 for a label that is not known.
        answers: The teacher's, a `TeacherStore`; None for the student alone.
        alpha: Weight of the labels.
        soft_loss: Loss between the logits.
        num_steps: Number of training steps, the same for all that are compared.
        learning_rate: Peak of a warm-up and a linear decay.
        hard_loss: Loss on the labels.
        batch_size: Examples in a step.
        dropout: Dropout rate of the student; without much to overfit to, less is better.
    """

    examples: kd.text.Examples
    answers: kd.TeacherStore | None = None
    alpha: float = 1.0
    soft_loss: keras.losses.Loss | None = None
    num_steps: int = 10_000
    learning_rate: float = 1e-3
    hard_loss: keras.losses.Loss = CROSS_ENTROPY
    batch_size: int = 64
    dropout: float = 0.5

    def dataset(self):
        if self.answers is None:
            return self.examples.dataset()
        return self.answers.attach(self.examples)


def teach(student, inputs, lesson, dev, score, seed):
    """Trains a student, and keeps the weights with the best score on dev.

    Args:
        student: Model of ids.
        inputs: What turns texts into its ids.
        lesson: `Lesson`.
        dev: `Examples` to choose the weights on.
        score: Function of logits and examples, larger is better.
        seed: Of the order of the batches.
    """
    batches = kd.text.batch_by_length(
        lesson.dataset(), inputs, bucket_lengths=LENGTHS, batch_size=lesson.batch_size, seed=seed
    )
    distiller = kd.Distiller(student=student, alpha=lesson.alpha, soft_loss=lesson.soft_loss)
    schedule = kd.optimizers.WarmupLinearDecay(lesson.learning_rate, lesson.num_steps)
    distiller.compile(keras.optimizers.Adam(schedule, global_clipnorm=1.0), lesson.hard_loss)
    best_score, best_weights = -np.inf, None

    def keep_best(epoch, logs):
        nonlocal best_score, best_weights
        logs["dev_score"] = score(answers(student, inputs, dev), dev)
        if logs["dev_score"] > best_score:
            best_score, best_weights = logs["dev_score"], student.get_weights()

    distiller.fit(
        batches.repeat(),
        epochs=NUM_EVALUATIONS,
        steps_per_epoch=lesson.num_steps // NUM_EVALUATIONS,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=keep_best)],
        shuffle=False,
        verbose=2,
    )
    student.set_weights(best_weights)


def compare(lessons, make_student, inputs, dev, test, score, num_seeds):
    """Teaches students of every lesson and seed.

    Args:
        lessons: Dict from name to `Lesson`.
        make_student: Function of a lesson and a seed.
        inputs, dev, score: As for `teach`.
        test: `Examples` to score the students on.
        num_seeds: Students of each lesson.

    Returns:
        Rows for `print_table`, and the first student of the last lesson.
    """
    rows = {}
    for name, lesson in lessons.items():
        students, scores = [], []
        for seed in range(num_seeds):
            print(f"{name}, seed {seed + 1} of {num_seeds}")
            keras.utils.set_random_seed(seed)
            student = make_student(lesson, seed)
            teach(student, inputs, lesson, dev, score, seed)
            scores.append(score(answers(student, inputs, test), test))
            students.append(student)
        rows[name] = (student.count_params(), scores)
    return rows, students[0]


def accuracy(logits, examples):
    """Share of right answers, in percent."""
    return 100 * np.mean(logits.argmax(-1) == examples.labels)


def print_table(teacher, rows, test, score, measure):
    """Prints the teacher and `{name: (parameters, [score of each seed])}` as Markdown."""
    teacher_score = score(teacher_answers(teacher, test), test)
    print(f"\n| model | parameters | test {measure} in % |\n|---|---|---|")
    rows = {"teacher": (teacher.count_params(), [teacher_score]), **rows}
    for name, (num_parameters, scores) in rows.items():
        spread = f" ± {np.std(scores, ddof=1):.2f}" if len(scores) > 1 else ""
        print(f"| {name} | {num_parameters:,} | {np.mean(scores):.2f}{spread} |")


def export(student, inputs, vocabulary, folder, examples, sequence_length=64):
    """Writes student.tflite (8-bit weights), vocabulary.txt, and a SavedModel that reads texts."""
    folder.mkdir(parents=True, exist_ok=True)
    batches = kd.text.batch_by_length(
        kd.text.Examples(examples.texts), inputs, bucket_lengths=(sequence_length,), batch_size=100
    )
    report = kd.export_tflite(
        student,
        folder / "student.tflite",
        quantization="dynamic",
        representative_data=next(iter(batches)),
        sequence_length=sequence_length,
    )
    (folder / "vocabulary.txt").write_text("\n".join(vocabulary.tokens), encoding="utf-8")
    shape = (None,) if is_tagging(examples) else examples.texts.shape[1:]
    texts = keras.Input(shape, dtype="string", name="text")
    saved_model = kd.export_saved_model(
        keras.Model(texts, student(inputs(texts))), folder / "serving"
    )
    print(f"Wrote {report.path} ({report.num_bytes / 1e6:.2f} MB) and {saved_model}.")
