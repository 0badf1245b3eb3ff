"""Weights of a BERT for a smaller width: projected, without the weakest heads and neurons."""

import keras
import numpy as np

_WIDTH, _HEAD, _NEURON, _KEPT = "width", "head", "neuron", "kept"
# Meaning of the axes of a KerasHub BertBackbone's weights.
_AXES = {
    "token_embedding/embeddings": (_KEPT, _WIDTH),
    "position_embedding/embeddings": (_KEPT, _WIDTH),
    "segment_embedding/embeddings": (_KEPT, _WIDTH),
    "query/kernel": (_WIDTH, _HEAD, _KEPT),
    "query/bias": (_HEAD, _KEPT),
    "key/kernel": (_WIDTH, _HEAD, _KEPT),
    "key/bias": (_HEAD, _KEPT),
    "value/kernel": (_WIDTH, _HEAD, _KEPT),
    "value/bias": (_HEAD, _KEPT),
    "attention_output/kernel": (_HEAD, _KEPT, _WIDTH),
    "attention_output/bias": (_WIDTH,),
    "feedforward_intermediate_dense/kernel": (_WIDTH, _NEURON),
    "feedforward_intermediate_dense/bias": (_NEURON,),
    "feedforward_output_dense/kernel": (_NEURON, _WIDTH),
    "feedforward_output_dense/bias": (_WIDTH,),
    "pooled_dense/kernel": (_WIDTH, _WIDTH),
    "pooled_dense/bias": (_WIDTH,),
}


def principal_directions(embeddings, width):
    """The orthonormal directions that preserve a matrix's rows best.

    `embeddings @ P @ P.T` is the best approximation of rank `width` (Eckart and Young).

    Args:
        embeddings: (tokens, teacher width).
        width: Number of directions.

    Returns:
        P, (teacher width, width), float64.
    """
    embeddings = _float64(embeddings)
    # eigh gives the right singular vectors without the left ones, which have vocabulary length.
    _, directions = np.linalg.eigh(embeddings.T @ embeddings)
    return directions[:, ::-1][:, :width]


def num_neurons(backbone, width):
    """Number of a narrowed layer's feed-forward neurons, in the teacher's ratio to the width."""
    return max(1, round(backbone.intermediate_dim * width / backbone.hidden_dim))


class Narrowing:
    """Reduces the weights of a BERT's layers to a smaller width.

    ```
    axes of the width      W becomes P' W, or W P; a gain g becomes the diagonal of P' diag(g) P
    heads                  those with the largest norm of P' value_kernel output_kernel P
    feed-forward neurons   those with the largest |P' in_kernel| * |out_kernel P|
    ```

    P, (teacher width, width), holds the principal directions of the token embeddings.

    Args:
        backbone: The teacher's `keras_hub.models.BertBackbone`.
        width: The smaller width.
        num_heads: Number of heads to keep.
    """

    def __init__(self, backbone, width, num_heads):
        self._projection = principal_directions(backbone.token_embedding.embeddings, width)
        self._num_heads = num_heads
        self._num_neurons = num_neurons(backbone, width)

    def copy(self, teacher, student):
        """Sets the weights of a layer from the teacher's layer."""
        weights = {_kind(v): _float64(v) for v in teacher.weights}
        kept = self._kept(weights) if "query/kernel" in weights else {}
        for variable in student.weights:
            variable.assign(self._narrow(_kind(variable), weights[_kind(variable)], kept))

    def head(self, kernel):
        """Projects a kernel that reads the width."""
        return self._projection.T @ _float64(kernel)

    def _narrow(self, kind, values, kept):
        if kind.endswith("/gamma"):
            return np.einsum("ij,i->j", self._projection**2, values)
        for axis, meaning in enumerate(_AXES.get(kind, (_WIDTH,))):
            if meaning == _WIDTH:
                projected = np.tensordot(values, self._projection, (axis, 0))
                values = np.moveaxis(projected, -1, axis)
            elif meaning in kept:
                values = np.take(values, kept[meaning], axis)
        return values

    def _kept(self, weights):
        value = np.einsum("ij,ihd->hjd", self._projection, weights["value/kernel"])
        output = weights["attention_output/kernel"] @ self._projection
        reads = self._projection.T @ weights["feedforward_intermediate_dense/kernel"]
        writes = weights["feedforward_output_dense/kernel"] @ self._projection
        head_norms = np.linalg.norm(value @ output, axis=(1, 2))
        neuron_norms = np.linalg.norm(reads, axis=0) * np.linalg.norm(writes, axis=1)
        return {
            _HEAD: _largest(head_norms, self._num_heads),
            _NEURON: _largest(neuron_norms, self._num_neurons),
        }


def _float64(variable):
    return np.asarray(keras.ops.convert_to_numpy(variable), "float64")


def _kind(variable):
    return "/".join(variable.path.split("/")[-2:])


def _largest(values, count):
    return np.sort(np.argsort(-values, kind="stable")[:count])
