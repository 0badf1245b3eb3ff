"""What a contrastive loss remembers of all examples of a data set, and whom it contrasts."""

import math

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_distill.losses.numerics import unit_vectors

LARGEST_INT32 = 2**31 - 1


class EmbeddingMemory(keras.layers.Layer):
    """Embeds one model's features on the unit sphere, and remembers every example's embedding.

    On several devices each has the whole memory, and remembers the examples of all of them.

    Args:
        num_examples: Size of the data set.
        feature_dim: Width of the embedding.
        momentum: How much of what was remembered stays when an example comes again.
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
        # All replicas write the same, so one's is all's.
        settings = {"trainable": False, "autocast": False, "aggregation": "only_first_replica"}
        limit = math.sqrt(3 / self.feature_dim)  # Of length one on average.
        self.bank = self.add_weight(
            name="bank",
            shape=(self.num_examples, self.feature_dim),
            initializer=keras.initializers.RandomUniform(-limit, limit),
            **settings,
        )
        # Of a sum of 0: the first batch in training sets it.
        self.log_normalizer = self.add_weight(
            name="log_normalizer",
            initializer=keras.initializers.Constant(-math.inf),
            **settings,
        )
        self.built = True

    def call(self, features):
        # Features of zeros have no direction, and an embedding of zeros: at first there is no bias.
        return unit_vectors(self.projection(self.flatten(features)))

    def log_likelihoods(self, embeddings, index, temperature, training):
        """Log of exp(product / temperature) over its sum over all examples.

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
        """Moves what is remembered of the examples towards `embeddings`, in place."""
        mixed = self.momentum * self._recall(index) + (1 - self.momentum) * embeddings
        index, mixed = _of_all_replicas(index), _of_all_replicas(unit_vectors(mixed))
        self.bank.value.scatter_update(tf.IndexedSlices(mixed, index))

    def _recall(self, index):
        # Of a variable, these rows only. Keras's take would copy the bank first.
        return tf.gather(self.bank.value, index)

    def _log_normalizer(self, products, training):
        rows = tf.reduce_logsumexp(products, axis=-1)
        if training:
            rows = _of_all_replicas(ops.stop_gradient(rows))
        # Of an empty batch the sum is 0, and stays so.
        num_products = ops.maximum(ops.shape(rows)[0], 1) * ops.shape(products)[1]
        log_mean = tf.reduce_logsumexp(rows) - ops.log(ops.cast(num_products, products.dtype))
        estimate = ops.stop_gradient(log_mean) + math.log(self.num_examples)
        is_set = self.log_normalizer > -math.inf
        log_normalizer = ops.where(is_set, self.log_normalizer, estimate)
        if training:
            self.log_normalizer.assign(log_normalizer)
        return log_normalizer


class NegativeSampler(keras.layers.Layer):
    """Draws, for each example, others at random: all with the same chance, with replacement.

    Args:
        num_negatives: How many for each example.
        labels: The class of each example of the data set, integers: none of its own class is
            drawn.
        seed: Seed of the draws, an integer or None.
    """

    def __init__(self, num_negatives, labels, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.num_negatives = num_negatives
        self.seed = seed
        _, classes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        # Sorted by class, the others of an example are all but one range.
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
