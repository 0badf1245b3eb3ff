import gzip
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_distill import export_saved_model
from keras_distill.teachers.hub import HubLayer
from keras_distill.text import WordPieceVocabulary
from keras_distill.text import WordVocabulary
from keras_distill.text.vocabularies.base import Vocabulary

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = [*SPECIAL, "a", "good", "film", "cafe", "play", "##ing", "don", "'", "t", ".", "很", "好"]
WORDS = ["a", "good", "film", ".", "don't", "café", "很", "好"]
TEXTS = ["A good film.", "playing", "Café don't 很好", "", "x"]
# An ellipsis, a full-width tilde and a full-width grave accent; no-break space.
FOLDED_SIGNS = "\u2026\uff5e\uff40\u00a0"

SERVE = """
import json, sys
import tensorflow as tf
module = tf.saved_model.load(sys.argv[1])
served = module.signatures["serving_default"](texts=tf.constant(json.loads(sys.argv[2])))
print(json.dumps({name: value.numpy().tolist() for name, value in served.items()}))
"""


def word_pieces(**options):
    return WordPieceVocabulary(PIECES, **options)


def words(**options):
    return WordVocabulary(WORDS, **options)


def both_kinds():
    return pytest.mark.parametrize("make", [word_pieces, words], ids=["pieces", "words"])


def read_column(path, column=0):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [line.rstrip("\n").split("\t")[column] for line in list(file)[1:]]


def ids(vocabulary, text):
    return vocabulary([text]).numpy()[0].tolist()


def spelled(vocabulary, text):
    return [vocabulary.tokens[i] for i in ids(vocabulary, text)]


def classifier(vocabulary):
    texts = keras.Input((), dtype="string", name="texts")
    embedded = layers.Embedding(len(vocabulary), 3)(vocabulary(texts))
    logits = layers.Dense(2, name="logits")(layers.GlobalAveragePooling1D()(embedded))
    return keras.Model(texts, logits)


class TestWordPieces:
    @pytest.mark.long
    def test_pieces_of_words(self):
        """The longest pieces, lowercased and without accents; characters of Chinese apart."""
        vocabulary = word_pieces()
        assert spelled(vocabulary, "A GOOD film.") == ["a", "good", "film", "."]
        assert spelled(vocabulary, "playing") == ["play", "##ing"]
        assert spelled(vocabulary, "Café don't") == ["cafe", "don", "'", "t"]
        assert spelled(vocabulary, "很好") == ["很", "好"]
        assert spelled(vocabulary, "goodish film") == ["[UNK]", "film"]

    def test_casing_and_accents_are_kept_on_demand(self):
        cased = WordPieceVocabulary(
            [*SPECIAL, "Café", "café"], lowercase=False, strip_accents=False
        )
        assert spelled(cased, "Café café CAFÉ") == ["Café", "café", "[UNK]"]
        stripped = WordPieceVocabulary([*SPECIAL, "Cafe"], lowercase=False)
        assert spelled(stripped, "Café cafe") == ["Cafe", "[UNK]"]

    @pytest.mark.long
    def test_equals_the_tokenizer_of_tf_hub(self, shared):
        """A TF-Hub BERT has TensorFlow Text's, which folds a few signs before it splits."""
        import tensorflow_text as tf_text

        path = shared / "models/minilm_l6_h384/vocab.txt"
        vocabulary = WordPieceVocabulary.from_teacher(path)
        tokenizer = tf_text.BertTokenizer(str(path), token_out_type=tf.int32, lower_case=True)
        english = read_column(shared / "data/text/sms_spam/test.tsv.gz")
        chinese = read_column(shared / "data/text/zh_chnsenticorp/dev.tsv.gz")
        chinese = [text for text in chinese if not set(text) & set(FOLDED_SIGNS)]
        for texts in (english, chinese, ["Ünï ΣΑΣ straße İx é"]):
            expected = tokenizer.tokenize(texts).merge_dims(1, 2)
            assert vocabulary.pieces(texts).to_list() == expected.to_list()


