import gzip

import keras
import numpy as np
import pytest

from keras_distill.text import WordPieceVocabulary
from keras_distill.text import WordVocabulary
from keras_distill.text import copy_embeddings
from keras_distill.text import load_vectors
from keras_distill.text.vocabularies.word_vectors import vector_words

LINES = ["film 1 2", "good -0.5 1e-3", ". . 3 4", "bad 5 6"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def write_text(path):
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


def write_gzip(path):
    path = path.with_suffix(".gz")
    path.write_bytes(gzip.compress("\n".join(LINES).encode()))
    return path


def write_fasttext(path):
    path.write_text("\n".join(["4 2", *(line + " " for line in LINES)]), encoding="utf-8")
    return path


def write_matrix(path):
    matrix = np.array([[1, 2], [-0.5, 1e-3], [3, 4], [5, 6]], "float16")
    np.save(path.with_suffix(".npy"), matrix)
    words = ["film", "good", ". .", "bad"]
    path.with_name("vocab.txt").write_text("\n".join(words), encoding="utf-8")
    return path.with_suffix(".npy")


def write_folder(path):
    return write_matrix(path).parent


@pytest.mark.parametrize(
    "write", [write_text, write_gzip, write_fasttext, write_matrix, write_folder]
)
def test_files_of_vectors(write, tmp_path):
    """Every token has its own vector, whatever the order in the file."""
    path = write(tmp_path / "vectors.txt")
    vocabulary = WordVocabulary(["good", "other", "film"])
    vectors = load_vectors(path, vocabulary)
    assert vectors.dtype == np.float32
    assert vectors.shape == (8, 2)
    np.testing.assert_allclose(vectors[[5, 7]], [[-0.5, 1e-3], [1, 2]], atol=1e-6)
    np.testing.assert_array_equal(vectors[0], 0)
    assert vector_words(path) == ["film", "good", ". .", "bad"]


def test_words_without_a_vector_get_small_ones_of_the_seed(tmp_path):
    path = write_text(tmp_path / "vectors.txt")
    vocabulary = WordVocabulary(["good", *map(str, range(500))])
    with pytest.warns(UserWarning, match=r"vectors for 0% of the 501 tokens.*'0', '1', '2', for"):
        vectors = load_vectors(path, vocabulary)
    missing = vectors[6:]
    assert np.abs(missing).max() <= 0.05
    assert missing.std() == pytest.approx(0.05 / np.sqrt(3), rel=0.1)
    assert np.unique(missing, axis=0).shape == missing.shape
    with pytest.warns(UserWarning, match="these begin at random"):
        again = load_vectors(path, vocabulary)
    with pytest.warns(UserWarning, match="these begin at random"):
        others = load_vectors(path, vocabulary, seed=1)
    np.testing.assert_array_equal(again, vectors)
    np.testing.assert_array_equal(others[5], vectors[5])
    assert not np.any(others[6:] == missing)


def test_few_words_with_a_vector(tmp_path):
    """Half of them is enough; a vector of "[UNK]" alone is none."""
    path = write_text(tmp_path / "vectors.txt")
    load_vectors(path, WordVocabulary(["good", "film", "zzz", "Film"]))
    with pytest.warns(
        UserWarning, match=r"for 40% of the 5 tokens of .*'zzz', 'Film', 'Good', for"
    ):
        load_vectors(path, WordVocabulary(["good", "film", "zzz", "Film", "Good"]))
    path.write_text("[UNK] 1 2\n[MASK] 1 2\n")
    with pytest.raises(ValueError, match=r"none of its 2 tokens, such as .*'film', 'good'"):
        load_vectors(path, WordVocabulary(["film", "good"]))


def test_vectors_of_shared(shared):
    """Related words are near each other, which they would not be in wrong rows."""
    path = shared / "models/glove_6b_50d_top50k"
    vocabulary = WordVocabulary.learn(["good great film movie zzzz"], 20, among=path)
    assert "zzzz" not in vocabulary.tokens
    vectors = load_vectors(path, vocabulary)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9
    good, great, film, movie = (
        vectors[vocabulary.tokens.index(word)] for word in ("good", "great", "film", "movie")
    )
    assert film @ movie > 0.9
    assert good @ great > 0.7
    assert film @ good < 0.7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"film 1 2\ngood 1\n", r"line 2: expected a word and 2 numbers.*Received: 'good 1'"),
        (b"film\n", r"line 1: expected a word and its numbers"),
        (b"film 1 2\ngood 1 x\n", r"line 2: could not convert"),
        (b"film 1 2\ngood nan 2\n", r"line 2: vectors must have finite numbers.*'good'"),
        (b"film 1 2\ngood 1e39 2\n", r"line 2: vectors must have finite numbers.*'good'"),
        (b"film 1 2\ngo\xffod 1 2\n", r"line 2 is not UTF-8"),
        (b"", r"is empty"),
        (b"Film 1 2\n", r"none of its 2 tokens, such as .*'film', 'good'"),
    ],
)
def test_bad_files(tmp_path, content, message):
    path = tmp_path / "vectors.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_vectors(path, WordVocabulary(["film", "good"]))


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.array([[1.0, 2.0], [np.nan, 0.0]]), r"m.npy, row 1: vectors must have finite numbers"),
        (np.array([[1, 2], [3, 4]], object), r"m.npy must be a matrix of numbers.*ValueError"),
        (np.eye(2) + 1j, r"m.npy must be a matrix of numbers.*complex128 \(2, 2\)"),
        (np.array([["a", "b"], ["c", "d"]]), r"m.npy must be a matrix of numbers"),
        (None, r"m.npy must be a matrix of numbers.*ValueError"),
    ],
    ids=["nan", "objects", "complex", "texts", "damaged"],
)
def test_bad_matrices(tmp_path, matrix, message):
    """Some were read as far as they went, others an error without the file's name."""
    (tmp_path / "vocab.txt").write_text("film\ngood\n")
    (tmp_path / "m.npy").write_bytes(b"\x93NUMPY\x01\x00")
    if matrix is not None:
        np.save(tmp_path / "m.npy", matrix)
    with pytest.raises(ValueError, match=message):
        load_vectors(tmp_path, WordVocabulary(["film", "good"]))


