"""A vocabulary of word pieces, like BERT's."""

import functools

import keras
import tensorflow as tf

from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.imports import import_module
from keras_distill._arguments.printable import one_line
from keras_distill._arguments.printable import printable
from keras_distill.text.vocabularies import mediapipe
from keras_distill.text.vocabularies.base import MASK
from keras_distill.text.vocabularies.base import Vocabulary
from keras_distill.text.vocabularies.base import as_strings
from keras_distill.text.vocabularies.base import check_for_apps
from keras_distill.text.vocabularies.base import for_apps_config
from keras_distill.text.vocabularies.learning import learned_pieces
from keras_distill.text.vocabularies.teacher_files import read_vocabulary


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
            check_for_apps(self, "bert", wanted)
        self._split_texts = _word_piece_function(
            self._tokens, self.lowercase, self.strip_accents, self.for_apps
        )

    @classmethod
    def learn(
        cls,
        texts,
        vocabulary_size,
        *,
        lowercase=True,
        strip_accents=None,
        min_count=1,
        for_apps=False,
        **options,
    ):
        """Learns word pieces from texts.

        Chinese characters are separate pieces: the most frequent ones take at most four
        fifths of the vocabulary. The rest is for the pieces of all other
        words, learned by TensorFlow Text's WordPiece learner.

        Args:
            texts: Iterable of str, or of pairs of str.
            vocabulary_size: The largest number of tokens, including the five special ones. The
                learner stops within 5 % of it.
            lowercase: Whether texts are lowercased. Defaults to True.
            strip_accents: Whether accents are removed. With the casing and accents of the
                teacher, the student can share the teacher's embeddings (`copy_embeddings`).
                Defaults to True, and to False with for_apps.
            min_count: Smallest number of occurrences of a piece with several letters.
                Defaults to 1. If spaces do not separate words, a sentence is one word; with few
                texts, whole sentences would become pieces, which no other text contains.
            for_apps: Whether texts are tokenized as in an app, for `TextMetadata` with
                tokenizer="bert". Defaults to False.
            **options: Further arguments of `WordPieceVocabulary`.

        Returns:
            A `WordPieceVocabulary` that begins with "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]".

        Raises:
            ValueError: If a text is not a string, there are no texts, or there is no room for a
                piece.

        Example:

        ```python
        vocabulary = kd.text.WordPieceVocabulary.learn(transfer_set.texts, vocabulary_size=8000)
        ```

        Reference: https://www.tensorflow.org/text/guide/subwords_tokenizer, bottom-up WordPiece.
        Deviation: Chinese characters are handled separately, because the learner keeps at most
        a thousand characters.
        """
        if strip_accents is None:
            strip_accents = not for_apps
        casing = {"lowercase": lowercase, "strip_accents": strip_accents, "for_apps": for_apps}
        tokens = learned_pieces(texts, vocabulary_size, min_count=min_count, **casing)
        return cls(tokens, **casing, **options)

    @classmethod
    def from_teacher(
        cls, source, sequence_length=128, lowercase=None, strip_accents=None, **options
    ):
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
        vocabulary = kd.text.WordPieceVocabulary.from_teacher("bert_folder")
        student = kd.students.bilstm(vocabulary, num_classes=2)
        ```
        """
        sequence_length = check_integer("sequence_length", sequence_length)
        path, tokens, says = read_vocabulary(source)
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
            return cls(tokens, sequence_length, lowercase, strip_accents, **options)
        except (ValueError, RuntimeError) as error:
            # TensorFlow Text raises its own RuntimeError for unusual tokens.
            where = "vocabulary" if path is None else printable(path)
            raise ValueError(f"{where} makes no vocabulary: {one_line(error)}") from error

    def get_config(self):
        config = {"lowercase": self.lowercase, "strip_accents": self.strip_accents}
        return {**super().get_config(), **config, **for_apps_config(self)}

    def pieces(self, texts):
        if self.for_apps:
            return self._split_texts(as_strings("texts", texts))
        return super().pieces(texts)

    def _split(self, texts):
        return self._split_texts(texts)


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
