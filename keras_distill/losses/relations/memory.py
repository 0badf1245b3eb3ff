"""Memory of a contrastive loss for all examples of a data set, and its negative samples."""

import math

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_distill.losses.numerics import unit_vectors

LARGEST_INT32 = 2**31 - 1


class EmbeddingMemory(keras.layers.Layer):
    """Embeds one model's features on the unit sphere, and remembers every example's embedding.

    With several devices, each has the whole memory, and remembers the examples of all devices.

    Args:
        num_examples: Size of the data set.
        feature_dim: Width of the embedding.
        momentum: Share of the remembered embedding that is kept when an example comes again.
    """

    def __init__(self, num_examples, feature_dim, momentum, **kwargs):
        super().__init__(**kwargs)
        self.num_examples = num_examples
        self.feature_dim = feature_dim
        self.momentum = momentum
        self.flatten = keras.layers.Flatten(dtype=self.dtype_policy)
        self.projection = keras.layers.Dense(feature_dim, dtype=self.dtype_policy)

    def build(self, input_shape):
        self.projection.build((None, math.prod(input_shape[1:])))
        # All replicas write the same values, so the first replica's are enough.
        settings = {"trainable": False, "autocast": False, "aggregation": "only_first_replica"}
        limit = math.sqrt(3 / self.feature_dim)  # Rows then have a length of about one.
        self.bank = self.add_weight(
            name="bank",
            shape=(self.num_examples, self.feature_dim),
            initializer=keras.initializers.RandomUniform(-limit, limit),
            **settings,
        )
        # -inf is the log of a sum of 0; the first training batch sets the real value.
        self.log_normalizer = self.add_weight(
            name="log_normalizer",
            initializer=keras.initializers.Constant(-math.inf),
            **settings,
        )
        self.built = True

    def call(self, features):
        # Features of zeros have an embedding of zeros while the bias is 0, and so no direction.
        return unit_vectors(self.projection(self.flatten(features)))

    def log_likelihoods(self, embeddings, index, temperature, training):
        """Log of exp(product / temperature), divided by its estimated sum over all examples.

        Args:
            embeddings: The other model's embeddings, `(batch, feature_dim)`.
            index: Indices of examples, `(batch, candidates)`.
            temperature: Divides the products.
            training: Whether the first batch sets the normaliser.

        Returns:
            `(batch, candidates)`.
        """
        products = ops.einsum("bcd,bd->bc", self._recall(index), embeddings) / temperature
        return products - self._log_normalizer(products, training)

    def remember(self, index, embeddings):
        """Moves the remembered embeddings of the examples towards `embeddings`, in place."""
        mixed = self.momentum * self._recall(index) + (1 - self.momentum) * embeddings
        index, mixed = _of_all_replicas(index), _of_all_replicas(unit_vectors(mixed))
        self.bank.value.scatter_update(tf.IndexedSlices(mixed, index))

    def _recall(self, index):
        # tf.gather reads only these rows of the variable; Keras's take would copy all rows first.
        return tf.gather(self.bank.value, index)

    def _log_normalizer(self, products, training):
        rows = tf.reduce_logsumexp(products, axis=-1)
        if training:
            rows = _of_all_replicas(ops.stop_gradient(rows))
        # An empty batch has a sum of 0, and leaves the value unset.
        num_products = ops.maximum(ops.shape(rows)[0], 1) * ops.shape(products)[1]
        log_mean = tf.reduce_logsumexp(rows) - ops.log(ops.cast(num_products, products.dtype))
        estimate = ops.stop_gradient(log_mean) + math.log(self.num_examples)
        is_set = self.log_normalizer > -math.inf
        log_normalizer = ops.where(is_set, self.log_normalizer, estimate)
        if training:
            self.log_normalizer.assign(log_normalizer)
        return log_normalizer


class NegativeSampler(keras.layers.Layer):
    """Draws other examples for each example: uniformly, with replacement.

    Args:
        num_negatives: Number of negatives for each example.
        labels: The class of each example of the data set, integers: negatives have another
            class than their example.
        seed: Seed of the draws, an integer or None.
    """

    def __init__(self, num_negatives, labels, seed, **kwargs):
        super().__init__(**kwargs)
        self.num_negatives = num_negatives
        self.seed = seed
        _, classes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        # After sorting by class, an example's negatives are all examples outside of one range.
        self._sorted = np.argsort(classes, kind="stable").astype("int32")
        self._begin = (np.cumsum(sizes) - sizes)[classes].astype("int32")
        self._size = sizes[classes].astype("int32")

    def build(self, index_shape):
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.built = True

    def call(self, index):
        shape = (ops.shape(index)[0], self.num_negatives)
        draws = keras.random.randint(shape, 0, LARGEST_INT32, seed=self.seed_generator)
        begin, size = (tf.gather(of, index)[:, None] for of in (self._begin, self._size))
        place = draws % (len(self._sorted) - size)
        return tf.gather(self._sorted, ops.where(place < begin, place, place + size))


def _of_all_replicas(values):
    return tf.distribute.get_replica_context().all_gather(values, axis=0)
