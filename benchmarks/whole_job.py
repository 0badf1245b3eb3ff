"""A whole distillation, from texts to a trained student: ours, keras.distillation, a loop by hand.

    python benchmarks/whole_job.py BERT SST2 [--seeds 0 1] [--jobs JOB ...] [--teacher FILE]

SST-2, 6,920 sentences. The teacher is a fine-tuned BERT of 6 layers and width 384, the student a
BiLSTM(150) over the same word pieces, which starts with the teacher's embeddings. All three learn
from the teacher alone, with temperature 2, batches of 32, as many steps, and the same optimizer:

    store       TeacherStore.build, then fit from the store, batches by length
    builtin     keras.distillation.Distiller on ids padded to 64; its teacher runs in every step
    by hand     a GradientTape and a tf.function, teacher and student side by side on batches by
                length

A job's time begins with texts and a teacher in memory and ends with a trained student: it has the
tokenizing and the tracing in it. TEACHER.keras is what examples/sst2_bert_to_bilstm.py writes;
without --teacher one is fine-tuned first, for an epoch, which is in nobody's time. Prints seconds,
test accuracy and the ratios, seed by seed.
"""

import argparse
import collections
import os
import pathlib
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras.distillation import LogitsDistillation
from text_throughput import row

import keras_distill as kd

