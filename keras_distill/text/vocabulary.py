"""Vocabularies of word pieces and of whole words."""

import functools
import pathlib

import keras
import tensorflow as tf

from keras_distill.imports import import_module
from keras_distill.json_files import read_json_object
from keras_distill.printable import one_line
from keras_distill.printable import printable
from keras_distill.text.base import MASK
from keras_distill.text.base import SPECIAL_TOKENS
from keras_distill.text.base import UNKNOWN
from keras_distill.text.base import Vocabulary
from keras_distill.text.base import read_tokens

# Where Hugging Face and TF 1, a SavedModel and a KerasHub preset have it.
_VOCABULARY_FILES = ("vocab.txt", "assets/vocab.txt", "assets/tokenizer/vocabulary.txt")
# As in KerasHub's tokenizer, from https://github.com/google-research/bert.
CJK = (
    r"\x{3400}-\x{4DBF}\x{4E00}-\x{9FFF}\x{F900}-\x{FAFF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2CEAF}"
    r"\x{2F800}-\x{2FA1F}"
)
_MARKS = r"[!-/:-@\[-`{-~\p{P}" + CJK + "]"


@keras.saving.register_keras_serializable(package="keras_distill")
class WordPieceVocabulary(Vocabulary):
    """Word pieces, as a BERT reads them.

    Texts are split at whitespace and around punctuation marks and Chinese characters;
    each word becomes the longest pieces that the vocabulary has, those inside of a word
    marked by "##", or "[UNK]". "[MASK]" in a text stays one piece.

    Args:
        tokens: List of str, as in a BERT's vocab.txt: the first is "[PAD]", and "[UNK]"
            is among them. A token's place is its id.
        max_length: The largest number of ids of a text. Defaults to 128.
        lowercase: Whether texts are lowercased. Defaults to True.
        strip_accents: Whether accents are removed. Defaults to True. The uncased BERTs
            lowercase and strip; their pieces have no accents, and "café" would be unknown.
        add_special_tokens: Whether the ids of a text stand between "[CLS]" and "[SEP]".
            Defaults to False.
        **kwargs: Those of `keras.layers.Layer`.

    Call arguments:
        texts: Strings, `(batch,)`, or `(batch, 2)` for pairs.

    Returns:
        int32 ids, `(batch, length)`, or `(batch, 2, length)`, padded with 0 to the
        longest text of the batch. A text without a token is one "[UNK]".

    Raises:
        ValueError: If "[PAD]" is not the first token, if "[UNK]" is missing or a token
            comes twice; when called, if the texts are not strings of such a shape.

    Example:

    >>> vocabulary = WordPieceVocabulary(["[PAD]", "[UNK]", "play", "##ing", "!"])
    >>> vocabulary(["Playing!", "play"]).numpy().tolist()
    [[2, 3, 4], [2, 0, 0]]

    Reference: Wu et al. 2016, https://arxiv.org/abs/1609.08144; the splitting is that of
    Devlin et al. 2019, https://arxiv.org/abs/1810.04805, as KerasHub does it. TF-Hub's
    preprocessors fold letters before they split, so that a few signs differ: the ellipsis
    in one character is three full stops there.
    """

    def __init__(
        self,
        tokens,
        max_length=128,
        lowercase=True,
        strip_accents=True,
        add_special_tokens=False,
        **kwargs,
    ):
        super().__init__(tokens, max_length, add_special_tokens, **kwargs)
        self.lowercase = bool(lowercase)
        self.strip_accents = bool(strip_accents)
        self._split_texts = _word_piece_function(self._tokens, self.lowercase, self.strip_accents)

    def get_config(self):
        config = {"lowercase": self.lowercase, "strip_accents": self.strip_accents}
        return {**super().get_config(), **config}

    def _split(self, texts):
        return self._split_texts(texts)


