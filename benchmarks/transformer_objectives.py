"""What each loss between the layers of two transformers is worth: one table.

    python benchmarks/transformer_objectives.py BERT CLINC150 [--seeds 3] [--only NAME ...]
    python benchmarks/transformer_objectives.py BERT CLINC150 --cut --steps 200

BERT is a KerasHub preset or folder, or a Hugging Face folder; CLINC150 the folder with train and
test.tsv.gz. The teacher is fine-tuned on all texts, for three epochs. The student, a BERT of 3
layers, a quarter as wide, with as many heads and the same word pieces, begins with random weights
and learns from the same texts, for the same number of steps under each method. With --cut it begins
as every second layer of the teacher, at the teacher's learning rate. All texts have 16 word pieces
or fewer, or are cut. The settings are tuned on nothing. Prints the mean accuracy on
the test set and its standard deviation over the seeds, and the difference to the student alone:
its mean, and seed by seed.

Rows can be shared out to several processes by --only, with "alone" first in each and with one
teacher: --teacher names its file, which is written if it is not there.
"""

import argparse
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gain_rows
import keras
import keras_hub
import numpy as np
import tensorflow as tf

import keras_distill as kd
from keras_distill import losses

LENGTH, BATCH_SIZE = 16, 64
TEACHER_EPOCHS, TEACHER_RATE, STUDENT_RATE = 3, 1e-4, 1e-3
NUM_LAYERS = {"teacher": 6, "student": 3}
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def trained_teacher(path, bert, pieces, train, num_classes):
    """The `text_classifier` in the file, or a new one."""
    if path is not None and path.exists():
        return keras.models.load_model(path)
    keras.utils.set_random_seed(0)
    teacher = kd.teachers.text_classifier(bert, pieces, num_classes)
    classifier = teacher.classifier
    num_steps = TEACHER_EPOCHS * -(-len(train.texts) // BATCH_SIZE)
    optimizer = kd.optimizers.finetuning_optimizer(classifier, TEACHER_RATE, num_steps=num_steps)
    classifier.compile(optimizer, CROSS_ENTROPY, jit_compile=False)
    ids = ids_of(teacher, train)
    classifier.fit(ids, train.labels, batch_size=BATCH_SIZE, epochs=TEACHER_EPOCHS, verbose=2)
    if path is not None:
        teacher.save(path)
    return teacher


def ids_of(classifier, examples):
    """What the inner model of a `text_classifier` reads, arrays."""
    ids = classifier.preprocessor(tf.constant(examples.texts.tolist()))
    return keras.tree.map_structure(np.asarray, ids)


def new_student(pieces, num_classes):
    bert = keras_hub.models.BertBackbone(
        vocabulary_size=len(pieces),
        num_layers=NUM_LAYERS["student"],
        num_heads=12,
        hidden_dim=96,
        intermediate_dim=384,
        max_sequence_length=LENGTH,
    )
    return kd.teachers.text_classifier(bert, pieces, num_classes).classifier


def layers_of(model, part=""):
    return [f"transformer_layer_{i}{part}" for i in range(NUM_LAYERS[model])]


def between_layers(loss, part="", **settings):
    return lambda: kd.layer_objectives(
        loss,
        teacher_layers=layers_of("teacher", part),
        student_layers=layers_of("student", part),
        **settings,
    )


def between_last_layers(loss, part="", **settings):
    return lambda: [
        kd.Objective(
            loss,
            teacher_layer=layers_of("teacher", part)[-1],
            student_layer=layers_of("student", part)[-1],
            **settings,
        )
    ]


def with_labels(*objectives):
    return lambda: {"alpha": 1.0, "objectives": [o for make in objectives for o in make()]}


SCORES, VALUES = (f"/self_attention_layer/{part}" for part in ("attention_scores", "value"))
HIDDEN = {"projector": "auto", "name": "hidden"}
SKIPPED = {
    "teacher_layers": layers_of("teacher")[:-1],
    "student_layers": layers_of("student")[:-1],
}

# For each method the Distiller's arguments. Objectives come beside the labels, with weight 1 and
# without soft targets.
METHODS = {
    "alone": with_labels(),
    "soft targets": lambda: {"alpha": 0.1, "objectives": []},
    "hidden states": with_labels(between_layers(losses.FeatureMSE(), **HIDDEN)),
    "hidden states, top": with_labels(between_layers(losses.FeatureMSE(), mapping="top", **HIDDEN)),
    "hidden states, bottom": with_labels(
        between_layers(losses.FeatureMSE(), mapping="bottom", **HIDDEN)
    ),
    "cosine": with_labels(between_last_layers(losses.FeatureCosine(), **HIDDEN)),
    "PKD": with_labels(lambda: kd.layer_objectives(losses.PKD(), **SKIPPED, **HIDDEN)),
    "attention maps": with_labels(between_layers(losses.AttentionMSE(), SCORES, name="attention")),
    "attention distributions": with_labels(
        between_last_layers(losses.AttentionKL(), SCORES, name="attention")
    ),
    "value relations": with_labels(
        between_last_layers(losses.AttentionRelationKL(), VALUES, name="values")
    ),
    "distributions and relations": with_labels(
        between_last_layers(losses.AttentionKL(), SCORES, name="attention"),
        between_last_layers(losses.AttentionRelationKL(), VALUES, name="values"),
    ),
}


def answers_of(teacher, ids, taps):
    """The teacher's activations of all texts, a dict from tap to array."""
    dataset = tf.data.Dataset.from_tensor_slices(ids)
    with tempfile.TemporaryDirectory() as folder:
        store = kd.TeacherStore.build(dataset, teacher, folder, taps=taps, verbose=0)
        batches = [inputs.teacher_outputs for inputs in store.attach(dataset).batch(500)]
    answers = keras.tree.map_structure(lambda *parts: np.concatenate(parts), *batches)
    return answers if len(taps) > 1 else {"output": answers}  # A store of one tap has no names.


def sameness(vectors):
    """Length of the mean direction: 1 where all vectors have one direction, 0 where any."""
    vectors = vectors.astype("float64")
    return np.linalg.norm(
        np.mean(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), axis=0)
    )


