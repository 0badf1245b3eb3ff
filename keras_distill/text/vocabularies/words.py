"""A vocabulary of whole words."""

import keras
import numpy as np
import tensorflow as tf

from keras_distill.text.vocabularies import mediapipe
from keras_distill.text.vocabularies.base import MASK
from keras_distill.text.vocabularies.base import PADDING
from keras_distill.text.vocabularies.base import SPECIAL_TOKENS
from keras_distill.text.vocabularies.base import UNKNOWN
from keras_distill.text.vocabularies.base import Vocabulary
from keras_distill.text.vocabularies.base import check_for_apps
from keras_distill.text.vocabularies.base import for_apps_config
from keras_distill.text.vocabularies.base import split_words
from keras_distill.text.vocabularies.learning import frequent_words


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
            check_for_apps(self, "regex", wanted)
        ids = self.spellings()
        # The lookup gives unknown words the index 0.
        self._lookup = keras.layers.StringLookup(
            vocabulary=list(ids), mask_token=None, oov_token=UNKNOWN
        )
        self._ids = np.array([tokens.index(UNKNOWN), *ids.values()], "int32")

    @classmethod
    def learn(
        cls,
        texts,
        vocabulary_size,
        *,
        lowercase=True,
        split_punctuation=False,
        among=None,
        min_count=1,
        for_apps=False,
        **options,
    ):
        """Makes a vocabulary of the most frequent words of texts.

        Args:
            texts: Iterable of str, or of pairs of str.
            vocabulary_size: The largest number of tokens, including the five special ones.
            lowercase: Whether texts are lowercased. Defaults to True.
            split_punctuation: Whether punctuation marks and Chinese characters are separate
                words. Defaults to False: texts are split at whitespace only.
            among: Only these words are used: an iterable of str, or the path of a file of word
                vectors as `load_vectors` reads it. None (default) allows any word.
            min_count: Smallest number of occurrences of a word. Defaults to 1.
            for_apps: Whether texts are tokenized as in an app, for `TextMetadata` with
                tokenizer="regex". Defaults to False.
            **options: Further arguments of `WordVocabulary`.

        Returns:
            A `WordVocabulary`, the most frequent word first, words of equal frequency in
            alphabetical order.

        Raises:
            ValueError: If a text is not a string, there are no texts, or there is no room for a
                word.

        Example:

        >>> texts = ["a good film", "a bad film", "a film"]
        >>> vocabulary = WordVocabulary.learn(texts, vocabulary_size=7)
        >>> vocabulary.tokens
        ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'film']
        """
        words = frequent_words(
            texts,
            vocabulary_size,
            lowercase=lowercase,
            split_punctuation=split_punctuation,
            among=among,
            min_count=min_count,
            for_apps=for_apps,
        )
        return cls(
            words,
            lowercase=lowercase,
            split_punctuation=split_punctuation,
            for_apps=for_apps,
            **options,
        )

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
        return {**config, "words": words, **mine, **for_apps_config(self)}

    def _split(self, texts):
        if self.for_apps:
            words = mediapipe.split_at_blanks(texts)
        else:
            if self.lowercase:
                texts = tf.strings.lower(texts, encoding="utf-8")
                texts = tf.strings.regex_replace(texts, r"\[mask\]", MASK)
            words = split_words(texts, self.split_punctuation)
        return tf.gather(self._ids, self._lookup(words))
