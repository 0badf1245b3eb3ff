"""Metadata that tells an app how to use a TFLite file, written into the file itself."""

import dataclasses
import io
import zipfile

import keras
import numpy as np
from keras import ops

from keras_distill._arguments.checks import check_choice
from keras_distill._keras import tflite_files
from keras_distill._keras.output_domain import SOFTMAX
from keras_distill.export.classifier import check_class_names
from keras_distill.export.classifier import check_classifier
from keras_distill.export.classifier import classifier_domain
from keras_distill.export.tflite import metadata_schema as schema
from keras_distill.export.vocabulary_check import check_vocabulary
from keras_distill.text import WordPieceVocabulary
from keras_distill.text import WordVocabulary
from keras_distill.text.vocabularies import mediapipe
from keras_distill.text.vocabularies.base import UNKNOWN

# The first version of the parser that knows all of our tables.
_MIN_PARSER_VERSION = "1.2.1"
_BERT_INPUTS = ("input_word_ids", "input_mask", "input_type_ids")
# MediaPipe's names for the inputs of a BERT.
_BERT_NAMES = {
    "input_word_ids": "ids",
    "input_mask": "mask",
    "input_type_ids": "segment_ids",
}
_TOKENIZERS = {"bert": WordPieceVocabulary, "regex": WordVocabulary}
_LABELS_FILE, _VOCABULARY_FILE = "labels.txt", "vocab.txt"


@dataclasses.dataclass(frozen=True)
class ImageMetadata:
    """Metadata of an image classifier, for MediaPipe's ImageClassifier.

    MediaPipe reads only colour images; a file with one channel is for LiteRT, with its labels.
    The model has one input (height, width, 1 or 3) of floats, which in training were
    `(pixel - mean) / std` of pixels from 0 to 255. The app computes this; it cannot use different
    numbers for each channel, so in that case the file computes it.

    Args:
        class_names: Names of the classes, in the model's order.
        mean: One number, or one for each channel. Defaults to 0.
        std: One number, or one for each channel. Defaults to 1.
    """

    class_names: tuple
    mean: float | tuple = 0.0
    std: float | tuple = 1.0

    def __post_init__(self):
        check_class_names(self.class_names)
        for name in ("mean", "std"):
            values = np.atleast_1d(getattr(self, name)).astype("float64")
            if not np.isfinite(values).all() or (name == "std" and not (values > 0).all()):
                raise ValueError(
                    f"{name} must be a finite number, or one for each channel, and std above 0. "
                    f"Received: {name}={getattr(self, name)!r}"
                )

    def prepare(self, model):
        """The model with probabilities as its output."""
        shape = model.input_shape
        if not isinstance(shape, tuple) or len(shape) != 4 or shape[-1] not in (1, 3):
            raise ValueError(
                "ImageMetadata needs a model with one input (batch, height, width, channels), of 1 "
                f"or 3 channels. Received: a model with the input shape {shape}"
            )
        for name in ("mean", "std"):
            if np.size(getattr(self, name)) not in (1, shape[-1]):
                raise ValueError(
                    f"{name} must be one number or one for each of the {shape[-1]} channels. "
                    f"Received: {name}={getattr(self, name)!r}"
                )
        check_classifier(model, self.class_names)
        image = keras.Input(shape[1:], name="image")
        x = image if self._in_app else (image - np.float32(self.mean)) / np.float32(self.std)
        outputs = _probabilities(model, model(x))
        return keras.Model(image, outputs, name=model.name)

    @property
    def _in_app(self):
        return np.size(self.mean) == np.size(self.std) == 1

    def prepare_inputs(self, image):
        """The inputs of the prepared model, from the model's own."""
        if not self._in_app:
            image = (image * np.array(self.std) + np.array(self.mean)).astype("float32")
        return {"image": image}

    def input_tables(self, names, shapes):
        mean, std = 0.0, 1.0
        if self._in_app:
            mean, std = (float(np.squeeze(value)) for value in (self.mean, self.std))
        color_space = schema.RGB if shapes["image"][-1] == 3 else schema.GRAYSCALE
        return [
            schema.Table(
                "TensorMetadata",
                name="image",
                content=schema.content("ImageProperties", color_space=color_space),
                process_units=[schema.process_unit("NormalizationOptions", mean=[mean], std=[std])],
                stats=schema.Table("Stats", max=[(255.0 - mean) / std], min=[-mean / std]),
            )
        ]

    process_units = ()

    def files(self):
        return {_LABELS_FILE: "\n".join(self.class_names)}