class TestWords:
    def test_words_between_blanks(self):
        """Marks that stick to a word make it another word."""
        assert spelled(words(), "A  good\tfilm .") == ["a", "good", "film", "."]
        assert spelled(words(), "Good film.") == ["good", "[UNK]"]
        assert spelled(words(), "don't café") == ["don't", "café"]
        assert spelled(words(), "good\u00a0film\u3000a") == ["good", "film", "a"]

    def test_punctuation_and_chinese_apart(self):
        vocabulary = words(split_punctuation=True)
        assert spelled(vocabulary, "Good film.很好") == ["good", "film", ".", "很", "好"]
        assert spelled(vocabulary, "a[MASK].") == ["a", "[MASK]", "."]

    def test_casing_is_kept_on_demand(self):
        assert spelled(WordVocabulary(["Good"], lowercase=False), "Good good") == ["Good", "[UNK]"]
        assert spelled(WordVocabulary(["größe"]), "GRÖßE") == ["größe"]

    def test_special_tokens_come_first(self):
        """A student's embeddings start from rows in this order."""
        assert words().tokens == [*SPECIAL, *WORDS]
        assert len(words()) == len(SPECIAL) + len(WORDS)


@both_kinds()
class TestBothKinds:
    def test_padded_to_the_longest(self, make):
        batch = make()(["a good film", "a", ""]).numpy()
        a, good, film = (make().tokens.index(word) for word in ("a", "good", "film"))
        assert batch.dtype == np.int32
        assert batch.tolist() == [[a, good, film], [a, 0, 0], [1, 0, 0]]

    def test_padding_is_never_a_text(self, make):
        """The students mask id 0, whatever somebody wrote."""
        assert 0 not in ids(make(), "[PAD] [pad] a")
        assert 0 not in ids(make(lowercase=False), "[PAD] \x00 a")
        assert ids(make(), " \u200b") == [1]

    def test_a_masked_word_stays_one_token(self, make):
        """Augmentation writes it."""
        assert spelled(make(), "a [MASK] film") == ["a", "[MASK]", "film"]
        assert spelled(make(lowercase=False), "a [MASK] film") == ["a", "[MASK]", "film"]

    def test_truncated(self, make):
        vocabulary = make(sequence_length=3)
        assert spelled(vocabulary, "a good film a") == ["a", "good", "film"]
        assert vocabulary.num_truncated(["a good film a", "a good film", "a a a a"]) == 2

    def test_special_tokens_survive_truncation(self, make):
        vocabulary = make(sequence_length=3, add_special_tokens=True)
        assert spelled(vocabulary, "good film") == ["[CLS]", "good", "[SEP]"]
        assert spelled(vocabulary, "a") == ["[CLS]", "a", "[SEP]"]
        assert vocabulary.num_truncated(["good film", "a"]) == 1

    def test_pairs(self, make):
        """Both texts of a pair are as long as the longest of all."""
        vocabulary = make(sequence_length=3)
        pairs = [["a", "good film"], ["a good film a", "film"]]
        expected = vocabulary(["a", "good film", "a good film a", "film"]).numpy()
        np.testing.assert_array_equal(vocabulary(pairs), expected.reshape(2, 2, 3))
        assert vocabulary.num_truncated(pairs) == 1

    @pytest.mark.long_but_first
    def test_every_way_to_call_it(self, make):
        """The same ids eagerly, in tf.data and in a model."""
        vocabulary = make()
        expected = vocabulary(tf.constant(TEXTS)).numpy()
        np.testing.assert_array_equal(vocabulary(TEXTS), expected)
        np.testing.assert_array_equal(vocabulary(np.array(TEXTS)), expected)
        np.testing.assert_array_equal(vocabulary(np.array(TEXTS, dtype=object)), expected)
        dataset = tf.data.Dataset.from_tensor_slices(TEXTS).batch(5).map(vocabulary)
        np.testing.assert_array_equal(next(iter(dataset)), expected)
        assert dataset.element_spec == tf.TensorSpec((None, None), tf.int32)
        texts = keras.Input((), dtype="string")
        model = keras.Model(texts, vocabulary(texts))
        assert model.output.shape == (None, None)
        assert model.output.dtype == "int32"
        np.testing.assert_array_equal(model(tf.constant(TEXTS)), expected)
        texts = np.array(TEXTS, dtype=object)
        np.testing.assert_array_equal(model.predict(texts, verbose=0), expected)

    def test_pairs_in_a_model(self, make):
        pairs = tf.constant([["a", "good film"], ["a good", "film"]])
        texts = keras.Input((2,), dtype="string")
        model = keras.Model(texts, make()(texts))
        assert model.output.shape == (None, 2, None)
        np.testing.assert_array_equal(model(pairs), make()(pairs))
        dataset = tf.data.Dataset.from_tensor_slices(pairs).batch(2).map(make())
        assert dataset.element_spec.shape.as_list() == [None, 2, None]

    def test_saved_with_its_model(self, make, tmp_path):
        """Options and tokens included, without a file beside the model."""
        vocabulary = make(sequence_length=7, lowercase=False)
        model = classifier(vocabulary)
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_allclose(loaded(tf.constant(TEXTS)), model(tf.constant(TEXTS)))
        (restored,) = [layer for layer in loaded.layers if isinstance(layer, Vocabulary)]
        assert restored.get_config() == vocabulary.get_config()
        cloned = keras.models.clone_model(model)
        cloned.set_weights(model.get_weights())
        np.testing.assert_allclose(cloned(tf.constant(TEXTS)), model(tf.constant(TEXTS)))

    @pytest.mark.long
    def test_exported_with_its_model(self, make, tmp_path):
        model = classifier(make())
        path = export_saved_model(model, tmp_path, representative_data=np.array(TEXTS))
        served = tf.saved_model.load(str(path)).signatures["serving_default"]
        logits = served(texts=tf.constant(TEXTS))["logits"]
        np.testing.assert_allclose(logits, model(tf.constant(TEXTS)), atol=1e-6)
        model.export(tmp_path / "keras_export", verbose=False)
        served = tf.saved_model.load(str(tmp_path / "keras_export"))
        np.testing.assert_allclose(served.serve(tf.constant(TEXTS)), logits, atol=1e-6)

    def test_words_of_tagged_texts(self, make):
        vocabulary = make()
        batch = [["a", "café", "film"], ["good", "", ""]]
        inputs = vocabulary.tokenize_words(batch)
        starts = inputs["word_starts"].numpy()
        assert starts.dtype == inputs["token_ids"].dtype == np.int32
        assert starts.tolist() == [[1, 2, 3], [1, 0, 0]]
        assert [vocabulary.tokens[i] for i in inputs["token_ids"][1]] == [
            "[CLS]",
            "good",
            "[PAD]",
            "[PAD]",
        ]
        assert vocabulary.tokens[inputs["token_ids"][0, 3]] == "film"

    def test_words_without_a_token_are_unknown(self, make):
        """Else their tag would be that of the next word."""
        inputs = make().tokenize_words([["\u200b", "a"]])
        assert [make().tokens[i] for i in inputs["token_ids"][0]] == ["[CLS]", "[UNK]", "a"]
        assert inputs["word_starts"].numpy().tolist() == [[1, 2]]

    def test_words_that_truncation_takes_have_no_start(self, make):
        """A position beyond the ids would read nothing."""
        inputs = make(sequence_length=3).tokenize_words([["a", "good", "film", ""]])
        assert inputs["token_ids"].shape == (1, 3)
        assert inputs["word_starts"].numpy().tolist() == [[1, 2, 0, 0]]
        inputs = make(sequence_length=3, add_special_tokens=True).tokenize_words([["a", "good"]])
        assert [make().tokens[i] for i in inputs["token_ids"][0]] == ["[CLS]", "a", "[SEP]"]
        assert inputs["word_starts"].numpy().tolist() == [[1, 0]]

    @pytest.mark.long_but_first
    def test_words_in_a_pipeline(self, make):
        batch = [["a", "good"], ["film", ""]]
        dataset = tf.data.Dataset.from_tensor_slices(batch).batch(2).map(make().tokenize_words)
        for name, values in make().tokenize_words(batch).items():
            np.testing.assert_array_equal(next(iter(dataset))[name], values)

    @pytest.mark.parametrize(
        ("texts", "received"),
        [
            ([1, 2], "dtype int32"),
            (["a", 1], r"\['a', 1\]"),
            (["a", None], r"\['a', None\]"),
            (np.array(["a", float("nan")], dtype=object), "nan"),
            ([["a", "b"], ["c"]], r"\[\['a', 'b'\], \['c'\]\]"),
            (tf.zeros((2,)), "dtype float32"),
            (keras.Input((3,)), "dtype float32"),
        ],
    )
    def test_texts_that_are_no_strings(self, make, texts, received):
        with pytest.raises(ValueError, match=f"texts must be strings.*Received: .*{received}"):
            make()(texts)

    @pytest.mark.parametrize("texts", ["a film", [["a", "b", "c"]], [[["a"]]]])
    def test_texts_of_another_shape(self, make, texts):
        """One text by itself would silently be a batch of nothing."""
        with pytest.raises(ValueError, match=r"texts must have the shape .*Put a single text"):
            make()(texts)

    def test_words_of_another_shape(self, make):
        with pytest.raises(ValueError, match=r"words must have the shape .*shape \(2,\)"):
            make().tokenize_words(["a", "film"])

    @pytest.mark.parametrize("sequence_length", [0, 2, 8.0, None])
    def test_sequence_length_out_of_range(self, make, sequence_length):
        with pytest.raises(
            ValueError, match=f"of 3 or more. Received: sequence_length={sequence_length}"
        ):
            make(sequence_length=sequence_length, add_special_tokens=True)