def test_files_that_are_not_there(tmp_path):
    vocabulary = WordVocabulary(["film"])
    with pytest.raises(ValueError, match=r"absent.txt, which is not there"):
        load_vectors(tmp_path / "absent.txt", vocabulary)
    with pytest.raises(ValueError, match=r"one .npy matrix.*with the matrices \[\]"):
        load_vectors(tmp_path, vocabulary)
    path = write_matrix(tmp_path / "vectors.txt")
    path.with_name("vocab.txt").write_text("film\ngood", encoding="utf-8")
    with pytest.raises(ValueError, match=r"each of the 2 words.*shape \(4, 2\)"):
        load_vectors(path, vocabulary)
    path.with_name("vocab.txt").unlink()
    with pytest.raises(ValueError, match=r"vocab.txt cannot be read"):
        load_vectors(path, vocabulary)


class TestCopyEmbeddings:
    TEACHER = WordPieceVocabulary([*SPECIAL, "film", "play", "##ing", "good", "ing"])
    EMBEDDINGS = np.random.default_rng(0).normal(size=(10, 3)).astype("float32")

    def rows(self, vocabulary):
        rows = copy_embeddings(
            self.EMBEDDINGS, teacher_vocabulary=self.TEACHER, vocabulary=vocabulary
        )
        assert rows.shape == (len(vocabulary), 3)
        return dict(zip(vocabulary.tokens, rows))

    def test_kept_pieces(self):
        rows = self.rows(WordPieceVocabulary([*SPECIAL, "good", "##ing", "film"]))
        for token in ("[UNK]", "[CLS]", "[MASK]", "good", "##ing", "film"):
            expected = self.EMBEDDINGS[self.TEACHER.tokens.index(token)]
            np.testing.assert_array_equal(rows[token], expected)
        np.testing.assert_array_equal(rows["[PAD]"], 0)

    @pytest.mark.long
    def test_other_tokens_are_means_of_the_teachers_pieces(self):
        rows = self.rows(WordVocabulary(["playing", "strange", "film"]))
        np.testing.assert_allclose(rows["playing"], self.EMBEDDINGS[[6, 7]].mean(axis=0))
        np.testing.assert_array_equal(rows["strange"], self.EMBEDDINGS[1])
        rows = self.rows(WordPieceVocabulary([*SPECIAL, "##good"]))
        np.testing.assert_array_equal(rows["##good"], self.EMBEDDINGS[8])

    def test_of_an_embedding_layer(self):
        embedding = keras.layers.Embedding(10, 3)
        embedding.build()
        rows = copy_embeddings(
            embedding.embeddings, teacher_vocabulary=self.TEACHER, vocabulary=self.TEACHER
        )
        np.testing.assert_array_equal(rows[1:], embedding.embeddings[1:])

    def test_embeddings_of_another_vocabulary(self):
        message = r"each token of the teacher's vocabulary, 10. Received: .*shape \(9, 3\)"
        with pytest.raises(ValueError, match=message):
            copy_embeddings(
                self.EMBEDDINGS[1:], teacher_vocabulary=self.TEACHER, vocabulary=self.TEACHER
            )