def train(method, make_student, rate, ids, labels, answers, num_steps, seed):
    """Returns the student."""
    keras.utils.set_random_seed(seed)
    student = make_student()
    settings = {"soft_loss": losses.SoftTargetKL(4.0, teacher_from_logits=True)} | METHODS[method]()
    distiller = kd.Distiller(student=student, **settings)
    schedule = kd.optimizers.WarmupLinearDecay(rate, num_steps)
    distiller.compile(
        keras.optimizers.Adam(schedule, global_clipnorm=1.0), CROSS_ENTROPY, jit_compile=False
    )
    read = {"output", *(path for o in settings["objectives"] for path in o.teacher_paths)}
    inputs = kd.DistillationInputs(ids, teacher_outputs={tap: answers[tap] for tap in read})
    data = tf.data.Dataset.from_tensor_slices((inputs, labels))
    data = data.shuffle(len(labels), seed=seed).repeat().batch(BATCH_SIZE).prefetch(2)
    distiller.fit(data, steps_per_epoch=num_steps, shuffle=False, verbose=0)
    return student


def accuracy(model, ids, labels):
    return 100 * np.mean(model.predict(ids, batch_size=500, verbose=0).argmax(-1) == labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("bert", type=pathlib.Path)
    parser.add_argument("clinc150", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--cut", action="store_true")
    parser.add_argument("--teacher", type=pathlib.Path)
    parser.add_argument("--only", nargs="+", default=list(METHODS))
    arguments = parser.parse_args()
    texts = kd.text.read_table(arguments.clinc150 / "train.tsv.gz")
    test = kd.text.read_table(arguments.clinc150 / "test.tsv.gz", class_names=texts.class_names)
    pieces = kd.text.WordPieceVocabulary.from_teacher(arguments.bert, sequence_length=LENGTH)

    classifier = trained_teacher(
        arguments.teacher, arguments.bert, pieces, texts, len(texts.class_names)
    )
    teacher = classifier.classifier
    ids, test_ids = ids_of(classifier, texts), ids_of(classifier, test)
    print(f"teacher {accuracy(teacher, test_ids, test.labels):.2f}")

    read = {
        o.teacher_layer for name in arguments.only for o in METHODS[name]().get("objectives", [])
    }
    answers = answers_of(teacher, ids, ["output", *sorted(read)])
    for path in sorted(read):
        if "/" not in path:
            print(f"first token of {path}: {sameness(answers[path][:, 0]):.4f}", flush=True)

    def make_student():
        if arguments.cut:
            return kd.students.from_teacher(classifier, layers=(1, 3, 5))
        return new_student(pieces, len(texts.class_names))

    student = make_student()
    if arguments.cut:  # It makes the rest of these itself.
        ids, test_ids = ids["token_ids"], test_ids["token_ids"]
    print(f"{teacher.count_params()} and {student.count_params()} parameters", flush=True)
    alone = None
    for name in arguments.only:
        found = []
        for seed in range(arguments.seeds):
            rate = TEACHER_RATE if arguments.cut else STUDENT_RATE
            data = ids, texts.labels, answers
            student = train(name, make_student, rate, *data, arguments.steps, seed)
            found.append(accuracy(student, test_ids, test.labels))
            keras.backend.clear_session()
        alone = alone or found
        print(gain_rows.row(name, found, alone), flush=True)


if __name__ == "__main__":
    main()
