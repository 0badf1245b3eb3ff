"""Accuracy of int8 files: after training, and after fine-tuning that knows of the rounding.

    python benchmarks/int8_accuracy.py mnist FOLDER_OF_IDX_FILES
    python benchmarks/int8_accuracy.py sst2 FOLDER_OF_TSV_FILES --teacher TEACHER.keras

Each student is taught by its teacher, then fine-tuned twice from there, for the same steps and
under the same teacher: as before ("plain"), and within `quantization_aware`, both without dropout.
The int8 files are run by LiteRT on the whole test set.
TEACHER.keras is what examples/sst2_tinybert.py writes; its answers are kept beside it.
"""

import argparse
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "examples"))

import idx_files
import keras
import numpy as np
import tensorflow as tf
import text_recipe as recipe

import keras_distill as kd
from keras_distill.export.signature import NamedModel
from keras_distill.export.tflite import trusted_file
from keras_distill.export.tflite.conversion import convert_model

LENGTH = 64


def mnist(folder, teacher_path, seed):
    """A small depthwise CNN, taught by a larger CNN."""
    x_train, y_train, x_test, y_test = idx_files.load(folder)
    x_train, y_train = x_train[:20_000], y_train[:20_000]

    def network(build_block, widths):
        image = keras.Input((28, 28, 1), name="image")
        features = image
        for width in widths:
            for layer in build_block(width):
                features = layer(features)
        features = keras.layers.GlobalAveragePooling2D()(features)
        return keras.Model(image, keras.layers.Dense(10, name="logits")(features))

    def convolution(width):
        yield keras.layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False)
        yield keras.layers.BatchNormalization(momentum=0.9)
        yield keras.layers.ReLU()

    def depthwise(width):
        yield keras.layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)
        yield keras.layers.BatchNormalization(momentum=0.9)
        yield keras.layers.ReLU()
        yield keras.layers.Conv2D(width, 1, use_bias=False)
        yield keras.layers.BatchNormalization(momentum=0.9)
        yield keras.layers.ReLU()

    keras.utils.set_random_seed(0)
    teacher = network(convolution, (32, 64, 128))
    teacher.compile(keras.optimizers.Adam(1e-3), recipe.CROSS_ENTROPY)
    teacher.fit(x_train, y_train, batch_size=128, epochs=3, verbose=2)
    keras.utils.set_random_seed(seed)
    student = network(depthwise, (8, 16, 32))
    distiller = kd.Distiller(student=student, teacher=teacher, alpha=0.1, temperature=4.0)
    batches = tf.data.Dataset.from_tensor_slices((x_train, y_train))
    batches = batches.shuffle(len(x_train), seed=seed).batch(128)
    return distiller, batches, x_test, y_test, x_train[:200]


def sst2(folder, teacher_path, seed):
    """A transformer with layers of its BERT teacher."""
    teacher = keras.models.load_model(teacher_path)
    train, _, test = recipe.read_parts(folder, train="train_phrases")
    vocabulary = kd.text.WordPieceVocabulary.from_teacher(
        teacher.preprocessor.preprocessor, sequence_length=LENGTH
    )
    lesson = recipe.Lesson(train, recipe.stored_answers(teacher, train, teacher_path.parent))
    keras.utils.set_random_seed(seed)
    student = kd.students.from_teacher(teacher, (2, 5))
    distiller = kd.Distiller(
        student=student, alpha=0.1, soft_loss=kd.losses.SoftTargetKL(2.0, teacher_from_logits=True)
    )
    batches = kd.text.batch_by_length(
        lesson.dataset(), vocabulary, bucket_lengths=recipe.LENGTHS, batch_size=32, seed=seed
    )

    def ids(texts):
        padded = kd.text.batch_by_length(
            kd.text.Examples(texts),
            vocabulary,
            bucket_lengths=(LENGTH,),
            batch_size=len(texts),
            shuffle=False,
        )
        return next(iter(padded)).numpy()

    # Ranges are measured on texts as long as those of the test.
    is_long = np.array([len(text.split()) > 12 for text in train.texts])
    return distiller, batches, ids(test.texts), test.labels, ids(train.texts[is_long][:4000:20])


TASKS = {"mnist": mnist, "sst2": sst2}
# Learning rate and steps of the teaching, and of the fine-tuning after it.
TEACHING = {"mnist": (5e-3, 3000), "sst2": (5e-5, 2000)}
FINE_TUNING = {"mnist": (2e-3, 1500), "sst2": (5e-5, 2000)}


def fit(distiller, batches, learning_rate, num_steps):
    """Trains with a rate that decays to 0, so that what was learnt has settled."""
    schedule = kd.optimizers.WarmupLinearDecay(learning_rate, num_steps)
    distiller.compile(keras.optimizers.Adam(schedule, global_clipnorm=1.0), recipe.CROSS_ENTROPY)
    distiller.fit(batches.repeat(), steps_per_epoch=num_steps, shuffle=False, verbose=2)


def accuracies(student, x, y, representative_data):
    """Of the float32 model and of its int8 file, in percent."""
    named_model = NamedModel(student, LENGTH if x.ndim == 2 else None)
    # export_tflite would refuse the worst of them.
    content = convert_model(
        named_model,
        named_model.name_inputs(representative_data),
        quantization="int8",
        batch_size=1,
        integer_io=False,
        allow_select_tf_ops=False,
    )
    file = trusted_file.open_file(content)
    (name,) = file.get_signature_runner().get_input_details()
    (found,) = trusted_file.run_file(file, {name: x}, 1).values()
    expected = student.predict(x, batch_size=100, verbose=0)
    return [100 * float(np.mean(logits.argmax(-1) == y)) for logits in (expected, found)]


def remove_dropout(student):
    for layer in student._flatten_layers():
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0


def rows(task, *arguments):
    """Yields how a student was fine-tuned, and its accuracies."""
    distiller, batches, *data = TASKS[task](*arguments)
    student = distiller.student
    fit(distiller, batches, *TEACHING[task])
    taught = student.get_weights()
    yield "no", *accuracies(student, *data)
    remove_dropout(student)
    fit(distiller, batches, *FINE_TUNING[task])
    yield "plain", *accuracies(student, *data)
    student.set_weights(taught)
    with kd.students.quantization_aware(distiller):
        fit(distiller, batches, *FINE_TUNING[task])
    yield "quantization-aware", *accuracies(student, *data)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--teacher", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    print("| seed | fine-tuned | float32 | int8 |\n|---|---|---|---|")
    for seed in range(arguments.seeds):
        for how, exact, int8 in rows(arguments.task, arguments.data, arguments.teacher, seed):
            print(f"| {seed} | {how} | {exact:.2f} | {int8:.2f} |", flush=True)


if __name__ == "__main__":
    main()
