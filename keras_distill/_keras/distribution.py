"""Functions that `fit` needs beyond Keras if several processes (workers) train one model."""

import tensorflow as tf


def reducible(logs, strategy):
    """Logs of a step in a form in which Keras can take their mean over the workers.

    Between workers Keras takes the mean over axis 0, which scalars do not have:
    https://github.com/keras-team/keras/issues/20585.
    """
    if not spans_workers(strategy):
        return logs
    return tf.nest.map_structure(lambda value: tf.expand_dims(value, 0), logs)


def spans_workers(strategy):
    """Whether a strategy trains in several processes.

    With only one worker, the strategy has the same class. If `_in_multi_worker_mode` is removed,
    the cluster resolver's `cluster_spec()` has the number of workers.
    """
    is_multi_worker = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    return is_multi_worker and strategy.extended._in_multi_worker_mode()


def is_first_worker(strategy):
    """Whether this process writes files for all workers."""
    return strategy.extended.should_checkpoint


def mean_and_spread(number, strategy):
    """Mean and standard deviation of the workers' numbers; the latter is 0 if they agree."""
    if not spans_workers(strategy):
        return number, 0.0
    powers = tf.constant([number, number**2], tf.float64)
    mean, square = strategy.reduce("MEAN", powers, axis=None).numpy()
    return float(mean), float(max(square - mean**2, 0.0)) ** 0.5


def check_num_batches(num_batches, strategy):
    """Raises `ValueError` unless all workers have the same number of batches, to stay in step.

    Args:
        num_batches: Number of batches of this worker's data; None if it is not known. Workers
            then stop together, when none of them has any left.
        strategy: The strategy.
    """
    mean, spread = mean_and_spread(-1 if num_batches is None else num_batches, strategy)
    if spread > 0:
        raise ValueError(
            f"All workers must have the same number of batches. Received: {num_batches} here, "
            f"{mean:g} on average. Give the whole data set to each, which is then sharded, or let "
            "shards be alike: examples.take(n - n % num_workers).shard(num_workers, index)."
        )


def element_spec(iterator):
    """Specs of the batches of Keras's epoch iterator, without reading one.

    If `_distributed_dataset` is removed, the first batch of the data must be read instead.
    """
    return iterator._distributed_dataset.element_spec


def of_one_replica(spec):
    """A batch's spec for one replica; with a single replica it is the spec itself.

    TensorFlow's PerReplicaSpec has no public name for its specs. If `_value_specs` is removed,
    the `element_spec` of the data set before its distribution has them.
    """
    specs = getattr(spec, "_value_specs", None)
    return specs[0] if specs else spec
