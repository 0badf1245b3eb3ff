"""New texts for a transfer set: words are replaced by the nearest words in an embedding."""

import re

import numpy as np
import tensorflow as tf

from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.checks import check_rate
from keras_distill.text.augmentation.word_rounds import WordIds
from keras_distill.text.augmentation.word_rounds import check_rounds
from keras_distill.text.augmentation.word_rounds import make_texts

# A block has 64 MB of float32 scores, for any number of words.
_SCORES_PER_BLOCK = 2**24
_NO_WORD = re.compile(r"##.+|\[.+\]")


def augment_with_nearest_words(
    texts,
    words,
    embeddings,
    num_iterations=20,
    *,
    replace_rate=0.4,
    num_candidates=15,
    split=None,
    join=" ",
    seed=0,
    num_workers=None,
    verbose=1,
):
    """Makes new texts by replacing words with similar ones, for the teacher to label.

    In each round, each word of each text is replaced with probability replace_rate by one
    of the num_candidates words whose embeddings have the largest cosine with its own, each
    equally likely. A word without an embedding, or with one of zeros, is not replaced; if only
    its lowercase form has an embedding, that is used. Pairs cycle as in `augment`.

    Args:
        texts: Strings, or pairs of strings: a list, or an array `(n,)` or `(n, 2)`, as
            in `Examples.texts`.
        words: The words of the rows of embeddings: the words of GloVe vectors, or the tokens
            of the teacher's vocabulary. Word pieces ("##ing") and special tokens ("[CLS]") are
            never inserted into a text.
        embeddings: Array `(len(words), dim)`: the vectors, or the teacher's matrix of
            token embeddings.
        num_iterations: Number of rounds, the paper's N_a. More rounds append texts and do not
            change the earlier ones. Defaults to 20.
        replace_rate: Probability that a word is replaced, in [0, 1], the paper's p_t.
            Defaults to 0.4.
        num_candidates: Number of nearest words to draw from, the paper's K. Defaults to 15.
        split, join, seed, num_workers, verbose: As for `augment`.

    Returns:
        Object array of the new texts, `(m,)` or `(m, 2)`, as in `augment`: without duplicates
        and without the given texts.

    Raises:
        ValueError: If a text is not a string or has no words (the message has its index),
            words and embeddings do not match, or no word of the texts has an embedding.

    Example:

    >>> words = ["film", "movie", "good", "fine"]
    >>> embeddings = [[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]]
    >>> new_texts = augment_with_nearest_words(
    ...     ["good film"], words, embeddings, num_candidates=1, verbose=0
    ... )
    >>> sorted(new_texts)
    ['fine film', 'fine movie', 'good movie']

    Reference: Jiao et al. 2020, TinyBERT, https://arxiv.org/abs/1909.10351, algorithm 1.
    Deviations: the paper's candidates for a word that is one word piece are BERT's
    predictions at a masked word, and the nearest GloVe vectors for the others; here the
    candidates of all words are the nearest vectors of the given matrix. Duplicates are dropped.
    """
    replace_rate = check_rate("replace_rate", replace_rate)
    num_candidates = check_integer("num_candidates", num_candidates)
    num_iterations, seed, num_workers = check_rounds(num_iterations, seed, num_workers)
    embeddings = _checked_embeddings(words, embeddings)
    corpus = WordIds(texts, split, join)
    near_words, near_ids = _near_words(corpus, words, embeddings, num_candidates)

    def rewrite(rng, places, lengths):
        ids = corpus.ids[places].copy()
        is_replaced = (rng.random(len(ids)) < replace_rate) & (near_ids[ids, 0] >= 0)
        drawn = rng.integers(near_ids.shape[1], size=is_replaced.sum())
        ids[is_replaced] = near_ids[ids[is_replaced], drawn]
        return ids, lengths

    return make_texts(
        corpus,
        rewrite,
        [*corpus.words, *near_words],
        num_iterations=num_iterations,
        join=join,
        seed=seed,
        num_workers=num_workers,
        verbose=verbose,
    )


def nearest_rows(embeddings, rows, candidates, num_nearest):
    """Returns which candidates are nearest to each row by cosine, nearest first.

    Args:
        embeddings: float32 array `(n, dim)`, in which `rows` and `candidates` are not zeros.
        rows: Indices `(m,)` of the rows whose neighbours are wanted.
        candidates: Indices of the rows that may be neighbours. A row is not its own neighbour.
        num_nearest: Number of neighbours, fewer than there are candidates.

    Returns:
        Array `(m, num_nearest)` of row indices.
    """
    among = tf.constant(_directions(embeddings[candidates]))
    block_size = max(1, _SCORES_PER_BLOCK // len(candidates))
    nearest = np.empty((len(rows), num_nearest), np.int64)
    for start in range(0, len(rows), block_size):
        block = rows[start : start + block_size]
        scores = tf.matmul(_directions(embeddings[block]), among, transpose_b=True)
        # One more is found, because the row itself may be among them; otherwise the last is cut.
        found = candidates[tf.math.top_k(scores, num_nearest + 1).indices.numpy()]
        order = np.argsort(found == block[:, np.newaxis], axis=1, kind="stable")
        found = np.take_along_axis(found, order, axis=1)
        nearest[start : start + block_size] = found[:, :num_nearest]
    return nearest


def _near_words(corpus, words, embeddings, num_candidates):
    """Returns the words to insert, and their ids `(corpus words, candidates)`."""
    has_direction = np.any(embeddings != 0, axis=1)
    row_of_word = {word: row for row, word in enumerate(words) if has_direction[row]}
    row_of_id = np.array(
        [row_of_word.get(word, row_of_word.get(word.lower(), -1)) for word in corpus.words]
    )
    candidates = np.array(
        [row for word, row in row_of_word.items() if not _NO_WORD.fullmatch(word)]
    )
    known = np.flatnonzero(row_of_id >= 0)
    num_nearest = min(num_candidates, len(candidates) - 1)
    if len(known) == 0 or num_nearest < 1:
        raise ValueError(
            f"words must have words of the texts, and others. Received: {len(words)} words, of "
            f"which the texts have {len(known)}; {corpus.words[:5]} are some of the texts. Give "
            "embeddings of the language of the texts, cased or not as they are, or a split= that "
            "cuts the texts into such words."
        )
    nearest = nearest_rows(embeddings, row_of_id[known], candidates, num_nearest)
    near_rows, positions = np.unique(nearest, return_inverse=True)
    near_ids = np.full((len(corpus.words), num_nearest), -1, np.int32)
    near_ids[known] = len(corpus.words) + positions.reshape(nearest.shape)
    return [words[row] for row in near_rows], near_ids


def _checked_embeddings(words, embeddings):
    embeddings = np.asarray(embeddings, np.float32)
    if embeddings.ndim != 2 or len(embeddings) != len(words):
        raise ValueError(
            "embeddings must be a matrix with a row for each of words. Received: "
            f"{len(words)} words, embeddings of shape {embeddings.shape}"
        )
    if not np.all(np.isfinite(embeddings)):
        row = int(np.flatnonzero(~np.all(np.isfinite(embeddings), axis=1))[0])
        raise ValueError(
            f"embeddings must be finite. Received: NaN or infinity at row {row}, the word "
            f"{words[row]!r}. Leave the word out."
        )
    return embeddings


def _directions(vectors):
    # Dividing by the largest entry first prevents overflow and underflow of the squares.
    vectors = vectors / np.max(np.abs(vectors), axis=1, keepdims=True)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