@pytest.mark.long
def test_served_words_need_no_tensorflow_text(tmp_path):
    """Stock TensorFlow loads the model, in a process that knows nothing of this one."""
    model = classifier(words(split_punctuation=True))
    path = export_saved_model(model, tmp_path, representative_data=np.array(TEXTS))
    command = [sys.executable, "-c", SERVE, str(path), json.dumps(TEXTS)]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    served = json.loads(printed.splitlines()[-1])
    np.testing.assert_allclose(served["logits"], model(tf.constant(TEXTS)), atol=1e-6)


class TestBadVocabularies:
    @pytest.mark.parametrize(
        ("tokens", "message"),
        [
            (["[PAD]", "a"], r"has no '\[UNK\]'.*2 tokens that begin with"),
            (["[UNK]", "[PAD]", "a"], r"first token must be '\[PAD\]'"),
            ([], r"first token must be '\[PAD\]'"),
            (["[PAD]", "[UNK]", "a", "a"], r"Received more than once: \['a'\]"),
            (["[PAD]", "[UNK]", 3], r"non-empty strings. Received: \[3\]"),
            (["[PAD]", "[UNK]", ""], r"non-empty strings. Received: \[''\]"),
        ],
    )
    def test_tokens(self, tokens, message):
        with pytest.raises(ValueError, match=message):
            WordPieceVocabulary(tokens)

    def test_missing_special_tokens(self):
        tokens = ["[PAD]", "[UNK]", "[CLS]", "a"]
        with pytest.raises(ValueError, match=r"has no '\[SEP\]'.*add_special_tokens=True"):
            WordPieceVocabulary(tokens, add_special_tokens=True)
        with pytest.raises(ValueError, match=r"Tagging needs '\[CLS\]'"):
            WordPieceVocabulary(["[PAD]", "[UNK]", "a"]).tokenize_words([["a"]])

    def test_words_twice(self):
        with pytest.raises(ValueError, match=r"Received more than once: \['film'\]"):
            WordVocabulary(["film", "film"])


