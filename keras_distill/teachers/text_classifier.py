"""Classifiers from strings to logits over text encoders of TF-Hub and KerasHub."""

import json
import pathlib

import keras

from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.checks import check_rate
from keras_distill._arguments.checks import is_integer
from keras_distill._arguments.imports import import_module
from keras_distill._arguments.printable import printable
from keras_distill._keras.keras_hub import read_preset_file
from keras_distill._keras.model_files import check_weights
from keras_distill._keras.model_files import errors_that_name
from keras_distill.layers.bert_encoder import BertEncoder
from keras_distill.layers.first_pieces import FirstPieces
from keras_distill.layers.strings_to_logits import in_two_parts
from keras_distill.teachers.hub import HubLayer
from keras_distill.teachers.preset_names import check_preset_name
from keras_distill.teachers.text_inputs import HUB_NAMES
from keras_distill.teachers.text_inputs import KERAS_HUB_NAMES
from keras_distill.teachers.text_inputs import TextInputs
from keras_distill.teachers.text_inputs import known_tokens
from keras_distill.text.vocabularies.base import Vocabulary
from keras_distill.text.vocabularies.word_pieces import WordPieceVocabulary

_MAX_LAYERS = 1000
_NO_PRESET = (
    "It must be a preset of KerasHub, a folder, or a handle that KerasHub reads; the files of a "
    "folder may be damaged."
)


def text_classifier(
    encoder,
    preprocessor=None,
    num_classes=None,
    *,
    pairs=False,
    per_word=False,
    sequence_length=None,
    dropout=0.1,
    exact_gelu=None,
    name="text_classifier",
):
    """Adds a classifier to a text encoder: a Keras model from strings to logits.

    Encoders are BERTs of TF-Hub, and of KerasHub BERT, RoBERTa, DeBERTa-V3, XLM-RoBERTa,
    ALBERT and DistilBERT. The model has two parts:

    ```
    model.preprocessor   texts -> ids, mask, segment ids, as long as the batch's longest text
    model.classifier     a model of its own, ids -> logits: encoder, dropout, Dense "logits"
    ```

    Fine-tune it with plain `fit`, and use it like any teacher. For speed, run
    the preprocessor in tf.data and train the inner model, which has the same weights:

    ```python
    batches = kd.text.batch_by_length(train, model.preprocessor)
    model.classifier.fit(batches)
    ```

    Objectives can tap hidden states: "transformer_layer_3" with a BERT of KerasHub (other
    encoders have other names of layers), "encoder[encoder_outputs][3]" with TF-Hub. With a BERT of
    KerasHub they can also tap attention probabilities:
    "transformer_layer_3/self_attention_layer/attention_scores".

    Args:
        encoder: A `HubLayer`, a TF-Hub or Kaggle handle or a SavedModel folder (BERT's
            TF-Hub interface, version 3 or later; it is trained, too); or a KerasHub
            backbone, a ready KerasHub text classifier, or a preset: a name, a local
            folder, or a Hugging Face folder or `hf://` handle that KerasHub can read.
            Without `num_classes`, a preset must be a ready classifier.
        preprocessor: Preprocessor that makes the encoder's inputs: a `HubLayer`, a handle or
            folder, a KerasHub preprocessor, or a `text.WordPieceVocabulary` with special
            tokens. None means that of the preset or the ready classifier.
        num_classes: Number of logits; 1 for regression or a single yes/no logit.
        pairs: Whether texts come in pairs: the input is `(batch, 2)` instead of
            `(batch,)`. It does not work with a vocabulary as preprocessor.
        per_word: Whether to classify words: the input is `(batch, words)`, padded with
            "", and the logits are `(batch, words, num_classes)`. A word has the logits
            of its first piece; continuation pieces are ignored, and padding is
            masked, like words that `sequence_length` cuts off. The preprocessor must have word
            pieces, as those of BERT and DistilBERT.
        sequence_length: Largest number of tokens, including special ones; longer texts are
            cut. A preprocessor given as a KerasHub object or a vocabulary has its own length.
            None means 128, or the encoder's number of positions if it has fewer.
        dropout: Dropout rate before the logits, in [0, 1). Defaults to 0.1.
        exact_gelu: For KerasHub's BERT and ALBERT: True for the exact GELU, which Hugging Face's
            use, False for KerasHub's tanh approximation. None means exact if the
            preset's config.json says `"hidden_act": "gelu"`. The setting is saved. KerasHub's
            other encoders have the exact GELU.
        name: Name of the model.

    Returns:
        A Functional `keras.Model` from tf.string texts to float logits. Its `preprocessor` is
            a layer, its `classifier` a model.

    Raises:
        ValueError: If encoder and preprocessor do not fit together (vocabularies of
            different sizes, too long sequences), or an argument is missing.

    Example:

    ```python
    teacher = kd.teachers.text_classifier("bert_base_en_uncased", num_classes=2)
    optimizer = kd.optimizers.finetuning_optimizer(teacher, 3e-5, num_steps=3 * len(batches))
    teacher.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    teacher.fit(texts, labels, epochs=3)
    ```

    Reference: Devlin et al. 2019, https://arxiv.org/abs/1810.04805, sections 4 and 5.3.
    """
    if pairs and per_word:
        raise ValueError("pairs and per_word exclude each other. Received: both True.")
    dropout = check_rate("dropout", dropout, with_one=False)
    origin = ""
    if isinstance(encoder, (str, pathlib.Path)):
        preset = str(encoder)
        origin = f", from {printable(preset)}"
        kind = "TextClassifierPreprocessor" if preprocessor is None else "Backbone"
        check_preset_name("encoder", preset, "a model itself", kind=kind)
        encoder = _load_encoder(preset, num_classes)
        if not isinstance(encoder, HubLayer):
            preprocessor = preset if preprocessor is None else preprocessor
            exact_gelu = _says_exact_gelu(preset) if exact_gelu is None else exact_gelu
    sequence_length = check_integer("sequence_length", sequence_length, optional=True)
    if sequence_length is None:
        sequence_length = min(128, _num_rows(encoder, "position_embedding") or 128)
    if isinstance(preprocessor, (str, pathlib.Path)):
        check_preset_name("preprocessor", str(preprocessor))
        preprocessor = _load_preprocessor(str(preprocessor), sequence_length)
    if preprocessor is None:
        preprocessor = getattr(encoder, "preprocessor", None)
    if preprocessor is None:
        raise ValueError(
            "preprocessor must turn texts into the encoder's inputs: a HubLayer, a KerasHub "
            "preprocessor or a text.WordPieceVocabulary. Received: preprocessor=None"
        )
    _check_fit(encoder, preprocessor, sequence_length, origin)
    if per_word and not isinstance(preprocessor, Vocabulary):
        _check_word_pieces(preprocessor)
        preprocessor = WordPieceVocabulary.from_teacher(
            preprocessor, sequence_length=sequence_length
        )
    if isinstance(preprocessor, Vocabulary):
        _check_vocabulary(preprocessor, pairs)
    classifier = _classifier(encoder, num_classes, per_word, dropout, exact_gelu)
    names = [n for n in classifier.input if n != "word_starts"]
    order = HUB_NAMES if set(names) <= set(HUB_NAMES) else KERAS_HUB_NAMES
    inputs = TextInputs(
        preprocessor,
        [name for name in order if name in names],
        pairs=pairs,
        per_word=per_word,
        sequence_length=sequence_length,
        name="preprocessor",
    )
    texts = keras.Input((2,) if pairs else (None,) if per_word else (), dtype="string", name="text")
    return in_two_parts(texts, inputs, classifier, name)


