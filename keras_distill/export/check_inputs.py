"""The inputs for the check of an exported model: real or generated."""

import keras
import numpy as np
import tensorflow as tf

from keras_distill._keras.graph import calls_of
from keras_distill._keras.layers import flatten_layers
from keras_distill.data.inputs import unpack
from keras_distill.export.pixels import made_up_image
from keras_distill.export.pixels import made_up_values
from keras_distill.export.tflite.metadata import ImageMetadata

# Most examples that are read from a dataset, which may be endless.
_MAX_READ = 10_000
# Size of open dimensions in generated inputs, large enough for the usual poolings and strides.
_OPEN_DIMENSION = 32
_TEXTS = ("a good film", "not at all", "What time is it in Zürich?", "42")


def examples_for_check(model, representative_data, num_generated, max_examples, metadata=None):
    """Inputs for the comparison: real ones if they are given, else generated ones.

    Args:
        model: A `NamedModel`.
        representative_data: Inputs in the form that the model takes, with a batch axis; a batched
            `tf.data.Dataset` of x, `(x, y)` or `(x, y, sample_weight)`; or None.
        num_generated: How many examples to generate if there is no data.
        max_examples: Largest number of examples, drawn from a whole array or from the first
            10,000 examples of a dataset.
        metadata: The model's `ImageMetadata`, which describes the inputs to generate.

    Returns:
        Arrays by name, and the labels if the dataset has them in one tensor, else None.

    Raises:
        ValueError: If the data does not fit the model's inputs or is empty.
    """
    if representative_data is None:
        return generate_inputs(model, num_generated, metadata=metadata), None
    if isinstance(representative_data, tf.data.Dataset):
        return _draw(model, representative_data, max_examples)
    inputs = model.name_inputs(representative_data)
    num_examples = len(next(iter(inputs.values())))
    _check_number(num_examples)
    places = np.arange(num_examples)
    if num_examples > max_examples:
        places = np.random.default_rng(0).choice(num_examples, max_examples, replace=False)
    return {name: values[np.sort(places)] for name, values in inputs.items()}, None


def _check_number(num_examples):
    if not num_examples:
        raise ValueError("representative_data must hold at least one example. Received: none.")


def _draw(model, dataset, max_examples):
    drawn, is_labelled = _Drawn(max_examples), True
    for batch in dataset:
        x, y, _ = unpack(batch)
        is_labelled = is_labelled and tf.is_tensor(y)
        drawn.add(model.name_inputs(x.student), y.numpy() if is_labelled else None)
        if drawn.num_seen >= _MAX_READ:
            break
    _check_number(drawn.num_seen)
    inputs, labels = drawn.examples()
    return inputs, labels if is_labelled else None


class _Drawn:
    """A uniform random sample of the examples of a stream, in their order.

    Every tenth example would have the same class if the data has ten classes in turn, and so
    would the first examples of sorted data.
    """

    def __init__(self, count):
        self._count = count
        self._generator = np.random.default_rng(0)
        self._kept = []
        self.num_seen = 0

    def add(self, inputs, labels):
        num_rows = len(next(iter(inputs.values())))
        # Kept rows are copied: a view would keep their whole batch in memory.
        for row in range(num_rows):
            place = self.num_seen
            self.num_seen += 1
            if place >= self._count:
                place = int(self._generator.integers(self.num_seen))
                if place >= self._count:
                    continue
            example = {name: values[row].copy() for name, values in inputs.items()}
            kept = self.num_seen, example, None if labels is None else labels[row]
            self._kept[place : place + 1] = [kept]

    def examples(self):
        self._kept.sort(key=lambda kept: kept[0])
        _, inputs, labels = zip(*self._kept)
        stacked = {name: np.stack([x[name] for x in inputs]) for name in inputs[0]}
        return stacked, None if labels[0] is None else np.stack(labels)


def generate_inputs(model, num_examples, seed=0, metadata=None):
    """Generates inputs from the shapes and dtypes of a model's inputs.

    An Embedding layer that reads an input itself gets ids from its whole vocabulary, a Rescaling
    layer pixels, a Normalization layer values of its distribution, and a model with
    `ImageMetadata` pixels. Other inputs are floats from a normal distribution, integers 0 and 1
    (valid as masks, segments and ids), uint8 from 0 to 255, or short texts. The first value of a
    row of integers is never 0, so that no mask is empty. Unknown dimensions are 32.

    Args:
        model: A `NamedModel`.
        num_examples: The batch size.
        seed: Seed of the random numbers.
        metadata: The model's metadata, or None.

    Returns:
        Arrays by name.
    """
    generator = np.random.default_rng(seed)
    inputs = {}
    for name, spec in model.input_specs(num_examples).items():
        shape = tuple(size or _OPEN_DIMENSION for size in spec.shape)
        expected = None
        if isinstance(metadata, ImageMetadata):
            expected = made_up_image(metadata, shape, generator)
        elif spec.dtype != tf.string:
            expected = made_up_values(model, name, shape, generator)
        if expected is not None:
            inputs[name] = expected.astype(spec.dtype.as_numpy_dtype)
            continue
        vocabulary_size = _vocabulary_size(model, name)
        inputs[name] = _generate(generator, shape, spec.dtype, vocabulary_size)
    return inputs


def _vocabulary_size(model, name):
    # The dtype does not show ids, which many models take as floats, Keras's default dtype.
    sizes = [
        layer.input_dim
        for layer in flatten_layers(model.model)
        if isinstance(layer, keras.layers.Embedding)
        for node in calls_of(layer)
        if any(tensor is model.inputs[name] for tensor in node.input_tensors)
    ]
    return min(sizes, default=None)


def _generate(generator, shape, dtype, vocabulary_size):
    if dtype == tf.string:
        return generator.choice(np.array(_TEXTS, dtype=object), shape)
    if vocabulary_size is None and dtype.is_floating:
        return generator.normal(size=shape).astype(dtype.as_numpy_dtype)
    largest = 255 if dtype == tf.uint8 else 1
    values = generator.integers(0, vocabulary_size or largest + 1, shape)
    if len(shape) > 1 and shape[1] > 1:
        values[:, 0] = np.maximum(values[:, 0], 1)
    return values.astype(dtype.as_numpy_dtype)
