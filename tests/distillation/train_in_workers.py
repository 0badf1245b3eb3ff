"""One worker of test_multi_worker.py; the test itself trains in one process by the same code.

python run_workers.py train_in_workers.py FOLDER NUM_WORKERS
"""

import json
import pathlib

import keras
import numpy as np
import tensorflow as tf
from keras import layers

import keras_distill as kd

CLASSES = 3
FEATURES = np.random.default_rng(3).normal(size=(16, 6)).astype("float32")
LABELS = np.random.default_rng(4).integers(0, CLASSES, 16)
# The last batch is short: a mean of the workers' means would be another.
NUM_VALIDATION = 11


def mlp(width, name):
    hidden = layers.Dense(width, "tanh", kernel_regularizer="l2", name="hidden")
    return keras.Sequential([keras.Input((6,)), hidden, layers.Dense(CLASSES)], name=name)


def examples(number=16):
    return tf.data.Dataset.from_tensor_slices((FEATURES[:number], LABELS[:number]))


def make_teacher():
    keras.utils.set_random_seed(9)
    return mlp(9, "teacher")


def live(strategy, folder):
    """A teacher and a hint in each worker, and batches that tf.distribute shards."""
    del folder
    with strategy.scope():
        hint = kd.Objective(
            kd.losses.FeatureMSE(),
            teacher_layer="hidden",
            student_layer="hidden",
            projector="auto",
            name="hint",
        )
        settings = {"alpha": 0.3, "objectives": [hint], "validate_with_teacher": True}
        distiller = make_distiller(make_teacher(), **settings)
    history = distiller.fit(
        batches(16), shuffle=False, verbose=0, validation_data=batches(NUM_VALIDATION)
    )
    return results(distiller, history.history)


def stored(strategy, folder):
    """What the teacher said, read by each worker for its own shard."""
    store = kd.TeacherStore.open(folder / "store")

    def shard(context):
        mine = examples().shard(context.num_input_pipelines, context.input_pipeline_id)
        return store.attach(mine).batch(context.get_per_replica_batch_size(8))

    with strategy.scope():
        loss = kd.losses.SoftTargetKL(2.0, teacher_from_logits=True)
        distiller = make_distiller(soft_loss=loss)
    dataset = strategy.distribute_datasets_from_function(shard)
    history = distiller.fit(dataset, epochs=2, shuffle=False, verbose=0)
    return results(distiller, history.history)


def together(strategy, folder):
    """Peers that teach one another, with no teacher before."""
    del folder
    keras.utils.set_random_seed(5)
    with strategy.scope():
        peers = kd.teaching.MutualLearning([mlp(5, "first"), mlp(7, "second")])
        peers.compile(
            keras.optimizers.SGD(0.1, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
    history = peers.fit(
        batches(16), epochs=2, shuffle=False, verbose=0, validation_data=batches(16)
    )
    return results(peers, history.history)


def batches(number):
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return examples(number).batch(8).with_options(options)


def make_distiller(teacher=None, **settings):
    keras.utils.set_random_seed(5)
    distiller = kd.Distiller(student=mlp(5, "student"), teacher=teacher, **settings)
    distiller.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return distiller


def results(distiller, history):
    """As JSON takes it, which has plain numbers only."""
    weights = [weight.tolist() for weight in distiller.get_weights()]
    return {"weights": weights, **history}


def errors(strategy):
    """What would else end in a collective that the other workers are not in."""

    def shard(context):
        mine = examples(9).shard(context.num_input_pipelines, context.input_pipeline_id)
        return mine.batch(context.get_per_replica_batch_size(8))

    with strategy.scope():
        distiller = make_distiller(alpha=1.0)
    uneven = strategy.distribute_datasets_from_function(shard)
    yield lambda: distiller.evaluate(uneven, verbose=0)
    own_folder = pathlib.Path(f"backup_{strategy.cluster_resolver.task_id}")
    if strategy.cluster_resolver.task_id == 1:
        own_folder.mkdir()
        (own_folder / "epoch_000003.weights.h5").touch()
    backup = kd.callbacks.BackupAndRestore(own_folder)
    yield lambda: distiller.fit(batches(16), shuffle=False, verbose=0, callbacks=[backup])


def message_of(function):
    try:
        function()
    except ValueError as error:
        return str(error)


def main(folder):
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    number, num_workers = strategy.cluster_resolver.task_id, strategy.num_replicas_in_sync
    kinds = [live, stored, *([together] if num_workers == 2 else [])]
    found = {kind.__name__: kind(strategy, folder) for kind in kinds}
    if num_workers == 2:
        found["errors"] = [message_of(function) for function in errors(strategy)]
    (folder / f"{num_workers}_{number}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(pathlib.Path())
