"""A student cut out of its teacher: a BERT with fewer layers, and optionally narrower."""

import keras
from keras import ops

from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.checks import check_rate
from keras_distill._arguments.checks import is_integer
from keras_distill._arguments.imports import import_module
from keras_distill._keras.layers import flatten_layers
from keras_distill.layers.bert_encoder import BertEncoder
from keras_distill.layers.bert_encoder import has_exact_gelu
from keras_distill.students.copies.narrowing import Narrowing
from keras_distill.students.copies.narrowing import num_neurons
from keras_distill.students.copies.rebuilding import has_plain_weights
from keras_distill.students.texts.task import TextTask
from keras_distill.students.texts.task import check_sequence_length

_INPUTS = ("token_ids", "padding_mask", "segment_ids")
_SHARED = (
    "token_embedding",
    "position_embedding",
    "segment_embedding",
    "embeddings_layer_norm",
    "pooled_dense",
)


def from_teacher(
    teacher,
    layers=None,
    num_classes=None,
    *,
    hidden_dim=None,
    dropout=None,
    per_word=False,
    ids_only=True,
    sequence_length=None,
    name="student",
):
    """Cuts a smaller BERT out of a KerasHub BERT: some of its layers, at its width or less.

    Embeddings, the chosen layers, the pooling layer and the head start with the teacher's
    weights, and the student keeps the teacher's activation. Train the student afterwards like
    any other. With all layers and the full width it equals the teacher.

    With `hidden_dim`, all weights that read or write the hidden states are projected onto the
    first `hidden_dim` principal directions P of the token embeddings (teacher's hidden_dim x
    hidden_dim, from their singular value decomposition, not centred):

    ```
    embeddings P        reading weights P' W        writing weights W P
    heads = hidden_dim / (teacher's hidden_dim / teacher's heads)
    feed-forward width = teacher's * hidden_dim / teacher's hidden_dim, rounded
    ```

    The kept heads have the largest norm of `P' value_kernel output_kernel P`, and the kept
    neurons have the largest product of the norms of their projected weights. The embeddings
    are the best of their rank (Eckart and Young); the layers are only a starting point.

    Args:
        teacher: A `keras_hub.models.BertBackbone`, a KerasHub classifier or a
            `kd.teachers.text_classifier` over one, or any `keras.Model` with one inside.
            It is not changed.
        layers: Indices of the teacher's layers, from 0, in the student's order. Defaults
            to every second layer, from the first.
        num_classes: Number of classes; 1 for regression. Defaults to the teacher's. The
            head is copied if the teacher has just one Dense layer after its backbone,
            of this size.
        hidden_dim: Width of the hidden states, a multiple of the width of a teacher's head, at
            most the teacher's. Defaults to the teacher's.
        dropout: Dropout rate, in [0, 1). Defaults to the teacher's.
        per_word: True for logits per word, as in `bilstm`; the head then reads the
            last hidden state at the word instead of the pooled output.
        ids_only: Whether the student reads only token ids, (batch, length) with 0 for
            padding, as other students do. False: the teacher's inputs, a dict of
            token_ids, padding_mask and segment_ids, for pairs of texts in one sequence.
        sequence_length: A fixed number of ids and of words. Defaults to None, any number.
        name: Name of the model.

    Returns:
        A Functional `keras.Model` that gives logits, (batch, num_classes).

    Raises:
        ValueError: If the teacher has no `BertBackbone`, its backbone has LoRA or quantized
            weights, or an argument does not fit it.

    Example:

    ```python
    teacher = keras_hub.models.BertTextClassifier(backbone, num_classes=2)
    student = kd.students.from_teacher(teacher, layers=(0, 2, 4), hidden_dim=192)
    ```

    Reference: Sanh et al. 2019, DistilBERT, https://arxiv.org/abs/1910.01108. Deviations:
    the segment embeddings and the pooling layer are kept; the width may change.
    """
    source = _find_backbone(teacher)
    layers = _check_layers(layers, source.num_layers)
    hidden_dim = source.hidden_dim if hidden_dim is None else hidden_dim
    hidden_dim, num_heads = _check_hidden_dim(hidden_dim, source)
    sequence_length = check_sequence_length(sequence_length, source.max_sequence_length)
    head = _find_head(teacher, source)
    _check_weights(source, head)
    if num_classes is None and head is None:
        raise ValueError(
            "num_classes must be given: the teacher has no single Dense layer behind its backbone "
            "to copy. Received: num_classes=None"
        )
    num_classes = head.units if num_classes is None else num_classes
    dropout = source.dropout if dropout is None else dropout
    num_classes = check_integer("num_classes", num_classes)
    dropout = check_rate("dropout", dropout, with_one=False)
    narrowing = (
        None if hidden_dim == source.hidden_dim else Narrowing(source, hidden_dim, num_heads)
    )
    backbone = _copy_backbone(source, layers, hidden_dim, num_heads, dropout, narrowing)
    encoder = BertEncoder(backbone, has_exact_gelu(source), pooled=not per_word)
    student = _student(encoder, num_classes, dropout, per_word, ids_only, sequence_length, name)
    if head is not None and head.units == num_classes:
        logits = student.get_layer("logits")
        logits.kernel.assign(head.kernel if narrowing is None else narrowing.head(head.kernel))
        if head.use_bias:
            logits.bias.assign(head.bias)
    return student


