"""What a generator learns from a fixed teacher: the three losses of DAFL."""

from keras import ops


def one_hot_loss(logits):
    """How unsure the teacher is of each example.

    ```
    loss_i = -log max_c softmax(logits_i)_c
    ```

    The cross-entropy with the teacher's own class, from 0 (sure) to log(classes).

    Args:
        logits: The teacher's, `(batch, classes)`.

    Returns:
        `(batch,)`.
    """
    return ops.logsumexp(_centred(logits), axis=-1)


def activation_loss(features):
    """How little each example excites a layer of the teacher: minus the mean of |features|.

    Args:
        features: `(batch, ...)`.

    Returns:
        `(batch,)`.
    """
    features = ops.cast(features, "float32")
    return -ops.mean(ops.abs(features), axis=range(1, len(features.shape)))


def entropy_loss(logits):
    """How unevenly a batch is spread over the classes.

    ```
    loss = sum_c p_c * log p_c / log(classes),  p = mean_i softmax(logits_i)
    ```

    Minus the entropy of the mean prediction, from -1 (all classes alike) to 0 (one class).

    Args:
        logits: The teacher's, `(batch, classes)`, of two classes at least.

    Returns:
        A scalar.
    """
    log_p = -ops.expand_dims(one_hot_loss(logits), -1) + _centred(logits)
    # A class that is never told has a logarithm all the same: 0 * log(0) would be NaN.
    size = ops.log(ops.cast(ops.shape(logits)[0], "float32"))
    log_mean = ops.logsumexp(log_p, axis=0) - size
    return ops.sum(ops.exp(log_mean) * log_mean) / ops.log(float(logits.shape[-1]))


def _centred(logits):
    """The logits, the largest of each example 0."""
    logits = ops.cast(logits, "float32")
    return logits - ops.max(logits, axis=-1, keepdims=True)
