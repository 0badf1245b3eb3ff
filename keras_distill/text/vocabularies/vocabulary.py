"""Vocabularies of word pieces and of whole words."""

import functools
import pathlib
import re

import keras
import numpy as np
import tensorflow as tf

from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.imports import import_module
from keras_distill._arguments.printable import one_line
from keras_distill._arguments.printable import printable
from keras_distill._files.json_files import read_json_object
from keras_distill.text.vocabularies import mediapipe
from keras_distill.text.vocabularies.base import MASK
from keras_distill.text.vocabularies.base import PADDING
from keras_distill.text.vocabularies.base import SPECIAL_TOKENS
from keras_distill.text.vocabularies.base import UNKNOWN
from keras_distill.text.vocabularies.base import Vocabulary
from keras_distill.text.vocabularies.base import as_strings
from keras_distill.text.vocabularies.base import read_tokens

# Vocabulary files of Hugging Face and TF 1, of a SavedModel, and of a KerasHub preset.
_VOCABULARY_FILES = ("vocab.txt", "assets/vocab.txt", "assets/tokenizer/vocabulary.txt")


@keras.saving.register_keras_serializable(package="keras_distill")
class WordPieceVocabulary(Vocabulary):
    """A vocabulary of word pieces, like BERT's.

    Texts are split at whitespace and around punctuation marks and Chinese characters.
    Each word is split into the longest pieces in the vocabulary, or becomes "[UNK]"; pieces
    inside of a word begin with "##". "[MASK]" in a text stays one piece.

    Args:
        tokens: List of str, as in a BERT's vocab.txt: the first token is "[PAD]", and the list
            contains "[UNK]". A token's index is its id.
        sequence_length: The largest number of ids of a text. Defaults to 128.
        lowercase: Whether texts are lowercased. Defaults to True.
        strip_accents: Whether accents are removed. Uncased BERTs lowercase texts and strip
            accents; their pieces have no accents, so "café" would be unknown. Defaults to True,
            and to False with for_apps.
        add_special_tokens: Whether the ids of a text are enclosed in "[CLS]" and "[SEP]".
            Defaults to False, and to True with for_apps.
        for_apps: Whether every text gets the same ids as from MediaPipe's "bert" tokenizer in
            an app, for a student with `TextMetadata`: only ASCII letters are lowercased,
            only ASCII whitespace splits, "[MASK]" is text, a text ends at a NUL, and a text
            without a token has only its special tokens. Defaults to False.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        texts: Strings, `(batch,)`, or `(batch, 2)` for pairs.

    Returns:
        int32 ids, `(batch, length)`, or `(batch, 2, length)`, padded with 0 to the
        longest text of the batch. A text without a token becomes one "[UNK]".

    Raises:
        ValueError: If "[PAD]" is not the first token, "[UNK]" is missing or a token
            comes twice, or an app cannot tokenize with these arguments; when called, if the
            texts are not strings of such a shape.

    Example:

    >>> vocabulary = WordPieceVocabulary(["[PAD]", "[UNK]", "play", "##ing", "!"])
    >>> vocabulary(["Playing!", "play"]).numpy().tolist()
    [[2, 3, 4], [2, 0, 0]]

    Reference: Wu et al. 2016, https://arxiv.org/abs/1609.08144; texts are split as in
    Devlin et al. 2019, https://arxiv.org/abs/1810.04805, like in KerasHub. TF-Hub's
    preprocessors normalise characters before they split, so that a few differ: there, the
    single-character ellipsis becomes three full stops.
    """

    def __init__(
        self,
        tokens,
        sequence_length=128,
        lowercase=True,
        strip_accents=None,
        add_special_tokens=None,
        for_apps=False,
        **kwargs,
    ):
        self.for_apps = bool(for_apps)
        if strip_accents is None:
            strip_accents = not for_apps
        if add_special_tokens is None:
            add_special_tokens = self.for_apps
        super().__init__(tokens, sequence_length, bool(add_special_tokens), **kwargs)
        self.lowercase = bool(lowercase)
        self.strip_accents = bool(strip_accents)
        if self.for_apps:
            wanted = {"lowercase": True, "strip_accents": False, "add_special_tokens": True}
            _check_for_apps(self, "bert", wanted)
        self._split_texts = _word_piece_function(
            self._tokens, self.lowercase, self.strip_accents, self.for_apps
        )

    def get_config(self):
        config = {"lowercase": self.lowercase, "strip_accents": self.strip_accents}
        return {**super().get_config(), **config, **_for_apps_config(self)}

    def pieces(self, texts):
        if self.for_apps:
            return self._split_texts(as_strings("texts", texts))
        return super().pieces(texts)

    def _split(self, texts):
        return self._split_texts(texts)