def _student(encoder, num_classes, dropout, per_word, ids_only, sequence_length, name):
    task = TextTask(sequence_length, per_word=per_word, names=_INPUTS[:1] if ids_only else _INPUTS)
    if ids_only:
        inputs = {
            "token_ids": task.token_ids,
            "padding_mask": ops.cast(task.token_mask, "int32"),
            "segment_ids": ops.zeros_like(task.token_ids),
        }
    else:
        inputs = {name: task.inputs[name] for name in _INPUTS}
    outputs = encoder(inputs)
    encoded = outputs["sequence_output" if per_word else "pooled_output"]
    return task.model(task.features(encoded), num_classes, dropout, name)


def _copy_backbone(source, layers, hidden_dim, num_heads, dropout, narrowing):
    keras_hub = import_module("keras_hub")
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=source.vocabulary_size,
        num_layers=len(layers),
        num_heads=num_heads,
        hidden_dim=hidden_dim,
        intermediate_dim=num_neurons(source, hidden_dim),
        dropout=dropout,
        max_sequence_length=source.max_sequence_length,
        num_segments=source.num_segments,
        name="backbone",
    )
    pairs = [(getattr(source, name), getattr(backbone, name)) for name in _SHARED]
    pairs += zip((source.transformer_layers[i] for i in layers), backbone.transformer_layers)
    for from_layer, to_layer in pairs:
        if narrowing is None:
            to_layer.set_weights(from_layer.get_weights())
        else:
            narrowing.copy(from_layer, to_layer)
    return backbone


def _find_backbone(teacher):
    keras_hub = import_module("keras_hub")
    is_layer = isinstance(teacher, keras.layers.Layer)
    found = [
        layer
        for layer in (flatten_layers(teacher) if is_layer else ())
        if isinstance(layer, keras_hub.models.BertBackbone)
    ]
    if len(found) != 1:
        raise ValueError(
            "teacher must be or contain one keras_hub.models.BertBackbone, whose layers are "
            f"copied. Received: a {type(teacher).__name__} with {len(found)} of them. "
            "Layers of a TF-Hub file cannot be copied: load the checkpoint by KerasHub; of an "
            "ensemble, give one member."
        )
    return found[0]


def _find_head(teacher, source):
    inside = {id(layer) for layer in flatten_layers(source)}
    behind = [
        layer
        for layer in flatten_layers(teacher)
        if isinstance(layer, keras.layers.Dense) and id(layer) not in inside and layer.built
    ]
    fits = len(behind) == 1 and behind[0].kernel.shape[0] == source.hidden_dim
    return behind[0] if fits else None


def _check_weights(source, head):
    copied = [*flatten_layers(source), *([] if head is None else [head])]
    if others := [layer.path for layer in copied if not has_plain_weights(layer)]:
        raise ValueError(
            "teacher must be one without LoRA or quantization: its weights are copied as they are. "
            f"Received: {len(others)} such layers, the first {others[0]!r}. Save the weights of a "
            "LoRA teacher by save_weights, which merges them, and load them into a new model."
        )


def _check_layers(layers, num_layers):
    if layers is None:
        return range(0, num_layers, 2)
    is_sequence = isinstance(layers, (list, tuple, range)) and len(layers) > 0
    if not is_sequence or not all(_is_index(i, num_layers) for i in layers):
        raise ValueError(
            f"layers must be indices of the teacher's layers, from 0 to {num_layers - 1}, at least "
            f"one. Received: layers={layers!r}"
        )
    return [int(layer) for layer in layers]


def _is_index(value, count):
    return is_integer(value) and 0 <= value < count


def _check_hidden_dim(hidden_dim, source):
    """Returns the hidden_dim and the number of heads of a student."""
    hidden_dim = check_integer("hidden_dim", hidden_dim)
    head_dim = source.hidden_dim // source.num_heads
    if hidden_dim > source.hidden_dim or hidden_dim % head_dim:
        raise ValueError(
            f"hidden_dim must be at most the teacher's, {source.hidden_dim}, and a multiple of the "
            f"width of its heads, {head_dim}. Received: hidden_dim={hidden_dim}"
        )
    return hidden_dim, hidden_dim // head_dim