@dataclasses.dataclass(frozen=True)
class TextMetadata:
    """Metadata of a text classifier, for MediaPipe's TextClassifier.

    The app tokenizes, in one of two ways. "bert" is for students with a `WordPieceVocabulary`:
    word pieces between "[CLS]" and "[SEP]". "regex" is for students with a `WordVocabulary`:
    words between spaces. The vocabulary must have for_apps=True: then the app gives every text
    the same ids as in training.

    Args:
        class_names: Names of the classes, in the model's order.
        vocabulary: The student's `WordPieceVocabulary` or `WordVocabulary`, with for_apps=True.
        tokenizer: "bert" or "regex".
        sequence_length: Number of ids of a text; the app truncates longer texts. It must be that
            of the vocabulary, which None means.
    """

    class_names: tuple
    vocabulary: object
    tokenizer: str
    sequence_length: int | None = None

    def __post_init__(self):
        check_class_names(self.class_names)
        check_choice("tokenizer", self.tokenizer, _TOKENIZERS)
        wanted, vocabulary = _TOKENIZERS[self.tokenizer], self.vocabulary
        for_apps = getattr(vocabulary, "for_apps", None)
        if not isinstance(vocabulary, wanted) or not for_apps:
            raise ValueError(
                f"An app's {self.tokenizer!r} tokenizer reads texts as a {wanted.__name__} with "
                f"for_apps=True does. Received: a {type(vocabulary).__name__} with "
                f"{for_apps=}. Teach the student with such a vocabulary: it would see other ids "
                "in the app than in training."
            )
        sequence_length = vocabulary.sequence_length
        if self.sequence_length not in (None, sequence_length):
            raise ValueError(
                "sequence_length must be None or that of the vocabulary: the app would cut texts "
                "where the student was not taught to. Received: "
                f"sequence_length={self.sequence_length!r}, and {sequence_length} of the vocabulary"
            )
        object.__setattr__(self, "sequence_length", sequence_length)

    def prepare(self, model):
        """The model with the inputs that the app gives, and probabilities as its output."""
        if len(model.inputs) != 1 or len(model.inputs[0].shape) != 2:
            raise ValueError(
                "TextMetadata needs a model with one input, ids (batch, length). Received: a model "
                f"with the inputs {[tuple(tensor.shape) for tensor in model.inputs]}"
            )
        check_classifier(model, self.class_names)
        check_vocabulary("vocabulary", self.vocabulary, model)
        inputs = {
            name: keras.Input((self.sequence_length,), dtype="int32", name=name)
            for name in (_BERT_INPUTS if self.tokenizer == "bert" else ("token_ids",))
        }
        if self.tokenizer == "bert":
            # A single text has segments of 0. They must be used, or the file lacks this input.
            is_token = ops.greater(inputs["input_mask"], inputs["input_type_ids"])
            ids = ops.where(is_token, inputs["input_word_ids"], 0)
        else:
            # For a text without words, the app gives only padding, but the vocabulary "[UNK]".
            ids, unknown = inputs["token_ids"], self.vocabulary.tokens.index(UNKNOWN)
            is_first = np.arange(self.sequence_length) == 0
            ids = ops.where(ops.logical_and(ops.equal(ids, 0), is_first), unknown, ids)
        outputs = _probabilities(model, model(ids))
        return keras.Model(inputs, outputs, name=model.name)

    def prepare_inputs(self, ids):
        """The inputs of the prepared model, from the model's own."""
        if self.tokenizer == "regex":
            return {"token_ids": ids}
        values = (ids, (ids != 0).astype("int32"), np.zeros_like(ids))
        return dict(zip(_BERT_INPUTS, values))

    def input_tables(self, names, shapes):
        return [
            schema.Table(
                "TensorMetadata",
                name=_BERT_NAMES.get(name, name),
                content=schema.content("FeatureProperties"),
                **(
                    {"process_units": [self._tokenizer_table()]}
                    if self.tokenizer == "regex"
                    else {}
                ),
            )
            for name in names
        ]

    @property
    def process_units(self):
        return [self._tokenizer_table()] if self.tokenizer == "bert" else []

    def _tokenizer_table(self):
        file = schema.Table("AssociatedFile", name=_VOCABULARY_FILE, type=schema.VOCABULARY)
        if self.tokenizer == "bert":
            return schema.process_unit("BertTokenizerOptions", vocab_file=[file])
        return schema.process_unit(
            "RegexTokenizerOptions", delim_regex_pattern=mediapipe.BLANKS, vocab_file=[file]
        )

    def files(self):
        tokens = self.vocabulary.tokens
        if self.tokenizer == "regex":
            ids = self.vocabulary.spellings().items()
            tokens = [f"{word} {number}" for word, number in ids]
        return {_LABELS_FILE: "\n".join(self.class_names), _VOCABULARY_FILE: "\n".join(tokens)}


