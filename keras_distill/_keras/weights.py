"""Aligns sample weights with the axes of a loss's values."""

from keras import ops


def fit_weights(sample_weight, rank):
    """Gives sample weights the rank of the values that they multiply.

    Missing axes are appended, so that a weight per example applies to each of its
    tokens: Keras's own product would align the batch with the last axis. If the
    values have fewer axes than the weights, each value gets the mean of its weights.

    Args:
        sample_weight: Weights, `(batch, ...)`, or None.
        rank: Rank of the values, including the batch axis.
    """
    if sample_weight is None:
        return None
    sample_weight = ops.convert_to_tensor(sample_weight)
    weight_rank = len(sample_weight.shape)
    if weight_rank > rank:
        return ops.mean(sample_weight, axis=list(range(rank, weight_rank)))
    for _ in range(rank - weight_rank):
        sample_weight = ops.expand_dims(sample_weight, -1)
    return sample_weight
