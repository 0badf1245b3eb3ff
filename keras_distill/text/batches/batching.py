"""Batches of texts of similar length, tokenized once for student and teacher."""

import itertools
import warnings

import numpy as np
import tensorflow as tf

from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.checks import check_rising
from keras_distill.text.batches.tokenized import Corpus


def batch_by_length(
    examples,
    student=None,
    *,
    teacher=None,
    bucket_lengths=(16, 24, 32, 48, 64, 96, 128),
    tokens_per_batch=2048,
    batch_size=None,
    shuffle=True,
    seed=0,
    drop_remainder=False,
):
    """Batches texts with others of similar length, so that there is little padding.

    Every text is tokenized once, when this function is called, and its ids are kept in
    memory. The bucket of an example is the smallest length that holds both the student's
    and the teacher's ids. An epoch draws an order of the examples, fills batches
    from each bucket, and draws an order of the batches. In a batch, each model's ids are
    padded to the smallest bucket length that holds them, and never beyond the model's own
    sequence_length: there are few shapes, and nothing is retraced.

    Args:
        examples: `Examples`, or a finite, unbatched `tf.data.Dataset` of `text`,
            `(text, y)` or `(text, y, sample_weight)`. A text is a string, a pair of shape
            (2,), or words of shape (words,). If both models do not read the same
            text, give `DistillationInputs` of texts (teacher_outputs are kept). y is a
            number, an array of a fixed shape, or one tag for each word.
        student: Function from strings, `(batch,)`, `(batch, 2)` or `(batch, words)`, to
            ids, `(batch, length)` or `(batch, 2, length)`, or to a dict of such tensors (ids,
            mask, ...), padded with 0: a `Vocabulary`, a KerasHub preprocessor for one text, a
            `HubLayer` preprocessor; `vocabulary.tokenize_words` for words. It must run in
            tf.data. None: the student reads strings.
        teacher: Such a function for the teacher; `tf.identity` if it reads strings. None: the
            teacher reads the student's ids; with `DistillationInputs`, strings.
        bucket_lengths: Lengths in tokens, increasing. Ids beyond the last are cut off.
        tokens_per_batch: Number of tokens in a batch, including padding: a batch has
            tokens_per_batch / bucket length examples (at least 1). If the loss is a mean over the
            batch, examples then have unequal weights: long ones are in smaller batches.
        batch_size: A fixed number of examples per batch instead. Defaults to None.
        shuffle: Whether every epoch has a new random order. False: bucket by bucket,
            in the order of the examples.
        seed: Seed of the orders, an integer of at least 0. The same seed gives the same
            epochs. Defaults to 0.
        drop_remainder: Whether to leave out the examples that do not fill the last
            batch of a bucket; if shuffled, they differ in every epoch. Defaults to False.

    Returns:
        A `tf.data.Dataset` of `x`, `(x, y)` or `(x, y, sample_weight)`, of known
        cardinality. x is the student's ids, int32; with `teacher`, or if x was
        `DistillationInputs`, it is `DistillationInputs` of them. Tags are padded with -1.

    Raises:
        ValueError: If the examples are batched, endless or empty, if no function turns
            strings into ids, or if an argument is out of its range.

    Warns:
        UserWarning: With the number of texts that were cut by a `Vocabulary`'s
            sequence_length or by the last bucket. Cuts by other functions are not noticed.

    Example:

    ```python
    teacher = kd.teachers.text_classifier("bert_folder", num_classes=2)    # fine-tuned
    dataset = kd.text.batch_by_length(
        examples, student=vocabulary, teacher=teacher.preprocessor
    )
    distiller = kd.Distiller(student=student, teacher=teacher.classifier)
    ```
    """
    dataset = examples if isinstance(examples, tf.data.Dataset) else _dataset_of(examples)
    bucket_lengths = check_rising("bucket_lengths", bucket_lengths)
    tokens_per_batch = check_integer("tokens_per_batch", tokens_per_batch)
    batch_size = check_integer("batch_size", batch_size, optional=True)
    seed = check_integer("seed", seed, minimum=0)
    corpus = Corpus(dataset, student, teacher, bucket_lengths)
    if corpus.num_cut:
        warnings.warn(_cut_message(corpus), stacklevel=2)
    batch_sizes = [batch_size or max(1, tokens_per_batch // n) for n in bucket_lengths]
    order = _Order(corpus.buckets, batch_sizes, shuffle, seed, drop_remainder)
    indices = tf.data.Dataset.from_generator(
        order.draw_epoch, output_signature=tf.TensorSpec([None], tf.int64)
    )
    indices = indices.apply(tf.data.experimental.assert_cardinality(order.num_batches))
    batches = indices.map(corpus.batch, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.prefetch(tf.data.AUTOTUNE)


class _Order:
    """Draws the examples of each batch of an epoch."""

    def __init__(self, buckets, batch_sizes, shuffle, seed, drop_remainder):
        self._buckets, self._batch_sizes = buckets, batch_sizes
        self._shuffle, self._seed, self._drop_remainder = shuffle, seed, drop_remainder
        self._epochs = itertools.count()
        counts = np.bincount(buckets, minlength=len(batch_sizes))
        sizes = np.array(batch_sizes)
        self.num_batches = int(np.sum(counts // sizes if drop_remainder else -(-counts // sizes)))
        if self.num_batches == 0:
            raise ValueError(
                f"No bucket fills a batch. Received: {len(buckets)} examples, batches of "
                f"{batch_sizes} and drop_remainder=True. Give drop_remainder=False."
            )

    def draw_epoch(self):
        """Yields the indices of the examples of each batch; every call is another epoch."""
        rng = np.random.default_rng([self._seed, next(self._epochs)])
        order = np.arange(len(self._buckets))
        if self._shuffle:
            rng.shuffle(order)
        batches = []
        for bucket, size in enumerate(self._batch_sizes):
            indices = order[self._buckets[order] == bucket]
            stop = len(indices) - len(indices) % size if self._drop_remainder else len(indices)
            batches += [indices[start : start + size] for start in range(0, stop, size)]
        if self._shuffle:
            rng.shuffle(batches)
            # A full batch must come first: Keras builds a model on the first batch, which under
            # MirroredStrategy fails if a device has no example.
            first = next((i for i, b in enumerate(batches) if len(b) in self._batch_sizes), 0)
            batches[0], batches[first] = batches[first], batches[0]
        yield from batches


def _dataset_of(examples):
    if not hasattr(examples, "dataset"):
        raise ValueError(
            "examples must be Examples or an unbatched tf.data.Dataset. "
            f"Received: examples of type {type(examples).__name__}"
        )
    return examples.dataset()


def _cut_message(corpus):
    parts = [f"{n} of {len(corpus.buckets)} of the {name}'s" for name, n in corpus.num_cut.items()]
    return (
        f"Over-long texts were cut: {', '.join(parts)}. If that is not meant, raise the "
        "sequence_length of the vocabulary, and give bucket_lengths that reach it."
    )