@keras.saving.register_keras_serializable(package="keras_distill")
class WordVocabulary(Vocabulary):
    """A vocabulary of whole words, for word vectors such as GloVe's.

    Args:
        words: List of str, without special tokens: "[PAD]", "[UNK]", "[CLS]", "[SEP]" and
            "[MASK]" are added before them, with ids 0 to 4.
        sequence_length: The largest number of ids of a text. Defaults to 128.
        lowercase: Whether texts are lowercased. Defaults to True.
        split_punctuation: Whether punctuation marks and Chinese characters are separate
            words. False (default) splits at whitespace only, for texts in which spaces
            already separate words and marks ("it 's good .").
        add_special_tokens: Whether the ids of a text are enclosed in "[CLS]" and "[SEP]".
            Defaults to False.
        for_apps: Whether every text gets the same ids as from MediaPipe's "regex" tokenizer
            in an app, for a student with `TextMetadata`: a lowercase word also matches with
            its first letter or all letters in capitals, other spellings ("iPhone") are
            separate words, and a text ends at a NUL. Defaults to False.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        texts: Strings, `(batch,)`, or `(batch, 2)` for pairs.

    Returns:
        int32 ids, `(batch, length)`, or `(batch, 2, length)`, padded with 0 to the
        longest text of the batch. A text without a word becomes one "[UNK]".

    Raises:
        ValueError: If a word comes twice, or if an app cannot tokenize with these arguments;
            when called, if the texts are not strings of such a shape.

    Example:

    >>> vocabulary = WordVocabulary(["a", "good", "film"])
    >>> vocabulary(["A good film", "a fine film"]).numpy().tolist()
    [[5, 6, 7], [5, 1, 7]]
    """

    def __init__(
        self,
        words,
        sequence_length=128,
        lowercase=True,
        split_punctuation=False,
        add_special_tokens=False,
        for_apps=False,
        **kwargs,
    ):
        tokens = [*SPECIAL_TOKENS, *words]
        super().__init__(tokens, sequence_length, add_special_tokens, **kwargs)
        self.lowercase = bool(lowercase)
        self.split_punctuation = bool(split_punctuation)
        self.for_apps = bool(for_apps)
        if self.for_apps:
            wanted = {"split_punctuation": False, "add_special_tokens": False}
            _check_for_apps(self, "regex", wanted)
        ids = self.spellings()
        # The lookup gives unknown words the index 0.
        self._lookup = keras.layers.StringLookup(
            vocabulary=list(ids), mask_token=None, oov_token=UNKNOWN
        )
        self._ids = np.array([tokens.index(UNKNOWN), *ids.values()], "int32")

    def spellings(self):
        """Returns a dict from each spelling of a word to the word's id.

        With `for_apps` and `lowercase`, there are also spellings of lowercase words with the
        first letter and with all letters in capitals, as in an app's file.
        """
        ids = {token: i for i, token in enumerate(self._tokens) if token not in (PADDING, UNKNOWN)}
        if not self.for_apps:
            return ids
        if self.lowercase:
            for word, number in list(ids.items())[len(SPECIAL_TOKENS) - 2 :]:
                for spelling in mediapipe.spellings(word):
                    ids.setdefault(spelling, number)
        words = {word: i for word, i in ids.items() if word not in mediapipe.RESERVED}
        padding, unknown = map(self._tokens.index, (PADDING, UNKNOWN))
        return {mediapipe.PADDING: padding, mediapipe.UNKNOWN: unknown, **words}

    def get_config(self):
        config = super().get_config()
        words = config.pop("tokens")[len(SPECIAL_TOKENS) :]
        mine = {"lowercase": self.lowercase, "split_punctuation": self.split_punctuation}
        return {**config, "words": words, **mine, **_for_apps_config(self)}

    def _split(self, texts):
        if self.for_apps:
            words = mediapipe.split_at_blanks(texts)
        else:
            if self.lowercase:
                texts = tf.strings.lower(texts, encoding="utf-8")
                texts = tf.strings.regex_replace(texts, r"\[mask\]", MASK)
            words = split_words(texts, self.split_punctuation)
        return tf.gather(self._ids, self._lookup(words))