def _load_encoder(name, num_classes):
    if _is_saved_model(name):
        return HubLayer(name, trainable=True, name="encoder")
    models = import_module("keras_hub").models
    kind = models.TextClassifier if num_classes is None else models.Backbone
    return _from_preset(kind, name)


def _load_preprocessor(name, sequence_length):
    if _is_saved_model(name):
        return HubLayer(name, name="text_preprocessor")
    keras_hub = import_module("keras_hub")
    kind = keras_hub.models.TextClassifierPreprocessor
    preprocessor = _from_preset(kind, name, sequence_length=sequence_length)
    tokenizer = preprocessor.tokenizer
    if not isinstance(tokenizer, keras_hub.tokenizers.Tokenizer):
        raise ValueError(
            f"preprocessor must have a tokenizer. Received: {printable(name)}, with a "
            f"{type(tokenizer).__name__} in its place. {_NO_PRESET}"
        )
    if isinstance(tokenizer, keras_hub.tokenizers.WordPieceTokenizer) and tokenizer.lowercase:
        # Uncased vocabularies, as BERT's, have no accents; without this, "café" is unknown.
        tokenizer.strip_accents = True
    with errors_that_name(name, _NO_PRESET):
        # KerasHub checks some settings when it is called only: late, and without the folder's name.
        preprocessor(["text"])
    return preprocessor


def _from_preset(kind, name, **settings):
    """Loads an object from a preset and checks its class, which KerasHub does not check."""
    import_module("tensorflow_text")  # All tokenizers need it; a preset is a long download.
    _check_preset(name)
    with errors_that_name(name, _NO_PRESET):
        found = kind.from_preset(name, **settings)
    if not isinstance(found, kind):
        raise ValueError(
            f"{printable(name)} must be a preset whose files name their classes. Received: a "
            f"{type(found).__name__} in place of a {kind.__name__}. {_NO_PRESET}"
        )
    return found


def _check_preset(name):
    """Raises `ValueError` that names a damaged file of a local preset; KerasHub does not."""
    for path in sorted(pathlib.Path(name).glob("*.h5")):
        check_weights(path)
    for path in sorted(pathlib.Path(name).glob("*.json")):
        with errors_that_name(path, "It must hold JSON."):
            num_layers = _most_layers(json.loads(path.read_bytes()))
        if num_layers > _MAX_LAYERS:
            # They would be made one after the other, for days.
            raise ValueError(
                f"{printable(path)} must be of a model with {_MAX_LAYERS:,} layers or less. "
                f"Received: {num_layers:,}. {_NO_PRESET}"
            )


