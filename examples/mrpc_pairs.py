"""A BERT teaches a BiLSTM to compare two sentences (MRPC; STS-B as an option).

    python examples/mrpc_pairs.py --teacher BERT --data MRPC
    python examples/mrpc_pairs.py --teacher BERT --data STSB --task stsb

BERT is a preset, handle or folder, MRPC (STSB) the folder with train, dev and test.tsv.gz:
columns sentence1, sentence2 and label, 0 or 1 for MRPC, 0 to 5 for STS-B. The teacher reads both
sentences at once. The student reads each by itself, with one encoder, and compares the two
vectors. The transfer set of "augmented" has more pairs, in which words of the first sentence, the
second or both are masked or replaced; only the teacher says what they are. Scores are accuracy,
and for STS-B Spearman's rank correlation.

Measured, 3 seeds. MRPC: teacher 81.16 %, student alone 67.34 %, distilled 68.41 %, with augmented
pairs 70.88 %. STS-B: 82.11 %, 46.56 %, 47.67 % and 59.49 %. Each about 90 minutes on one core. The
table is in README.md.
"""

import dataclasses
import time

import keras
import numpy as np
import text_recipe as recipe
from scipy.stats import spearmanr

import keras_distill as kd


def rank_correlation(outputs, examples):
    """Spearman's, in percent."""
    return 100 * spearmanr(outputs[:, 0], examples.labels).statistic


def main(arguments):
    start = time.time()
    is_regression = arguments.task == "stsb"
    output = arguments.output or recipe.SAVED_MODELS / f"{arguments.task}_pairs"
    train, dev, test = recipe.read_parts(
        arguments.data, text=("sentence1", "sentence2"), regression=is_regression
    )
    num_classes = 1 if is_regression else len(train.class_names)
    hard_loss = keras.losses.MeanSquaredError() if is_regression else recipe.CROSS_ENTROPY
    teacher = recipe.finetuned_teacher(
        arguments,
        output,
        train,
        num_classes,
        loss=hard_loss,
        epochs=arguments.epochs,
        learning_rate=arguments.rate,
        pairs=True,
    )
    texts = train.texts.reshape(-1)
    vocabulary = kd.text.WordPieceVocabulary.learn(texts, vocabulary_size=8000)
    embeddings = recipe.teacher_embeddings(teacher, vocabulary)

    def make_student(lesson, seed):
        return kd.students.bilstm(
            vocabulary,
            num_classes,
            embeddings=embeddings,
            units=100,
            dense_units=100,
            embedding_dropout=lesson.dropout,
            dropout=lesson.dropout,
            pairs=True,
        )

    soft_loss = (
        keras.losses.MeanSquaredError()
        if is_regression
        else kd.losses.SoftTargetKL(2.0, teacher_from_logits=True)
    )
    new_pairs = kd.text.augment(train.texts, arguments.rounds)
    pairs = kd.text.Examples(np.concatenate([train.texts, new_pairs]))
    answers = recipe.stored_answers(teacher, pairs, output)
    # Not read at alpha 0.
    unlabelled = dataclasses.replace(pairs, labels=np.full(len(pairs), -1, train.labels.dtype))
    shared = {"num_steps": arguments.steps, "hard_loss": hard_loss}
    taught = {"soft_loss": soft_loss, **shared}
    lessons = {
        "student alone": recipe.Lesson(train, **shared),
        "student distilled": recipe.Lesson(train, answers, alpha=0.5, **taught),
        "student distilled, augmented": recipe.Lesson(unlabelled, answers, alpha=0.0, **taught),
    }
    score = rank_correlation if is_regression else recipe.accuracy
    rows, student = recipe.compare(
        lessons, make_student, vocabulary, dev, test, score, arguments.seeds
    )
    measure = "rank correlation" if is_regression else "accuracy"
    recipe.print_table(teacher, rows, test, score, measure)
    recipe.export(student, vocabulary, vocabulary, output, test)
    print(f"\nTook {(time.time() - start) / 60:.0f} minutes.")


if __name__ == "__main__":
    main(
        recipe.arguments(
            __doc__.splitlines()[0], epochs=4, rate=1e-4, rounds=10, steps=2000, task="mrpc"
        )
    )
