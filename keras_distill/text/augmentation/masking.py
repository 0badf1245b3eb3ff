"""New texts for a transfer set: words masked or replaced, and n-grams."""

import numpy as np

from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.checks import check_rate
from keras_distill.text.augmentation.word_rounds import WordIds
from keras_distill.text.augmentation.word_rounds import check_rounds
from keras_distill.text.augmentation.word_rounds import make_texts


def augment(
    texts,
    num_iterations=20,
    *,
    mask_rate=0.1,
    replace_rate=0.1,
    ngram_rate=0.25,
    max_ngram=5,
    tagger=None,
    mask_token="[MASK]",
    split=None,
    join=" ",
    seed=0,
    num_workers=None,
    verbose=1,
):
    """Makes new texts from those of a transfer set, for the teacher to label.

    Each round makes a new text from each text:

    1. One uniform draw x for each word. x < mask_rate: the word becomes mask_token.
       mask_rate <= x < mask_rate + replace_rate: it becomes another word of the same
       group, drawn by how often each occurs in the texts.
    2. With probability ngram_rate only n words in a row are kept, from anywhere in the
       text; n is uniform in 1 ... max_ngram, and at most the text's length.

    A word's group is its part of speech if there is a tagger. Without a tagger, the group
    contains the words of similar frequency, whose counts in the texts have the same
    floor(log2(count)). A word that is alone in its group is not replaced.

    With pairs of texts, the first round changes the first text, the second round the second
    text, the third round both, and so on.

    Args:
        texts: Strings, or pairs of strings: a list, or an array `(n,)` or `(n, 2)`, as
            in `Examples.texts`.
        num_iterations: Number of rounds. More rounds append texts and do not change the
            earlier ones. Defaults to 20.
        mask_rate: Probability that a word is masked, in [0, 1]. Defaults to 0.1.
        replace_rate: Probability that a word is replaced, in [0, 1 - mask_rate].
            Defaults to 0.1.
        ngram_rate: Probability that a text is cut to an n-gram, in [0, 1]. Defaults to
            0.25.
        max_ngram: Largest n. Defaults to 5.
        tagger: Callable from the list of a text's words to as many tags (any hashable
            values). None groups words by frequency. Defaults to None.
        mask_token: The mask. Defaults to "[MASK]".
        split: Callable from a text to a list of words; `list` splits Chinese into characters.
            None splits at whitespace. Defaults to None.
        join: Separator between the words of a new text; use "" with `split=list`.
            Defaults to " ".
        seed: Seed of the draws, 0 or more. The same seed gives the same texts, whatever
            num_workers is. Defaults to 0.
        num_workers: Number of threads. None means one for each CPU. Defaults to None.
        verbose: 1 shows a progress bar, 0 nothing. Defaults to 1.

    Returns:
        Object array of the new texts, `(m,)` or `(m, 2)`, without duplicates and without
        the given texts, so m is at most num_iterations times the number of texts.

    Raises:
        ValueError: If a text is not a string or has no words (the message has its index), a
            rate is out of its range, or the tagger does not give one tag for each word.

    Example:

    >>> texts = ["a good film", "a dull film", "what a bad story"]
    >>> new_texts = augment(texts, num_iterations=2, seed=1, verbose=0)
    >>> set(new_texts).isdisjoint(texts)
    True

    ```python
    transfer_set = train + kd.text.from_lists(kd.text.augment(train.texts))
    ```

    Reference: Tang et al. 2019, Distilling Task-Specific Knowledge from BERT into Simple
    Neural Networks, https://arxiv.org/abs/1903.12136. Deviations: words are grouped by
    frequency if there is no tagger; a word is never replaced by itself; an n longer than the
    text keeps the whole text, which the paper leaves open; duplicates of the given texts are
    dropped, too.
    """
    mask_rate = check_rate("mask_rate", mask_rate)
    replace_rate = check_rate("replace_rate", replace_rate)
    ngram_rate = check_rate("ngram_rate", ngram_rate)
    if mask_rate + replace_rate > 1:
        raise ValueError(
            "mask_rate + replace_rate must be at most 1: a word is masked or replaced. Received: "
            f"{mask_rate=}, {replace_rate=}"
        )
    max_ngram = check_integer("max_ngram", max_ngram)
    check_rounds(num_iterations, seed, num_workers)
    corpus = WordIds(texts, split, join)
    replacements = _Replacements(corpus.ids, _groups(corpus, tagger))
    mask_id = len(corpus.words)

    def rewrite(rng, places, lengths):
        ids = corpus.ids[places].copy()
        draws = rng.random(len(ids))
        ids[draws < mask_rate] = mask_id
        replaced = np.flatnonzero((draws >= mask_rate) & (draws < mask_rate + replace_rate))
        ids[replaced] = replacements.draw(rng, places.start + replaced)
        return _cut_to_ngrams(rng, ids, lengths, ngram_rate, max_ngram)

    return make_texts(
        corpus,
        rewrite,
        [*corpus.words, mask_token],
        num_iterations=num_iterations,
        join=join,
        seed=seed,
        num_workers=num_workers,
        verbose=verbose,
    )