LENGTH, BATCH_SIZE, TEMPERATURE = 64, 32, 2.0
LENGTHS = (8, 12, 16, 24, 32, 48, 64)
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Task:
    """Texts, a teacher of strings, and students that are the same for all jobs."""

    def __init__(self, bert, folder, teacher_path, epochs):
        self.train = kd.text.read_table(folder / "train_sentences.tsv.gz")
        self.test = kd.text.read_table(folder / "test.tsv.gz", class_names=self.train.class_names)
        self.epochs = epochs
        self.num_steps = epochs * -(-len(self.train) // BATCH_SIZE)
        if teacher_path is None:
            self.teacher = finetuned(bert, self.train)
        else:
            self.teacher = keras.models.load_model(teacher_path)
        self.preprocessor = self.teacher.preprocessor
        self.classifier = self.teacher.classifier
        vocabulary = kd.text.WordPieceVocabulary.from_teacher(
            self.preprocessor.preprocessor, sequence_length=LENGTH
        )
        (matrix,) = [w for w in self.teacher.weights if "token_embedding" in w.path]
        embeddings = keras.ops.convert_to_numpy(matrix)
        self.vocabulary = vocabulary
        # A BERT normalizes its embeddings' sum: an LSTM wants them centred, and not small.
        self.embeddings = 0.4 * (embeddings - embeddings.mean(0)) / embeddings.std()

    def student(self):
        return kd.students.bilstm(
            self.vocabulary,
            2,
            embeddings=self.embeddings,
            trainable_embeddings=False,
            embedding_dropout=0.05,
            dropout=0.1,
        )

    def optimizer(self):
        schedule = kd.optimizers.WarmupLinearDecay(2e-3, self.num_steps)
        return keras.optimizers.Adam(schedule, global_clipnorm=1.0)

    def accuracy(self, student):
        logits = student.predict(self.vocabulary(self.test.texts), batch_size=256, verbose=0)
        return 100 * np.mean(np.argmax(logits, -1) == self.test.labels)


def finetuned(folder, train):
    teacher = kd.teachers.text_classifier(str(folder), num_classes=2, sequence_length=LENGTH)
    classifier = teacher.classifier
    batches = kd.text.batch_by_length(
        train, teacher.preprocessor, bucket_lengths=LENGTHS, batch_size=BATCH_SIZE
    )
    optimizer = kd.optimizers.finetuning_optimizer(classifier, 5e-5, num_steps=len(batches))
    classifier.compile(optimizer, CROSS_ENTROPY)
    classifier.fit(batches, shuffle=False, verbose=0)
    return teacher


def store(task, folder):
    answers = kd.TeacherStore.build(task.train, task.teacher, folder, verbose=0)
    batches = kd.text.batch_by_length(
        answers.attach(task.train),
        task.vocabulary,
        bucket_lengths=LENGTHS,
        batch_size=BATCH_SIZE,
    )
    soft_loss = kd.losses.SoftTargetKL(TEMPERATURE, teacher_from_logits=True)
    distiller = kd.Distiller(student=task.student(), alpha=0.0, soft_loss=soft_loss)
    distiller.compile(task.optimizer())
    distiller.fit(batches, epochs=task.epochs, shuffle=False, verbose=0)
    return distiller.student


def builtin(task, folder):
    ids = task.preprocessor(tf.constant(task.train.texts.tolist()))
    ids = {name: np.pad(x, [(0, 0), (0, LENGTH - x.shape[1])]) for name, x in ids.items()}
    student = task.student()
    # Both read the same x.
    inputs = {name: keras.Input((LENGTH,), dtype=x.dtype, name=name) for name, x in ids.items()}
    teacher = keras.Model(inputs, task.classifier(inputs))
    reader = keras.Model(inputs, student(inputs["token_ids"]))
    # Given by its name, as is the default, it leaves the softmax out: the student learns nothing.
    soft_loss = LogitsDistillation(TEMPERATURE, loss=keras.losses.KLDivergence())
    distiller = keras.distillation.Distiller(teacher, reader, soft_loss, student_loss_weight=0.0)
    distiller.compile(task.optimizer(), CROSS_ENTROPY)
    distiller.fit(ids, task.train.labels, batch_size=BATCH_SIZE, epochs=task.epochs, verbose=0)
    return student


def by_hand(task, folder):
    batches = kd.text.batch_by_length(
        task.train,
        task.vocabulary,
        teacher=task.preprocessor,
        bucket_lengths=LENGTHS,
        batch_size=BATCH_SIZE,
    )
    student, optimizer, teacher = task.student(), task.optimizer(), task.classifier

    @tf.function(input_signature=[batches.element_spec[0]])
    def step(x):
        taught = tf.nn.softmax(teacher(x.teacher, training=False) / TEMPERATURE)
        with tf.GradientTape() as tape:
            logits = student(x.student, training=True) / TEMPERATURE
            cross_entropy = tf.nn.softmax_cross_entropy_with_logits(taught, logits)
            loss = TEMPERATURE**2 * tf.reduce_mean(cross_entropy)
        gradients = tape.gradient(loss, student.trainable_variables)
        optimizer.apply_gradients(zip(gradients, student.trainable_variables))

    optimizer.build(student.trainable_variables)
    for _ in range(task.epochs):
        for x, _ in batches:
            step(x)
    return student


JOBS = {"store": store, "builtin": builtin, "by hand": by_hand}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--jobs", choices=JOBS, nargs="+", default=[*JOBS])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--teacher", type=pathlib.Path, help="a text_classifier's .keras file")
    parser.add_argument("bert", type=pathlib.Path, help="a folder of Hugging Face's form")
    parser.add_argument("sst2", type=pathlib.Path, help="the folder of SST-2's tables")
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)
    task = Task(arguments.bert, arguments.sst2, arguments.teacher, arguments.epochs)
    seconds, accuracies = collections.defaultdict(list), collections.defaultdict(list)
    for seed in arguments.seeds:
        for name in arguments.jobs:
            keras.utils.set_random_seed(seed)
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                student = JOBS[name](task, folder)
                seconds[name].append(time.perf_counter() - start)
            accuracies[name].append(task.accuracy(student))
            figures = f"{seconds[name][-1]:.0f} s, {accuracies[name][-1]:.2f} %"
            print(f"{name}, seed {seed}: {figures}", flush=True)
    print("| the whole job | min | median | max | goal |\n|---|---|---|---|---|")
    seconds = {name: np.array(values) for name, values in seconds.items()}
    for name, values in seconds.items():
        row(f"{name}, seconds", values, 0)
        row(f"{name}, test accuracy", np.array(accuracies[name]), 2)
    for name, goal in {"builtin": 5, "by hand": 3}.items():
        if {name, "store"} <= seconds.keys():
            row(f"{name} / store, seconds", seconds[name] / seconds["store"], 2, f">= {goal}")


if __name__ == "__main__":
    main()