@keras.saving.register_keras_serializable(package="keras_distill")
class WordVocabulary(Vocabulary):
    """Whole words, for word vectors such as GloVe's.

    Args:
        words: List of str, without special tokens: "[PAD]", "[UNK]", "[CLS]", "[SEP]" and
            "[MASK]" are put before them, ids 0 to 4.
        max_length: The largest number of ids of a text. Defaults to 128.
        lowercase: Whether texts are lowercased. Defaults to True.
        split_punctuation: Whether punctuation marks and Chinese characters are words of
            their own. False, the default, splits at whitespace only, for texts whose
            words and marks are already apart ("it 's good .").
        add_special_tokens: Whether the ids of a text stand between "[CLS]" and "[SEP]".
            Defaults to False.
        **kwargs: Those of `keras.layers.Layer`.

    Call arguments:
        texts: Strings, `(batch,)`, or `(batch, 2)` for pairs.

    Returns:
        int32 ids, `(batch, length)`, or `(batch, 2, length)`, padded with 0 to the
        longest text of the batch. A text without a word is one "[UNK]".

    Raises:
        ValueError: If a word comes twice; when called, if the texts are not strings of
            such a shape.

    Example:

    >>> vocabulary = WordVocabulary(["a", "good", "film"])
    >>> vocabulary(["A good film", "a fine film"]).numpy().tolist()
    [[5, 6, 7], [5, 1, 7]]
    """

    def __init__(
        self,
        words,
        max_length=128,
        lowercase=True,
        split_punctuation=False,
        add_special_tokens=False,
        **kwargs,
    ):
        tokens = [*SPECIAL_TOKENS, *words]
        super().__init__(tokens, max_length, add_special_tokens, **kwargs)
        self.lowercase = bool(lowercase)
        self.split_punctuation = bool(split_punctuation)
        # Its mask and its unknown word have the ids 0 and 1.
        self._lookup = keras.layers.StringLookup(
            vocabulary=tokens[2:], mask_token="", oov_token=UNKNOWN
        )

    def get_config(self):
        config = super().get_config()
        words = config.pop("tokens")[len(SPECIAL_TOKENS) :]
        mine = {"lowercase": self.lowercase, "split_punctuation": self.split_punctuation}
        return {**config, "words": words, **mine}

    def _split(self, texts):
        if self.lowercase:
            texts = tf.strings.lower(texts, encoding="utf-8")
            texts = tf.strings.regex_replace(texts, r"\[mask\]", MASK)
        return tf.cast(self._lookup(split_words(texts, self.split_punctuation)), tf.int32)


def split_words(texts, split_punctuation):
    """Splits strings, `(batch,)`, into words, a ragged tensor `(batch, words)`.

    Args:
        texts: String tensor.
        split_punctuation: Whether punctuation marks and Chinese characters are words of
            their own. "[MASK]" stays one word.
    """
    # tf.strings.split knows the blanks of ASCII only.
    texts = tf.strings.regex_replace(texts, r"[\p{Z}\p{Cc}\p{Cf}]", " ")
    if split_punctuation:
        texts = tf.strings.regex_replace(texts, r"\[MASK\]|" + _MARKS, r" \0 ")
    return tf.strings.split(texts)


