"""Deep mutual learning: peers that teach one another."""

import itertools

import keras

from keras_distill.losses.outputs.soft_targets import SoftTargetKL
from keras_distill.teaching.online.base import Lesson
from keras_distill.teaching.online.base import OnlineDistillation
from keras_distill.teaching.online.base import named


@keras.saving.register_keras_serializable(package="keras_distill")
class MutualLearning(OnlineDistillation):
    """Deep mutual learning (DML): models that teach one another, without a trained teacher.

    ```
    total  = sum_i (hard_i + weight * soft_i) + regularisers
    hard_i = the loss given to compile(), of peer i on the labels
    soft_i = mean over the other peers j of KL(softmax(peer_j) || softmax(peer_i))
    ```

    This is an ordinary Keras model, whose outputs are a dict with one entry for each peer: compile,
    fit, evaluate, predict, callbacks and save work as usual. The peers are trained in place and
    stay plain models; export any of them.

    Args:
        peers: List of at least two built Keras models, of any architecture, which read the same
            inputs and have one output of the same shape each. They must start from different
            weights: equal models would teach one another nothing. Their names, which must differ,
            are the names of the outputs.
        soft_loss: Loss with y_true = another peer, y_pred = the peer. None for
            `losses.SoftTargetKL(temperature=1.0)`.
        weight: Weight of the soft losses, a float from 0 or a `LearningRateSchedule` of the
            optimizer's step. Defaults to 1.
        name: Name of the model.

    History and evaluate: loss, and for each peer `{name}_loss` (the hard loss),
    `{name}_soft_loss` and `{name}_{metric}`. A single y or sample_weight applies to every peer.

    Raises:
        ValueError: If there are fewer than two peers, two have the same name, they share layers,
            their outputs differ, or a peer is not built.

    Example:

    >>> import numpy as np
    >>> x, y = np.ones((8, 3), "float32"), np.arange(8) % 2
    >>> small, large = (
    ...     keras.Sequential(
    ...         [keras.Input((3,)), keras.layers.Dense(width, "relu"), keras.layers.Dense(2)],
    ...         name=name,
    ...     )
    ...     for name, width in {"small": 4, "large": 32}.items()
    ... )
    >>> peers = MutualLearning([small, large])
    >>> peers.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> sorted(peers.fit(x, y, verbose=0).history)
    ['large_loss', 'large_soft_loss', 'loss', 'small_loss', 'small_soft_loss']
    >>> small.predict(x, verbose=0).shape
    (8, 2)

    Reference: Zhang et al. 2018, https://arxiv.org/abs/1706.00384. Deviation: the paper updates
    the peers in turn, each from the predictions of the others after their update; here one
    optimizer updates all at once, from one forward pass.
    """

    def __init__(self, peers, *, soft_loss=None, weight=1.0, name="mutual_learning"):
        peers = named("peers", peers)
        share = 1 / (len(peers) - 1)
        super().__init__(
            peers,
            [Lesson(*pair, share) for pair in itertools.permutations(peers, 2)],
            trunk=None,
            soft_loss=SoftTargetKL(temperature=1.0) if soft_loss is None else soft_loss,
            weight=weight,
            name=name,
        )

    def get_config(self):
        peers = list(map(keras.saving.serialize_keras_object, self.models.values()))
        return {"peers": peers, **super().get_config()}