class _Replacements:
    """Draws another word of the same group for a word of the texts, by frequency.

    All words of the texts are sorted by group, with equal words adjacent in a run. To draw
    another word of the group, it draws a place in the group outside of the word's run.
    """

    def __init__(self, ids, groups):
        order = np.lexsort((ids, groups))
        self._ids = ids[order]
        is_new_group = np.diff(groups[order], prepend=-1) != 0
        is_new_run = is_new_group | (np.diff(self._ids, prepend=-1) != 0)
        self._run = np.empty(len(ids), np.int32)
        self._run[order] = np.cumsum(is_new_run) - 1
        self._run_start, self._run_size = _spans(is_new_run)
        starts, sizes = _spans(is_new_group)
        group_of_run = np.cumsum(is_new_group)[self._run_start] - 1
        self._group_start, self._group_size = starts[group_of_run], sizes[group_of_run]

    def draw(self, rng, places):
        """Returns new ids for the words at `places`, or the old id if there is no other word."""
        run = self._run[places]
        num_others = self._group_size[run] - self._run_size[run]
        drawn = self._group_start[run] + (rng.random(len(run)) * num_others).astype(np.int64)
        drawn += np.where(drawn >= self._run_start[run], self._run_size[run], 0)
        return self._ids[np.where(num_others > 0, drawn, self._run_start[run])]


def _spans(is_first):
    starts = np.flatnonzero(is_first)
    return starts, np.diff(starts, append=len(is_first))


def _groups(corpus, tagger):
    if tagger is None:
        counts = np.bincount(corpus.ids)
        return np.floor(np.log2(counts)).astype(np.int64)[corpus.ids]
    index, groups = {}, []
    for words in corpus.words_of_texts():
        tags = tagger(words)
        if len(tags) != len(words):
            raise ValueError(
                f"tagger must give one tag for each word. Received: {len(tags)} tags for the "
                f"{len(words)} words {words!r:.120}"
            )
        groups.extend([index.setdefault(tag, len(index)) for tag in tags])
    return np.array(groups, np.int64)


def _cut_to_ngrams(rng, ids, lengths, ngram_rate, max_ngram):
    num_texts = len(lengths)
    is_cut = rng.random(num_texts) < ngram_rate
    sizes = np.minimum(rng.integers(1, max_ngram + 1, num_texts), lengths)
    starts = (rng.random(num_texts) * (lengths - sizes + 1)).astype(np.int64)
    new_lengths = np.where(is_cut, sizes, lengths)
    starts = np.where(is_cut, starts, 0) + np.cumsum(lengths) - lengths
    # A kept word's place is its text's first kept place plus its distance from that word.
    firsts = np.cumsum(new_lengths) - new_lengths
    places = np.arange(new_lengths.sum()) + np.repeat(starts - firsts, new_lengths)
    return ids[places], new_lengths