def teacher_vocabulary(source, max_length=128, lowercase=None, strip_accents=None, **options):
    """The vocabulary of a BERT teacher, for a student that reads the same word pieces.

    Args:
        source: A KerasHub preprocessor or tokenizer; a `HubLayer` of a TF-Hub encoder or
            preprocessor; a vocabulary file, or a folder that has one: of Hugging Face,
            of a KerasHub preset, or of a SavedModel.
        max_length: The largest number of ids of a text. Defaults to 128.
        lowercase: Whether texts are lowercased. None, the default: as the tokenizer does,
            or as the folder's tokenizer_config.json says; else unless the vocabulary has
            a piece with a capital letter.
        strip_accents: Whether accents are removed. None, the default: as the teacher;
            a file that does not say so strips them if it lowercases, as BERT does.
        **options: Further arguments of `WordPieceVocabulary`. add_special_tokens defaults
            to True here: a teacher reads texts between "[CLS]" and "[SEP]".

    Returns:
        A `WordPieceVocabulary`.

    Raises:
        ValueError: If the source has no vocabulary, or one that does not begin with
            "[PAD]" or has no "[UNK]".

    Example:

    ```python
    vocabulary = kd.text.teacher_vocabulary("bert_folder", add_special_tokens=False)
    student = kd.students.bilstm(vocabulary, num_classes=2)
    ```
    """
    tokenizer = getattr(source, "tokenizer", source)
    if hasattr(tokenizer, "get_vocabulary") and hasattr(tokenizer, "suffix_indicator"):
        path, tokens, says = None, tokenizer.get_vocabulary(), tokenizer.get_config()
    else:
        path, tokens, says = _read_vocabulary(source)
    if lowercase is None:
        lowercase = says.get("lowercase")
    if lowercase is None:
        lowercase = not any(c != c.lower() for c in tokens if not c.startswith("["))
    if strip_accents is None:
        strip_accents = says.get("strip_accents")
    if strip_accents is None:
        strip_accents = lowercase
    options = {"add_special_tokens": True, **options}
    try:
        return WordPieceVocabulary(tokens, max_length, lowercase, strip_accents, **options)
    except (ValueError, RuntimeError) as error:
        # Of odd tokens TensorFlow Text raises a RuntimeError of its own.
        where = "vocabulary" if path is None else printable(path)
        raise ValueError(f"{where} makes no vocabulary: {one_line(error)}") from error


def _read_vocabulary(source):
    folder = getattr(source, "folder", source)
    if not isinstance(folder, (str, pathlib.Path)):
        raise ValueError(
            "source must be a KerasHub WordPiece tokenizer or preprocessor, a HubLayer with a "
            f"folder, or the path of a vocabulary. Received: source={source!r}"
        )
    path = pathlib.Path(folder)
    if path.is_dir():
        files = [path / name for name in _VOCABULARY_FILES if (path / name).is_file()]
        if not files:
            raise ValueError(
                f"source must have a vocabulary, as one of {_VOCABULARY_FILES}. "
                f"Received: the folder {path}. Give the path of the vocabulary file."
            )
        path = files[0]
    return path, read_tokens(path), _read_casing(path.parent)


def _read_casing(folder):
    hugging_face, keras_hub = folder / "tokenizer_config.json", folder / "../../tokenizer.json"
    if hugging_face.is_file():
        config = read_json_object(hugging_face)
        return {
            "lowercase": config.get("do_lower_case"),
            "strip_accents": config.get("strip_accents"),
        }
    if folder.name == "tokenizer" and keras_hub.is_file():
        config = read_json_object(keras_hub).get("config")
        if not isinstance(config, dict):
            raise ValueError(
                f"{keras_hub} must have a tokenizer's settings under 'config'. Received: "
                f"config={config!r:.80}. The file is damaged, or that of another KerasHub."
            )
        return config
    return {}


# Copies of a layer, and those of other lengths, share one: it takes a second to trace.
@functools.lru_cache(maxsize=8)
def _word_piece_function(tokens, lowercase, strip_accents):
    keras_hub = import_module("keras_hub")
    special = {"special_tokens": [MASK], "special_tokens_in_strings": True}
    tokenizer = keras_hub.tokenizers.WordPieceTokenizer(
        list(tokens),
        lowercase=lowercase,
        strip_accents=strip_accents,
        **(special if MASK in tokens else {}),
    )
    # As a graph: eagerly, KerasHub takes a slower path of pure Python.
    split = tf.function(
        tokenizer.tokenize, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
    )
    # A tf.function that is a layer's attribute would be written into a SavedModel by itself.
    return lambda texts: split(texts)
