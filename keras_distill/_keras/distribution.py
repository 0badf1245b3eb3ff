"""What `fit` needs beyond Keras when several processes, the workers, train one model."""

import tensorflow as tf


def reducible(logs, strategy):
    """Logs of a step as Keras can take their mean over the workers.

    Between workers it is the mean over an axis 0, which scalars do not have:
    https://github.com/keras-team/keras/issues/20585.
    """
    if not spans_workers(strategy):
        return logs
    return tf.nest.map_structure(lambda value: tf.expand_dims(value, 0), logs)


def spans_workers(strategy):
    """Whether a strategy trains in several processes."""
    is_multi_worker = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    return is_multi_worker and strategy.extended._in_multi_worker_mode()


def is_first_worker(strategy):
    """Whether this process is the one that writes for all."""
    return strategy.extended.should_checkpoint


def mean_and_spread(number, strategy):
    """The mean of what each worker gives, and the standard deviation: 0 if they agree."""
    if not spans_workers(strategy):
        return number, 0.0
    powers = tf.constant([number, number**2], tf.float64)
    mean, square = strategy.reduce("MEAN", powers, axis=None).numpy()
    return float(mean), float(max(square - mean**2, 0.0)) ** 0.5


def check_num_batches(num_batches, strategy):
    """Raises `ValueError` unless all workers have as many batches: they would lose step.

    Args:
        num_batches: Of this worker's data; None if that is not known. Workers then stop
            together, when none of them has any left.
        strategy: The strategy.
    """
    mean, spread = mean_and_spread(-1 if num_batches is None else num_batches, strategy)
    if spread > 0:
        raise ValueError(
            f"All workers must have the same number of batches. Received: {num_batches} here, "
            f"{mean:g} on average. Give the whole data set to each, which is then sharded, or let "
            "shards be alike: examples.take(n - n % num_workers).shard(num_workers, index)."
        )