def add_metadata(content, metadata):
    """Returns the bytes of a TFLite file with metadata in it.

    Args:
        content: The file's bytes.
        metadata: `ImageMetadata` or `TextMetadata`.
    """
    model = tflite_files.read(content)
    (signature,), graph = model.signatureDefs, model.subgraphs[0]
    names = {tensor.tensorIndex: tensor.name.decode() for tensor in signature.inputs}
    shapes = {names[index]: tuple(graph.tensors[index].shape) for index in graph.inputs}
    labels = schema.Table("AssociatedFile", name=_LABELS_FILE, type=schema.LABELS)
    subgraph = schema.Table(
        "SubGraphMetadata",
        input_tensor_metadata=metadata.input_tables([names[i] for i in graph.inputs], shapes),
        output_tensor_metadata=[
            schema.Table(
                "TensorMetadata",
                name="probabilities",
                description="One for each label.",
                content=schema.content("FeatureProperties"),
                stats=schema.Table("Stats", max=[1.0], min=[0.0]),
                associated_files=[labels],
            )
        ],
        input_process_units=list(metadata.process_units),
    )
    root = schema.Table(
        "ModelMetadata", subgraph_metadata=[subgraph], min_parser_version=_MIN_PARSER_VERSION
    )
    _store(model, root.to_bytes())
    content = tflite_files.write(model)
    return content + _zip(metadata.files())


def _store(model, buffer):
    entry = tflite_files.schema().MetadataT()
    entry.name, entry.buffer = schema.ENTRY, len(model.buffers)
    stored = tflite_files.schema().BufferT()
    stored.data = np.frombuffer(buffer, "uint8")
    model.buffers.append(stored)
    model.metadata = [*(model.metadata or ()), entry]


def _zip(files):
    """The files as a zip archive, uncompressed: readers map them into memory."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for name, text in files.items():
            # The date is fixed, so that the same model gives the same bytes.
            file.writestr(zipfile.ZipInfo(name), text)
    return archive.getvalue()


def _probabilities(model, outputs):
    if classifier_domain(model) == SOFTMAX:
        return {"probabilities": outputs}
    return {"probabilities": keras.layers.Softmax(name="probabilities", dtype="float32")(outputs)}
