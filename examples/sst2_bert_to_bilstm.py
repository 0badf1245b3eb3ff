"""A BERT teaches a BiLSTM the sentiment of film reviews (Tang et al. 2019, arXiv:1903.12136).

    python examples/sst2_bert_to_bilstm.py --teacher BERT --data SST2 --seeds 5

BERT is a preset, handle or folder; SST2 the folder with train_phrases, train_sentences, dev and
test.tsv.gz. The student reads the teacher's word pieces, with the teacher's embeddings, which stay
as they are: so it knows words that its training data lack. It is taught in six ways, all with the
same number of steps, and each keeps the weights that did best on dev:

    alone          the labels
    hard           the labels, and the teacher's most likely class for the augmented texts
    soft           T^2 KL, or the squared difference of the logits, no labels (alpha = 0)
    augmented      with the paper's augmentation: masked words, replaced words, n-grams

Deviations from the paper: the embeddings (there word2vec, of whole words); the augmented texts
come from whole sentences only, of which dev and test consist.
"""

import dataclasses
import time

import numpy as np
import text_recipe as recipe

import keras_distill as kd


def transfer_sets(train, sentences, teacher, num_iterations):
    """The texts and the augmented ones, each with the teacher's logits; hard labels as well."""
    new_texts = kd.text.augment(sentences.texts, num_iterations)
    augmented = train + kd.text.from_lists(new_texts)
    logits = recipe.teacher_answers(teacher, augmented)
    labels = np.where(augmented.labels < 0, logits.argmax(-1), augmented.labels).astype("int32")
    return augmented, logits, dataclasses.replace(augmented, labels=labels)


def main(arguments):
    start = time.time()
    output = arguments.output or recipe.SAVED_MODELS / "sst2_bert_to_bilstm"
    phrases, dev, test = recipe.read_parts(arguments.data, train="train_phrases")
    sentences = kd.text.read_tsv(
        arguments.data / "train_sentences.tsv.gz", class_names=phrases.class_names
    )
    teacher = recipe.finetuned_teacher(
        arguments, output, phrases, 2, epochs=3, learning_rate=5e-5, sequence_length=64
    )
    train = phrases + sentences
    augmented, logits, pseudo_labelled = transfer_sets(train, sentences, teacher, arguments.rounds)
    print(f"{len(train):,} texts, {len(augmented):,} with the augmented ones")
    vocabulary = kd.text.teacher_vocabulary(
        teacher.get_layer("preprocessor").preprocessor, max_length=64
    )
    embeddings = recipe.teacher_embeddings(teacher, vocabulary)
    # A BERT normalizes the sum of its embeddings; alone they are small, with a common offset.
    embeddings = 0.4 * (embeddings - embeddings.mean(0)) / embeddings.std()

    def make_student(lesson, seed):
        return kd.students.bilstm(
            vocabulary,
            2,
            embeddings=embeddings,
            trainable_embeddings=False,
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
    train_logits = logits[: len(train)]
    shared = {"num_steps": num_steps, "batch_size": 128}
    taught = {"alpha": 0.0, "dropout": 0.1, "learning_rate": 2e-3, **shared}
    lessons = {
        "alone": recipe.Lesson(train, dropout=0.5, **shared),
        "hard, augmented": recipe.Lesson(pseudo_labelled, dropout=0.3, **shared),
        "soft, KL": recipe.Lesson(train, train_logits, soft_loss=kl, **taught),
        "soft, MSE": recipe.Lesson(train, train_logits, soft_loss=mse, **taught),
        "soft, KL, augmented": recipe.Lesson(augmented, logits, soft_loss=kl, **taught),
        "soft, MSE, augmented": recipe.Lesson(augmented, logits, soft_loss=mse, **taught),
    }
    if arguments.only:
        lessons = {name: lessons[name] for name in arguments.only.split(";")}
    rows, student = recipe.compare(
        lessons, make_student, vocabulary, dev, test, recipe.accuracy, arguments.seeds
    )
    recipe.print_table(teacher, rows, test, recipe.accuracy, "accuracy")
    recipe.export(student, vocabulary, vocabulary, output, test)
    print(f"\nTook {(time.time() - start) / 60:.0f} minutes.")


if __name__ == "__main__":
    main(recipe.arguments(__doc__.splitlines()[0], rounds=30, steps=4000, only=""))
