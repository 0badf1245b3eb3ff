"""Initial embedding matrices of a student: word vectors, or the teacher's embeddings."""

import pathlib
import warnings

import keras
import numpy as np

from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.printable import one_line
from keras_distill.text.reading.files import numbered_lines
from keras_distill.text.vocabularies.base import SPECIAL_TOKENS
from keras_distill.text.vocabularies.base import read_tokens

_MISSING_SCALE = 0.05
# With a smaller share of known words, most of a text begins at random vectors.
_ENOUGH = 0.5


def load_vectors(path, vocabulary, *, seed=0):
    """Reads word vectors for the tokens of a vocabulary.

    A token that the file does not contain gets a small random vector,
    uniform in [-0.05, 0.05) as in `keras.layers.Embedding`; "[PAD]" gets zeros. A warning gives
    their share if under half of the tokens have a vector of the file.

    Args:
        path: A text file of lines `word v1 v2 ...`, like GloVe's, gzipped if its name ends in
            .gz (fastText's first line, `words dimensions`, is skipped); or a .npy
            matrix, `(words, dim)`, next to a file vocab.txt with one word per line;
            or a folder with one such matrix.
        vocabulary: A `Vocabulary`. Words must be spelled as in the file, including case.
        seed: Seed of the random vectors. Defaults to 0.

    Returns:
        float32 array, `(len(vocabulary), dim)`.

    Raises:
        ValueError: If the file cannot be read (the message has the line number), or if it
            has no vector for any token, apart from "[UNK]" and other special tokens.

    Example:

    ```python
    vocabulary = kd.text.WordVocabulary.learn(texts, vocabulary_size=20000)
    vectors = kd.text.load_vectors("glove.6B.50d.txt", vocabulary)
    student = kd.students.bilstm(vocabulary, num_classes=2, embeddings=vectors)
    ```

    Reference: Pennington et al. 2014, https://nlp.stanford.edu/projects/glove.
    """
    seed = check_integer("seed", seed, minimum=0)
    places = {token: place for place, token in enumerate(vocabulary.tokens)}
    found = {}
    for word, vector in _vectors(path, places):
        found.setdefault(places[word], vector)
    _check_found(path, vocabulary, found)
    dim = len(next(iter(found.values())))
    shape = (len(vocabulary), dim)
    matrix = np.random.default_rng(seed).uniform(-_MISSING_SCALE, _MISSING_SCALE, shape)
    matrix[0] = 0
    matrix[list(found)] = list(found.values())
    return matrix.astype("float32")


def _check_found(path, vocabulary, found):
    """Raises if no token has a vector, and warns if few have one."""
    tokens = [(i, t) for i, t in enumerate(vocabulary.tokens) if t not in SPECIAL_TOKENS]
    missing = [token for i, token in tokens if i not in found]
    if len(missing) == len(tokens):
        raise ValueError(
            f"The vectors must be those of words of the vocabulary. Received: {path}, which has "
            f"none of its {len(tokens)} tokens, such as {vocabulary.tokens[-3:]}. Does the case "
            "differ?"
        )
    share = 1 - len(missing) / len(tokens)
    if share < _ENOUGH:
        warnings.warn(
            f"{path} has vectors for {share:.0%} of the {len(tokens):,} tokens of the vocabulary, "
            f"and not for {', '.join(map(repr, missing[:3]))}, for instance: these begin at random "
            "vectors. Does the case differ, or the language? "
            "WordVocabulary.learn(among=path) takes words of the file alone.",
            stacklevel=3,
        )


def vector_words(path):
    """Returns the words of a file of vectors as a list of str.

    Args:
        path: As in `load_vectors`.
    """
    path = _vector_file(path)
    if path.suffix == ".npy":
        return read_tokens(path.with_name("vocab.txt"))
    return [word for _, word, _ in _vector_lines(path)]


