"""The inputs that an exported model is checked on: real ones, or made up."""

import keras
import numpy as np
import tensorflow as tf

from keras_distill.inputs import unpack

# Enough for the usual poolings and strides, where a model leaves a dimension open.
_OPEN_DIMENSION = 32
_TEXTS = ("a good film", "not at all", "What time is it in Zürich?", "42")


def examples_for_check(model, representative_data, num_generated, max_examples):
    """Inputs for the comparison: real ones where they are given, else generated.

    Args:
        model: A `NamedModel`.
        representative_data: Inputs as the model takes them, with a batch axis; a batched
            `tf.data.Dataset` of x, `(x, y)` or `(x, y, sample_weight)`; or None.
        num_generated: How many examples to generate if there is no data.
        max_examples: How many of the given examples are used at most.

    Returns:
        Arrays by name, and the labels of a dataset that has some in one tensor, else None.

    Raises:
        ValueError: If the data does not fit the model's inputs or is empty.
    """
    if representative_data is None:
        return generate_inputs(model, num_generated), None
    is_dataset = isinstance(representative_data, tf.data.Dataset)
    batches, labels, count = [], [], 0
    for batch in representative_data if is_dataset else [representative_data]:
        x, y = batch, None
        if is_dataset:
            x, y, _ = unpack(batch)
            x = x.student
        batches.append(model.name_inputs(x))
        labels.append(y)
        count += len(next(iter(batches[-1].values())))
        if count >= max_examples:
            break
    if not count:
        raise ValueError("representative_data must hold at least one example. Received: none.")
    inputs = {
        name: np.concatenate([batch[name] for batch in batches])[:max_examples]
        for name in model.inputs
    }
    if not all(tf.is_tensor(y) for y in labels):
        return inputs, None
    return inputs, np.concatenate(labels)[:max_examples]


def generate_inputs(model, num_examples, seed=0):
    """Makes up inputs from the shapes and dtypes of a model's inputs.

    Ids for an Embedding layer that reads an input itself, from its whole vocabulary; else
    floats from a normal distribution, integers 0 and 1 (what masks, segments and ids all
    allow), uint8 from 0 to 255, short texts. The first value of a row of integers is
    never 0, so that no mask is empty. Unknown dimensions are 32.

    Args:
        model: A `NamedModel`.
        num_examples: The batch size.
        seed: Seed of the random numbers.

    Returns:
        Arrays by name.
    """
    generator = np.random.default_rng(seed)
    inputs = {}
    for name, spec in model.input_specs(num_examples).items():
        shape = tuple(size or _OPEN_DIMENSION for size in spec.shape)
        vocabulary_size = _vocabulary_size(model, name)
        inputs[name] = _generate(generator, shape, spec.dtype, vocabulary_size)
    return inputs


def _vocabulary_size(model, name):
    # Keras's default dtype makes floats of many models' ids: the dtype does not tell.
    sizes = [
        layer.input_dim
        for layer in model.model._flatten_layers()
        if isinstance(layer, keras.layers.Embedding)
        for node in layer._inbound_nodes
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
