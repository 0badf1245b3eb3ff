"""Rounds of new texts, made word by word from arrays of word ids."""

import concurrent.futures
import itertools
import os

import keras
import numpy as np

from keras_distill._arguments.checks import check_integer

# The size is fixed: each chunk has its own random numbers, which then do not depend on the
# number of workers.
_CHUNK_SIZE = 4096
# The texts of a pair that a round changes, in turn: the first, the second, both.
_CHANGED = ((0,), (1,), (0, 1))


class WordIds:
    """Texts as one array of word ids.

    Args:
        texts: Strings, or pairs of strings.
        split: Callable from a text to its words; None splits at whitespace.
        join: Separator between the words of a text.

    Attributes:
        words: The different words; index = id.
        ids: Ids of all words of all texts, int32. With pairs, the ids of all first texts come
            before those of the second texts.
        offsets: Start of each text's words in `ids`, and the end of the last text.
        columns: The texts, joined from their words: all first texts and all second texts.

    Raises:
        ValueError: If there are no texts, or a text is not a string or has no words.
    """

    def __init__(self, texts, split, join):
        self.is_pairs, columns = _columns(texts)
        index = {}
        ids, lengths, self.columns = [], [], []
        for column in columns:
            normal_texts = []
            for place, text in column:
                words = _split(place, text, split)
                normal_texts.append(join.join(words))
                ids.extend([index.setdefault(word, len(index)) for word in words])
                lengths.append(len(words))
            self.columns.append(normal_texts)
        self.words = list(index)
        self.ids = np.array(ids, np.int32)
        self.offsets = np.concatenate([[0], np.cumsum(lengths)])

    def __len__(self):
        return len(self.columns[0])

    def words_of_texts(self):
        """Yields the list of words of each text, in the order of `ids`."""
        for start, end in itertools.pairwise(self.offsets):
            yield [self.words[i] for i in self.ids[start:end]]


def make_texts(corpus, rewrite, words, *, num_iterations, join, seed, num_workers, verbose):
    """Rewrites all texts several times.

    Pairs cycle: the first text only, the second only, both.

    Args:
        corpus: A `WordIds`.
        rewrite: Callable `(rng, places, lengths)` from a slice of `corpus.ids` and the number of
            words of each text in it to the ids and lengths of the new texts.
        words: The word of each id that `rewrite` returns.
        num_iterations, join, seed, num_workers, verbose: As for `augment`.

    Returns:
        Object array of the new texts in the order of their rounds, each once, without
        those that are in the corpus: `(n,)`, or `(n, 2)` for pairs.
    """
    words = np.array(words, dtype=object)

    def make_chunk(task):
        iteration, start = task
        # default_rng((seed, 0, 0)) would give the draws of default_rng(seed), which the user may
        # have used to draw the texts.
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(iteration, start)))
        stop = min(start + _CHUNK_SIZE, len(corpus))
        columns = []
        for number, column in enumerate(corpus.columns):
            if corpus.is_pairs and number not in _CHANGED[iteration % 3]:
                columns.append(column[start:stop])
                continue
            first = number * len(corpus)
            offsets = corpus.offsets[first + start : first + stop + 1]
            ids, lengths = rewrite(rng, slice(offsets[0], offsets[-1]), np.diff(offsets))
            columns.append(_joined(words[ids].tolist(), lengths, join))
        return list(zip(*columns)) if corpus.is_pairs else columns[0]

    tasks = itertools.product(range(num_iterations), range(0, len(corpus), _CHUNK_SIZE))
    originals = zip(*corpus.columns) if corpus.is_pairs else corpus.columns[0]
    found = dict.fromkeys(originals)
    num_originals = len(found)
    progress = keras.utils.Progbar(num_iterations * len(corpus), verbose=verbose, unit_name="text")
    with concurrent.futures.ThreadPoolExecutor(num_workers or os.cpu_count()) as pool:
        for chunk in pool.map(make_chunk, tasks):
            found.update(dict.fromkeys(chunk))
            progress.add(len(chunk))
    new_texts = list(itertools.islice(found, num_originals, None))
    return np.array(new_texts, dtype=object).reshape((-1, 2) if corpus.is_pairs else -1)


def check_rounds(num_iterations, seed, num_workers):
    """Returns the arguments of the rounds as plain values."""
    return (
        check_integer("num_iterations", num_iterations),
        check_integer("seed", seed, minimum=0),
        check_integer("num_workers", num_workers, optional=True),
    )


def _columns(texts):
    """Returns whether these are pairs, and each column as `(place, text)`."""
    if isinstance(texts, (str, bytes)) or len(texts) == 0:
        raise ValueError(f"texts must be a list with a text in it. Received: texts={texts!r:.80}")
    texts = list(texts)
    is_pairs = isinstance(texts[0], (list, tuple, np.ndarray))
    if not is_pairs:
        return False, [[(f"texts[{i}]", text) for i, text in enumerate(texts)]]
    for i, pair in enumerate(texts):
        if not isinstance(pair, (list, tuple, np.ndarray)) or len(pair) != 2:
            raise ValueError(
                f"texts must all be strings, or all pairs of strings. Received: texts[{i}]="
                f"{pair!r:.80}. Words to tag cannot be augmented: their tags would not fit."
            )
    return True, [
        [(f"texts[{i}][{side}]", pair[side]) for i, pair in enumerate(texts)] for side in (0, 1)
    ]


def _split(place, text, split):
    if not isinstance(text, str):
        raise ValueError(
            f"texts must all be strings, or all pairs of strings. Received: {place}={text!r:.80} "
            f"of type {type(text).__name__}. Decode bytes from UTF-8."
        )
    words = text.split() if split is None else split(text)
    if len(words) == 0:
        raise ValueError(
            f"A text without words cannot be augmented. Received: {place}={text!r:.80}. Leave it "
            "out" + (", or give a split= that finds its words." if split else ".")
        )
    return words


def _joined(words, lengths, join):
    ends = np.cumsum(lengths).tolist()
    return [join.join(words[start:end]) for start, end in zip([0, *ends], ends)]