def copy_embeddings(embeddings, *, teacher_vocabulary, vocabulary):
    """Makes a student's embeddings from the teacher's.

    A token that both vocabularies have gets the teacher's vector. Any other token gets the
    mean vector of the pieces into which the teacher splits it (without "##"), or the
    vector of "[UNK]" if the teacher does not know it; "[PAD]" gets zeros.

    Args:
        embeddings: The teacher's embeddings, `(len(teacher_vocabulary), dim)`: an array, a
            variable or an Embedding layer's `embeddings`.
        teacher_vocabulary: The teacher's `Vocabulary`, from `teacher_vocabulary`.
        vocabulary: The student's `Vocabulary`, with the teacher's casing and accents.

    Returns:
        float32 array, `(len(vocabulary), dim)`.

    Raises:
        ValueError: If the number of vectors is not the number of the teacher's tokens.

    Example:

    ```python
    teacher_vocabulary = kd.text.WordPieceVocabulary.from_teacher(preprocessor)
    vocabulary = kd.text.WordPieceVocabulary.learn(texts, vocabulary_size=8000)
    rows = kd.text.copy_embeddings(
        backbone.token_embedding.embeddings,
        teacher_vocabulary=teacher_vocabulary,
        vocabulary=vocabulary,
    )
    student = kd.students.bilstm(vocabulary, num_classes=2, embeddings=rows)
    ```
    """
    embeddings = keras.ops.convert_to_numpy(embeddings).astype("float32")
    if embeddings.ndim != 2 or len(embeddings) != len(teacher_vocabulary):
        raise ValueError(
            "embeddings must have a row for each token of the teacher's vocabulary, "
            f"{len(teacher_vocabulary)}. Received: embeddings of shape {embeddings.shape}. Is the "
            "vocabulary that of another teacher?"
        )
    places = {token: place for place, token in enumerate(teacher_vocabulary.tokens)}
    rows = np.zeros((len(vocabulary), embeddings.shape[1]), "float32")
    tokens = vocabulary.tokens
    kept = [i for i in range(1, len(tokens)) if tokens[i] in places]
    rows[kept] = embeddings[[places[tokens[i]] for i in kept]]
    others = [i for i in range(1, len(tokens)) if tokens[i] not in places]
    if others:
        pieces = teacher_vocabulary.pieces([tokens[i].removeprefix("##") for i in others])
        starts = pieces.row_splits.numpy()[:-1]
        sums = np.add.reduceat(embeddings[pieces.flat_values.numpy()], starts, axis=0)
        rows[others] = sums / pieces.row_lengths().numpy()[:, None]
    return rows


def _vectors(path, wanted):
    """Yields `(word, vector)` of the wanted words."""
    path = _vector_file(path)
    if path.suffix == ".npy":
        words = read_tokens(path.with_name("vocab.txt"))
        matrix = _open_matrix(path)
        if matrix.ndim != 2 or len(matrix) != len(words):
            raise ValueError(
                f"The matrix must have a row for each of the {len(words)} words of vocab.txt. "
                f"Received: {path} of shape {matrix.shape}."
            )
        for i, word in enumerate(words):
            if word in wanted:
                yield word, _finite(f"{path}, row {i}", word, matrix[i].astype("float32"))
        return
    for number, word, values in _vector_lines(path):
        if word in wanted:
            try:
                with np.errstate(over="ignore"):
                    vector = np.array(values, "float32")
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}.") from error
            yield word, _finite(f"{path}, line {number}", word, vector)


def _open_matrix(path):
    try:
        matrix = np.load(path, mmap_mode="r", allow_pickle=False)
        found = f"{matrix.dtype} {matrix.shape}"
        is_right = matrix.dtype.kind in "fiu"
    except (OSError, ValueError) as error:
        found, is_right = f"{type(error).__name__}: {one_line(error)}", False
    if not is_right:
        raise ValueError(
            f"{path} must be a matrix of numbers as numpy.save writes it. Received: {found:.200}"
        )
    return matrix


def _finite(place, word, vector):
    if not np.isfinite(vector).all():
        raise ValueError(
            f"{place}: vectors must have finite numbers. Received: {vector[:3]} for {word!r}. "
            "Remove the word, and it gets a small random vector."
        )
    return vector


def _vector_file(path):
    path = pathlib.Path(path)
    if path.is_dir():
        files = sorted(path.glob("*.npy"))
        if len(files) != 1:
            raise ValueError(
                "path must be a file of vectors, or a folder with one .npy matrix. "
                f"Received: {path}, with the matrices {[file.name for file in files]}"
            )
        return files[0]
    if not path.is_file():
        raise ValueError(f"path must be a file of vectors. Received: {path}, which is not there.")
    return path


def _vector_lines(path):
    """Yields `(line number, word, values)` of a text file; a word may contain spaces."""
    dim = None
    for number, line in numbered_lines(path):
        fields = line.rstrip().split(" ")
        if number == 1 and len(fields) == 2 and all(field.isdigit() for field in fields):
            continue
        dim = dim or len(fields) - 1
        if dim < 1 or len(fields) <= dim:
            raise ValueError(
                f"{path}, line {number}: expected a word and {dim or 'its'} numbers, apart by "
                f"single blanks. Received: {line[:80]!r}"
            )
        yield number, " ".join(fields[:-dim]), fields[-dim:]
