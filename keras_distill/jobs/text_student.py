"""The students of a job with texts: built, taught, and made ready for export."""

import keras

from keras_distill.backup import BackupAndRestore
from keras_distill.distiller import Distiller
from keras_distill.students import bilstm
from keras_distill.students import text_cnn
from keras_distill.students import transformer
from keras_distill.teachers import WarmupLinearDecay
from keras_distill.text import batch_by_length

KINDS = ("bilstm", "text_cnn", "transformer")
BATCH_SIZE = 64
# Rounds of a training: after each there is a backup.
_NUM_ROUNDS = 10


def make_student(kind, vocabulary, num_classes, dropout, length=None):
    """Builds a student.

    Args:
        kind: One of `KINDS`.
        vocabulary: What it reads.
        num_classes: Number of logits.
        dropout: Dropout rate; of the embeddings half of it.
        length: A fixed number of ids, for a file that apps run; a loop is then unrolled.
    """
    rates = {"dropout": dropout, "embedding_dropout": dropout / 2}
    if kind == "bilstm":
        return bilstm(
            vocabulary,
            num_classes,
            embedding_dim=64,
            units=100,
            length=length,
            unroll=length is not None,
            **rates,
        )
    if kind == "text_cnn":
        return text_cnn(
            vocabulary,
            num_classes,
            embedding_dim=64,
            filters=128,
            kernel_sizes=(1, 2, 3),
            length=length,
            **rates,
        )
    return transformer(
        vocabulary, num_classes, max_length=vocabulary.max_length, dropout=dropout, length=length
    )


def for_export(kind, student, vocabulary, num_classes):
    """The student with a fixed length and no loop, as MediaPipe wants it."""
    fixed = make_student(kind, vocabulary, num_classes, 0.0, vocabulary.max_length)
    fixed.set_weights(student.get_weights())
    return fixed


def teach(
    student, vocabulary, dataset, num_steps, *, backup, seed, learning_rate, hard_loss, **how
):
    """Trains a student; killed, the same call goes on behind the last round.

    Args:
        student: What `make_student` returned.
        vocabulary: What it reads.
        dataset: Texts, with labels, and the teacher's answers if there is one to learn from.
        num_steps: Number of steps.
        backup: Folder for the state of the training.
        seed: Of the order of the batches.
        learning_rate: Peak of a warm-up and a linear decay.
        hard_loss: Loss on the labels.
        **how: alpha and soft_loss of the `Distiller`.
    """
    batches = batch_by_length(dataset, vocabulary, batch_size=BATCH_SIZE, seed=seed)
    distiller = Distiller(student, **how)
    schedule = WarmupLinearDecay(learning_rate, num_steps)
    distiller.compile(keras.optimizers.Adam(schedule, global_clipnorm=1.0), hard_loss)
    return distiller.fit(
        batches.repeat(),
        epochs=_NUM_ROUNDS,
        steps_per_epoch=-(-num_steps // _NUM_ROUNDS),
        callbacks=[BackupAndRestore(backup, delete_checkpoint=False)],
        shuffle=False,
    )