def _most_layers(content):
    """The largest number of layers that a JSON value names at any depth; 0 if it names none."""
    if isinstance(content, dict):
        named = (content.get(name) for name in ("num_layers", "num_hidden_layers", "n_layers"))
        parts = content.values()
    else:
        named, parts = (), content if isinstance(content, list) else ()
    return max([0, *filter(is_integer, named), *map(_most_layers, parts)])


def _is_saved_model(name):
    return name.startswith(("http://", "https://")) or pathlib.Path(name, "saved_model.pb").exists()


def _says_exact_gelu(preset):
    with errors_that_name(preset, _NO_PRESET):
        return read_preset_file(preset, "config.json").get("hidden_act") == "gelu"


def _classifier(encoder, num_classes, per_word, dropout, exact_gelu):
    """The inner model from ids to logits."""
    is_ready = hasattr(encoder, "backbone")
    if is_ready and (per_word or num_classes is not None):
        raise ValueError(
            "encoder is a ready classifier, which keeps its head: give its backbone "
            f"(encoder.backbone) for another one. Received: num_classes={num_classes!r}, "
            f"per_word={per_word!r}"
        )
    if not is_ready and num_classes is None:
        raise ValueError(
            "num_classes must be the number of classes, 1 for regression. Received: None"
        )
    num_classes = check_integer("num_classes", num_classes, optional=is_ready)
    names = encoder.input if isinstance(encoder, keras.Model) else HUB_NAMES
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in names}
    if isinstance(encoder, keras.Model):
        encoder = BertEncoder(encoder, bool(exact_gelu), pooled=not per_word)
    elif exact_gelu is not None:
        raise ValueError(
            "exact_gelu is for KerasHub encoders: a TF-Hub file has its activation built in. "
            f"Received: exact_gelu={exact_gelu}"
        )
    outputs = encoder(inputs)
    if is_ready:
        return keras.Model(inputs, outputs, name="classifier")
    if per_word:
        sequence = outputs["sequence_output"] if isinstance(outputs, dict) else outputs
        word_starts = keras.Input((None,), dtype="int32", name="word_starts")
        features = FirstPieces(name="words")(word_starts, sequence)
        inputs["word_starts"] = word_starts
    else:
        features = outputs["pooled_output"] if isinstance(outputs, dict) else outputs[:, 0]
    features = keras.layers.Dropout(dropout, name="dropout")(features)
    initializer = keras.initializers.TruncatedNormal(stddev=0.02)  # BERT uses the same.
    logits = keras.layers.Dense(num_classes, kernel_initializer=initializer, name="logits")
    return keras.Model(inputs, logits(features), name="classifier")


def _check_fit(encoder, preprocessor, sequence_length, origin):
    """Raises `ValueError` unless both have the same vocabulary, and positions for all tokens."""
    tokens, num_rows = known_tokens(preprocessor), _num_rows(encoder, "word_embeddings")
    are_known = tokens is not None and num_rows is not None
    # SentencePiece's models may have spare rows, as DeBERTa-V3's do.
    has_spare = hasattr(getattr(preprocessor, "tokenizer", None), "proto")
    if are_known and (len(tokens) > num_rows or (len(tokens) < num_rows and not has_spare)):
        raise ValueError(
            "preprocessor and encoder must have one vocabulary. Received: a preprocessor of "
            f"{len(tokens)} tokens, an encoder of {num_rows}{origin}. Give the encoder's own "
            "preprocessor."
        )
    length = getattr(preprocessor, "sequence_length", None) or sequence_length
    num_positions = _num_rows(encoder, "position_embedding")
    if num_positions is not None and length > num_positions:
        raise ValueError(
            f"sequence_length must be at most {num_positions}, the encoder's number of positions. "
            f"Received: {length}, from sequence_length or the preprocessor's own."
        )


def _num_rows(encoder, embedding):
    backbone = getattr(encoder, "backbone", encoder)
    if isinstance(backbone, keras.Model):
        attribute = {
            "word_embeddings": "vocabulary_size",
            "position_embedding": "max_sequence_length",
        }[embedding]
        return getattr(backbone, attribute, None)
    rows = [v.shape[0] for v in encoder.weights if embedding in v.path and len(v.shape) == 2]
    return rows[0] if len(rows) == 1 else None


def _check_word_pieces(preprocessor):
    tokenizer = getattr(preprocessor, "tokenizer", None)
    if tokenizer is not None and not hasattr(tokenizer, "suffix_indicator"):
        raise ValueError(
            "per_word needs a preprocessor with word pieces, as those of BERT and DistilBERT. "
            f"Received: a {type(preprocessor).__name__}. Give a whole text one label, or take an "
            "encoder with word pieces."
        )


def _check_vocabulary(vocabulary, pairs):
    if pairs:
        raise ValueError(
            "A vocabulary as preprocessor encodes each text of a pair by itself, and a BERT reads "
            "both together. Give a KerasHub or TF-Hub preprocessor."
        )
    if not vocabulary.add_special_tokens:
        raise ValueError(
            "A BERT reads texts between [CLS] and [SEP]. Received: a vocabulary with "
            "add_special_tokens=False. Make it with add_special_tokens=True."
        )
