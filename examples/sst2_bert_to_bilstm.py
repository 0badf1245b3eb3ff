"""A BERT teaches a BiLSTM the sentiment of film reviews (Tang et al. 2019, arXiv:1903.12136).

    python examples/sst2_bert_to_bilstm.py --teacher BERT --data SST2 --vectors GLOVE --seeds 5

BERT is a preset, handle or folder; SST2 the folder with train_phrases, train_sentences, dev and
test.tsv.gz; GLOVE a file or folder of word vectors, for the student that has nothing of the
teacher's. The others read the teacher's word pieces, with the teacher's embeddings, which stay
as they are: so they know words that their training data lack. They are taught in these ways, all
with the same number of steps, and each keeps the weights that did best on dev:

    word vectors   the labels; whole words, with the vectors of GLOVE, which are trained too
    alone          the labels
    hard           the labels, and the teacher's most likely class for the augmented texts
    soft           T^2 KL, or the squared difference of the logits, no labels (alpha = 0)
    augmented      with the paper's augmentation: masked words, replaced words, n-grams

Deviations from the paper: the embeddings (there word2vec, of whole words); the augmented texts
come from whole sentences only, of which dev and test consist.

Measured, 3 to 5 seeds: teacher 90.55 %, word vectors 84.94 %, alone 86.96 %, hard and augmented
89.25 %, soft 88.28 % both ways, augmented 89.40 % (KL) and 89.77 % (squared difference). On two
cores the teacher takes half an hour, its answers 20 minutes, each student 10. The table is in
README.md.
"""

import dataclasses
import functools
import time

import numpy as np
import text_recipe as recipe

import keras_distill as kd


def with_hard_labels(examples, answers):
    """The examples; those without a label get the class that the teacher finds most likely."""
    batches = answers.attach(examples.dataset().batch(1024))
    classes = np.concatenate([np.argmax(x.teacher_outputs, axis=-1) for x, _ in batches])
    labels = np.where(examples.labels < 0, classes, examples.labels).astype("int32")
    return dataclasses.replace(examples, labels=labels)


def main(arguments):
    start = time.time()
    output = arguments.output or recipe.SAVED_MODELS / "sst2_bert_to_bilstm"
    phrases, dev, test = recipe.read_parts(arguments.data, train="train_phrases")
    sentences = kd.text.read_table(
        arguments.data / "train_sentences.tsv.gz", class_names=phrases.class_names
    )
    teacher = recipe.finetuned_teacher(
        arguments, output, phrases, 2, epochs=3, learning_rate=5e-5, sequence_length=64
    )
    train = phrases + sentences
    new_texts = kd.text.augment(sentences.texts, arguments.rounds)
    augmented = train + kd.text.from_lists(new_texts)
    answers = recipe.stored_answers(teacher, augmented, output)
    pseudo_labelled = with_hard_labels(augmented, answers)
    print(f"{len(train):,} texts, {len(augmented):,} with the augmented ones")
    vocabulary = kd.text.WordPieceVocabulary.from_teacher(
        teacher.preprocessor.preprocessor, sequence_length=64
    )
    embeddings = recipe.evened(recipe.teacher_embeddings(teacher, vocabulary))

    words = kd.text.WordVocabulary.learn(
        train.texts,
        vocabulary_size=20_000,
        among=arguments.vectors,
        sequence_length=64,
    )
    vectors = kd.text.load_vectors(arguments.vectors, words)

    def make_student(lesson, seed, inputs=vocabulary, embeddings=embeddings, trainable=False):
        return kd.students.bilstm(
            inputs,
            2,
            embeddings=embeddings,
            trainable_embeddings=trainable,
            units=150,
            dense_units=200,
            embedding_dropout=lesson.dropout / 2,
            dropout=lesson.dropout,
        )

    num_steps = arguments.steps
    kl, mse = (
        kd.losses.SoftTargetKL(2.0, teacher_from_logits=True),
        kd.losses.LogitsMSE(teacher_from_logits=True),
    )
    shared = {"num_steps": num_steps, "batch_size": 128}
    taught = {"alpha": 0.0, "dropout": 0.1, "learning_rate": 2e-3, **shared}
    lessons = {
        "alone": recipe.Lesson(train, dropout=0.5, **shared),
        "hard, augmented": recipe.Lesson(pseudo_labelled, dropout=0.3, **shared),
        "soft, KL": recipe.Lesson(train, answers, soft_loss=kl, **taught),
        "soft, MSE": recipe.Lesson(train, answers, soft_loss=mse, **taught),
        "soft, KL, augmented": recipe.Lesson(augmented, answers, soft_loss=kl, **taught),
        "soft, MSE, augmented": recipe.Lesson(augmented, answers, soft_loss=mse, **taught),
    }
    plain = {"word vectors": recipe.Lesson(train, learning_rate=2e-3, dropout=0.5, **shared)}
    make_plain = functools.partial(make_student, inputs=words, embeddings=vectors, trainable=True)
    plain_rows, _ = recipe.compare(
        plain, make_plain, words, dev, test, recipe.accuracy, arguments.seeds
    )
    rows, student = recipe.compare(
        lessons, make_student, vocabulary, dev, test, recipe.accuracy, arguments.seeds
    )
    rows = {**plain_rows, **rows}
    recipe.print_table(teacher, rows, test, recipe.accuracy, "accuracy")
    recipe.export(student, vocabulary, vocabulary, output, test)
    print(f"\nTook {(time.time() - start) / 60:.0f} minutes.")


if __name__ == "__main__":
    main(
        recipe.arguments(__doc__.splitlines()[0], vectors="glove.6B.50d.txt", rounds=30, steps=4000)
    )
