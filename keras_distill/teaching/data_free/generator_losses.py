"""The three losses of DAFL, by which a generator learns from a fixed teacher."""

from keras import ops


def one_hot_loss(logits):
    """The teacher's uncertainty about each example.

    ```
    loss_i = -log max_c softmax(logits_i)_c
    ```

    This is the cross-entropy with the teacher's own class, from 0 (sure) to log(classes).

    Args:
        logits: The teacher's logits, `(batch, classes)`.

    Returns:
        `(batch,)`.
    """
    return ops.logsumexp(_centred(logits), axis=-1)


def activation_loss(features):
    """How little each example activates a layer of the teacher: minus the mean of |features|.

    Args:
        features: `(batch, ...)`.

    Returns:
        `(batch,)`.
    """
    features = ops.cast(features, "float32")
    return -ops.mean(ops.abs(features), axis=range(1, len(features.shape)))


def entropy_loss(logits):
    """The imbalance of a batch over the classes.

    ```
    loss = sum_c p_c * log p_c / log(classes),  p = mean_i softmax(logits_i)
    ```

    This is minus the relative entropy of the mean prediction, from -1 (all classes equally
    likely) to 0 (one class).

    Args:
        logits: The teacher's logits, `(batch, classes)`, with at least two classes.

    Returns:
        A scalar.
    """
    log_p = -ops.expand_dims(one_hot_loss(logits), -1) + _centred(logits)
    # The mean is taken of logarithms: for a class of probability 0, 0 * log(0) would be NaN.
    size = ops.log(ops.cast(ops.shape(logits)[0], "float32"))
    log_mean = ops.logsumexp(log_p, axis=0) - size
    return ops.sum(ops.exp(log_mean) * log_mean) / ops.log(float(logits.shape[-1]))


def _centred(logits):
    """The logits, shifted so that the largest of each example is 0."""
    logits = ops.cast(logits, "float32")
    return logits - ops.max(logits, axis=-1, keepdims=True)
