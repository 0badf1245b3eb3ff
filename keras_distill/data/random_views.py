"""Random augmentation, with the same views for teacher and student."""

import keras
import tensorflow as tf

from keras_distill._arguments.checks import check_function
from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.checks import check_seed


class RandomViews:
    """A fixed number of random views of every example, which a store can hold.

    A student that sees another crop than its teacher learns wrong answers. Here each
    view has its own seed, computed from the example and the view's number. The
    store holds all views, and each epoch takes one view of each example at random.

    ```python
    def crop(image, seed):
        return tf.image.stateless_random_crop(image, (28, 28, 3), seed)

    views = kd.data.RandomViews(crop, num_views=4)
    store = kd.TeacherStore.build(views.all(dataset), teacher, "store")
    distiller.fit(store.attach(views.random(dataset)).batch(64), epochs=100)
    ```

    Args:
        augment: Function from one x and a seed, int64 `(2,)`, to a view of x, in TensorFlow
            operations whose only randomness is that seed: `tf.image.stateless_random_*`,
            `tf.random.stateless_*`.
        num_views: Number of views of an example.
        seed: Seed of all views and of the choice among them. Defaults to 0.

    Reference: Beyer et al. 2022, https://arxiv.org/abs/2106.05237, "consistent teaching".
    Deviation: the paper runs the teacher on ever new views; here their number is fixed.
    """

    def __init__(self, augment, num_views, seed=0):
        check_function("augment", augment, "augment must be a function of an x and a seed.")
        num_views = check_integer("num_views", num_views)
        seed = check_seed("seed", seed)
        self._augment, self._num_views, self._seed = augment, num_views, seed

    def all(self, dataset):
        """Returns a data set of all views of each example, one after the other.

        Args:
            dataset: A `tf.data.Dataset` of single examples, `x` or `(x, ...)`.
        """

        def views_of(*example):
            numbers = tf.data.Dataset.range(self._num_views)
            return numbers.map(lambda number: self._view(example, number))

        views = dataset.flat_map(views_of)
        cardinality = dataset.cardinality()
        if cardinality < 0:
            return views
        cardinality *= self._num_views
        return views.apply(tf.data.experimental.assert_cardinality(cardinality))

    def random(self, dataset):
        """Returns a data set with one view of each example, drawn anew in every epoch.

        Args:
            dataset: As for `all`, in any order.
        """
        choices = tf.data.Dataset.random(self._seed, rerandomize_each_iteration=True)
        return tf.data.Dataset.zip(dataset, choices).map(
            lambda example, choice: self._view(_as_tuple(example), choice % self._num_views),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    @tf.autograph.experimental.do_not_convert
    def _view(self, example, number):
        x, *rest = example
        contents = [tf.io.serialize_tensor(leaf) for leaf in keras.tree.flatten(x)]
        # The seed depends on the example alone, not on its position in the data set.
        hashed = tf.strings.to_hash_bucket_fast(tf.strings.join(contents), 2**31)
        seed = tf.stack([hashed, self._seed * self._num_views + number])
        view = self._augment(x, seed)
        return (view, *rest) if rest else view


def _as_tuple(element):
    # A named tuple, such as DistillationInputs, is one x.
    return element if type(element) is tuple else (element,)