class TestTeacherVocabulary:
    TOKENS = [*SPECIAL, "the", "film", "cafe", "##s"]

    @pytest.mark.long_but_first
    @pytest.mark.parametrize(("lowercase", "strip_accents"), [(True, False), (False, True)])
    def test_reads_as_the_kerashub_preprocessor(self, lowercase, strip_accents):
        import keras_hub

        tokens = [*self.TOKENS, "Film", "café", "é"]
        tokenizer = keras_hub.models.BertTokenizer(
            tokens, lowercase=lowercase, strip_accents=strip_accents
        )
        preprocessor = keras_hub.models.BertTextClassifierPreprocessor(tokenizer, 9)
        texts = tf.constant(["Films, the café!", "CAFÉS é", "", "the film " * 9])
        dataset = tf.data.Dataset.from_tensors(texts).map(preprocessor)
        expected = next(iter(dataset))["token_ids"].numpy()
        expected[2] = [2, 1, 3, 0, 0, 0, 0, 0, 0]  # An empty text is "[UNK]" here.
        vocabulary = WordPieceVocabulary.from_teacher(preprocessor, sequence_length=9)
        np.testing.assert_array_equal(vocabulary(texts), expected)
        config = {
            **WordPieceVocabulary.from_teacher(tokenizer, sequence_length=9).get_config(),
            "name": "any",
        }
        assert config == {**vocabulary.get_config(), "name": "any"}

    def test_preset_folder(self, tmp_path):
        import keras_hub

        tokenizer = keras_hub.models.BertTokenizer(self.TOKENS, lowercase=True, strip_accents=False)
        tokenizer.save_to_preset(tmp_path)
        vocabulary = WordPieceVocabulary.from_teacher(tmp_path)
        assert vocabulary.tokens == self.TOKENS
        assert (vocabulary.lowercase, vocabulary.strip_accents) == (True, False)

    @pytest.mark.parametrize(
        ("tokens", "config", "expected"),
        [
            (["film"], None, (True, True)),
            (["film", "##S"], None, (False, False)),
            (["film"], {"do_lower_case": False, "strip_accents": None}, (False, False)),
            (["film"], {"do_lower_case": True, "strip_accents": False}, (True, False)),
            (["Film"], {"do_lower_case": True}, (True, True)),
        ],
    )
    def test_files_of_hugging_face(self, tmp_path, tokens, config, expected):
        """Without a configuration the vocabulary's capitals tell."""
        path = tmp_path / "vocab.txt"
        path.write_text("\n".join([*SPECIAL, *tokens]) + "\n", encoding="utf-8")
        if config:
            (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
        for source in (path, str(path), tmp_path):
            vocabulary = WordPieceVocabulary.from_teacher(source)
            assert vocabulary.tokens == [*SPECIAL, *tokens]
            assert (vocabulary.lowercase, vocabulary.strip_accents) == expected
            assert vocabulary.add_special_tokens

    def test_module_of_tf_hub(self, tmp_path):
        path = tmp_path / "vocab.txt"
        path.write_text("\n".join(self.TOKENS), encoding="utf-8")
        root = tf.train.Checkpoint(vocabulary=tf.saved_model.Asset(str(path)))
        root.__call__ = tf.function(
            tf.strings.length, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
        )
        tf.saved_model.save(root, str(tmp_path / "module"))
        vocabulary = WordPieceVocabulary.from_teacher(HubLayer(str(tmp_path / "module")))
        assert vocabulary.tokens == self.TOKENS
        assert vocabulary.lowercase

    def test_what_is_said_goes_first(self, tmp_path):
        path = tmp_path / "vocab.txt"
        path.write_text("\n".join(self.TOKENS), encoding="utf-8")
        vocabulary = WordPieceVocabulary.from_teacher(
            path, 32, lowercase=False, strip_accents=True, add_special_tokens=False
        )
        assert (vocabulary.lowercase, vocabulary.strip_accents) == (False, True)
        assert (vocabulary.sequence_length, vocabulary.add_special_tokens) == (32, False)

    def test_nothing_to_read(self, tmp_path):
        with pytest.raises(ValueError, match=r"must have a vocabulary, as one of .*vocab\.txt"):
            WordPieceVocabulary.from_teacher(tmp_path)
        with pytest.raises(ValueError, match=r"absent.txt cannot be read"):
            WordPieceVocabulary.from_teacher(tmp_path / "absent.txt")
        with pytest.raises(ValueError, match="source must be a KerasHub WordPiece"):
            WordPieceVocabulary.from_teacher(len)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is empty"),
            (b"[PAD]\n[UNK]\n\xff\n", "line 3 is not UTF-8"),
            (b"[PAD]\n\n[UNK]\n", "line 2 is blank"),
            (b"[UNK]\na\n", r"first token must be '\[PAD\]'"),
            (b"[PAD]\na\n", r"has no '\[UNK\]'"),
        ],
    )
    def test_bad_files(self, tmp_path, content, message):
        path = tmp_path / "vocab.txt"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            WordPieceVocabulary.from_teacher(path)