def split_words(texts, split_punctuation):
    """Splits strings, `(batch,)`, into words, a ragged tensor `(batch, words)`.

    Args:
        texts: String tensor.
        split_punctuation: Whether punctuation marks and Chinese characters are separate
            words. "[MASK]" stays one word.
    """
    # tf.strings.split knows only ASCII whitespace.
    texts = tf.strings.regex_replace(texts, mediapipe.BLANKS, " ")
    if split_punctuation:
        texts = tf.strings.regex_replace(texts, r"\[MASK\]|" + mediapipe.MARKS, r" \0 ")
    return tf.strings.split(texts)


def teacher_vocabulary(source, sequence_length=128, lowercase=None, strip_accents=None, **options):
    """Makes the vocabulary of a BERT teacher, for a student that reads the same word pieces.

    Args:
        source: A KerasHub preprocessor or tokenizer; a `HubLayer` of a TF-Hub encoder or
            preprocessor; a vocabulary file, or a folder that contains one: of Hugging Face,
            of a KerasHub preset, or of a SavedModel.
        sequence_length: The largest number of ids of a text. Defaults to 128.
        lowercase: Whether texts are lowercased. None (default) follows the tokenizer or
            the folder's tokenizer_config.json; without these, texts are lowercased unless
            the vocabulary has a piece with a capital letter.
        strip_accents: Whether accents are removed. None (default) follows the teacher; if a
            file does not say it, accents are removed if texts are lowercased, as in BERT.
        **options: Further arguments of `WordPieceVocabulary`. add_special_tokens defaults
            to True here, because a teacher reads texts between "[CLS]" and "[SEP]".

    Returns:
        A `WordPieceVocabulary`.

    Raises:
        ValueError: If the source has no vocabulary, or its vocabulary does not begin with
            "[PAD]" or lacks "[UNK]".

    Example:

    ```python
    vocabulary = kd.text.teacher_vocabulary("bert_folder", add_special_tokens=False)
    student = kd.students.bilstm(vocabulary, num_classes=2)
    ```
    """
    sequence_length = check_integer("sequence_length", sequence_length)
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
    if options.get("for_apps"):
        strip_accents = False
    elif strip_accents is None:
        strip_accents = lowercase
    options = {"add_special_tokens": True, **options}
    try:
        return WordPieceVocabulary(tokens, sequence_length, lowercase, strip_accents, **options)
    except (ValueError, RuntimeError) as error:
        # TensorFlow Text raises its own RuntimeError for unusual tokens.
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


# Copies of a layer, also with another length, share one function: tracing takes a second.
@functools.lru_cache(maxsize=8)
def _word_piece_function(tokens, lowercase, strip_accents, for_apps):
    import_module("tensorflow_text")  # KerasHub would fail at the first text.
    keras_hub = import_module("keras_hub")
    settings = {"lowercase": lowercase, "strip_accents": strip_accents}
    if MASK in tokens:
        settings.update(special_tokens=[MASK], special_tokens_in_strings=True)
    tokenizer = keras_hub.tokenizers.WordPieceTokenizer(
        list(tokens), **({"split": False} if for_apps else settings)
    )

    def tokenize(texts):
        return tokenizer.tokenize(mediapipe.split_at_marks(texts) if for_apps else texts)

    # The function is a graph: eagerly, KerasHub takes a slower path in pure Python.
    split = tf.function(
        tokenize, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
    )
    # The lambda hides the tf.function: as a layer's attribute, a SavedModel would contain it.
    return lambda texts: split(texts)


def _check_for_apps(vocabulary, tokenizer, wanted):
    has = {name: getattr(vocabulary, name) for name in wanted}
    if has != wanted:
        raise ValueError(
            f"for_apps=True is to read texts as MediaPipe's {tokenizer!r} tokenizer does, which is "
            f"with {wanted}. Received: {has}"
        )
    strange = f"[ \n\r{mediapipe.NO_TOKEN}]"
    if apart := [token for token in vocabulary.tokens if re.search(strange, token)]:
        raise ValueError(
            "With for_apps=True, no token may have a blank, a line end or U+0011 in it: an app's "
            f"file has one token a line. Received: {apart[:5]}. Leave these tokens out."
        )


def _for_apps_config(vocabulary):
    # The key is written only if set, so that configurations stay equal to those of older versions.
    return {"for_apps": True} if vocabulary.for_apps else {}
