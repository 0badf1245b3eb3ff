"""Recordings inside each other, in threads and in replicas: each sees its own pass."""

import threading

import numpy as np
import pytest
import tensorflow as tf
from models_to_tap import batch
from models_to_tap import functional
from models_to_tap import taps_of

from keras_distill.distillation.taps import current_recording
from keras_distill.distillation.taps import record


def test_nested_recordings():
    """Online distillation records a model inside another's pass: each gets its own."""
    model = functional()
    first, second = batch(2, 4), batch(3, 4)
    dense = model.get_layer("dense")
    with record(model, ["dense"]) as outer:
        model(first)
        with record(model, ["dense", "head"]) as inner:
            model(second)
        assert current_recording() is outer
        # Still wrapped for the outer one.
        assert "call" in dense.__dict__
    assert "call" not in dense.__dict__
    np.testing.assert_allclose(outer["dense"], dense(first), rtol=1e-6)
    np.testing.assert_allclose(inner["dense"], dense(second), rtol=1e-6)


def test_outer_recording_does_not_see_inner_passes_of_other_layers():
    """Only what a recording asked for is stored in it."""
    model = functional()
    with record(model, ["dense"]) as outer, record(model, ["head"]) as inner:
        model(batch(2, 4))
    assert inner["head"].shape == (2, 3)
    with pytest.raises(ValueError, match="did not run"):
        outer["dense"]


def test_two_threads():
    """MirroredStrategy traces each replica in a thread of its own."""
    model = functional()
    dense = model.get_layer("dense")
    together, results = threading.Barrier(2, timeout=60), {}

    def run(index):
        x = batch(2, 4) + index
        with record(model, ["dense"]) as recording:
            together.wait()
            model(x)
            together.wait()
            results[index] = recording["dense"], x
        together.wait()

    threads = [threading.Thread(target=run, args=[index]) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for activation, x in results.values():
        np.testing.assert_allclose(activation, dense(x), rtol=1e-6)
    assert len(results) == 2
    assert "call" not in dense.__dict__


def test_other_threads_are_not_recorded():
    """A model that serves in one thread must not end up in the training of another."""
    model, served = functional(), []
    with record(model, ["dense"]) as recording:
        thread = threading.Thread(target=lambda: served.append(model(batch(5, 4))))
        thread.start()
        thread.join()
        model(batch(2, 4))
    assert served[0].shape == (5, 3)
    assert recording["dense"].shape == (2, 4)


def test_replicas_of_a_mirrored_strategy():
    """Each replica reads its own part of the batch."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        model = functional()

    @tf.function
    def run():
        def step():
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            x = tf.fill((2, 4), tf.cast(replica + 1, "float32"))
            _, activations = taps_of(model, ["dense"], x)
            return activations["dense"]

        return strategy.run(step)

    values = strategy.experimental_local_results(run())
    for index, value in enumerate(values):
        expected = model.get_layer("dense")(tf.fill((2, 4), index + 1.0))
        np.testing.assert_allclose(value, expected, rtol=1e-5)
