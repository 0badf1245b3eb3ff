"""Data sets of TFDS, prepared on the spot."""

import numpy as np
import pytest

from keras_distill.text import load_tfds


@pytest.fixture(scope="module")
def tfds():
    return pytest.importorskip("tensorflow_datasets")


@pytest.fixture(scope="module")
def data_dir(tfds, tmp_path_factory):
    """A folder with one prepared dataset, as `tfds.load` finds it by its name."""
    folder = tmp_path_factory.mktemp("tfds")
    features = tfds.features.FeaturesDict(
        {
            "sentence": tfds.features.Text(),
            "question": tfds.features.Text(),
            "label": tfds.features.ClassLabel(names=["pos", "neg"]),
            "score": tfds.features.Scalar(np.float32),
            "stars": tfds.features.Scalar(np.int64),
        }
    )
    example = {"question": "good?", "label": 1, "score": 0.5, "stars": 10}
    train = [(i, {**example, "sentence": f"film {i} 电影", "label": i % 2}) for i in range(5)]
    unlabelled = [(i, {**example, "sentence": f"film {i}", "label": -1}) for i in range(2)]
    bytes_alone = [(0, {**example, "sentence": b"caf\xe9"})]
    tfds.dataset_builders.store_as_tfds_dataset(
        name="film_reviews",
        version="1.0.0",
        features=features,
        split_datasets={"train": train, "test": unlabelled, "latin1": bytes_alone},
        data_dir=folder,
    )
    return folder


class TestTFDS:
    """By name, from a folder that was prepared before."""

    def test_classes(self, data_dir):
        examples = load_tfds("film_reviews", "train", text="sentence", data_dir=data_dir)
        assert sorted(examples.texts) == [f"film {i} 电影" for i in range(5)]
        assert [int(text[5]) % 2 for text in examples.texts] == examples.labels.tolist()
        assert examples.labels.dtype == np.int32
        assert examples.class_names == ("pos", "neg")

    def test_pairs(self, data_dir):
        """In the order in which they are named."""
        pair = ("sentence", "question")
        examples = load_tfds("film_reviews", "train[:2]", pair, data_dir=data_dir)
        assert examples.texts.shape == (2, 2)
        assert examples.texts[0, 0].startswith("film")
        assert examples.texts[0, 1] == "good?"

    def test_only_text_by_default(self, tfds, tmp_path):
        features = {"review": tfds.features.Text(), "label": tfds.features.ClassLabel(names="xy")}
        tfds.dataset_builders.store_as_tfds_dataset(
            name="one_text",
            version="1.0.0",
            features=tfds.features.FeaturesDict(features),
            split_datasets={"train": [(0, {"review": "good", "label": "y"})]},
            data_dir=tmp_path,
        )
        examples = load_tfds("one_text", "train", data_dir=tmp_path)
        assert examples.texts.tolist() == ["good"]
        assert examples.labels.tolist() == [1]

    def test_regression(self, data_dir):
        """A float feature says so itself."""
        examples = load_tfds("film_reviews", "train", "sentence", "score", data_dir=data_dir)
        assert examples.labels.tolist() == [0.5] * 5
        assert examples.class_names is None

    def test_integers(self, data_dir):
        """No class feature, so the names are the numbers that there are."""
        examples = load_tfds("film_reviews", "train", "sentence", "stars", data_dir=data_dir)
        assert examples.labels.tolist() == [0] * 5
        assert examples.class_names == ("10",)

    def test_unlabelled(self, data_dir):
        """GLUE's test splits have -1 for all labels."""
        test = load_tfds("film_reviews", "test", "sentence", data_dir=data_dir)
        train = load_tfds("film_reviews", "train", "sentence", None, data_dir=data_dir)
        assert (len(test), len(train)) == (2, 5)
        assert test.labels is None
        assert train.labels is None

    def test_unseen_label(self, data_dir):
        with pytest.raises(
            ValueError, match=r"film_reviews train, example .*'neg' is none of the cla"
        ):
            load_tfds("film_reviews", "train", "sentence", "label", ["pos"], data_dir=data_dir)

    def test_not_utf8(self, data_dir):
        with pytest.raises(ValueError, match=r"film_reviews latin1, example 0: .*not UTF-8"):
            load_tfds("film_reviews", "latin1", text="sentence", data_dir=data_dir)

    def test_no_such_dataset(self, data_dir):
        with pytest.raises(ValueError, match="name must be that of a TensorFlow dataset"):
            load_tfds("film_revues", "train", data_dir=data_dir)

    def test_no_such_split(self, data_dir):
        with pytest.raises(ValueError, match=r"split must be one of film_reviews.*'dev'"):
            load_tfds("film_reviews", "dev", "sentence", data_dir=data_dir)

    @pytest.mark.parametrize("text", ["label", "body", ("question", "body"), None])
    def test_no_such_text(self, data_dir, text):
        """None cannot choose between two, which TFDS gives in any order."""
        with pytest.raises(ValueError, match=r"Its text features are \['question', 'sentence'\]"):
            load_tfds("film_reviews", "train", text=text, data_dir=data_dir)

    def test_no_such_label(self, data_dir):
        with pytest.raises(ValueError, match="label must be a feature of film_reviews, which has"):
            load_tfds("film_reviews", "train", "sentence", "rating", data_dir=data_dir)

    @pytest.mark.timeout(60)
    def test_hosts_do_not_answer(self, tfds, tmp_path):
        """TFDS by itself tries each file again for three minutes."""

        class UnreachableReviews(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.0.0")
            url_infos = {"http://files.invalid/reviews.zip": None}

            def _info(self):
                features = {
                    "text": tfds.features.Text(),
                    "label": tfds.features.ClassLabel(names=["x"]),
                }
                return tfds.core.DatasetInfo(
                    builder=self, features=tfds.features.FeaturesDict(features)
                )

            def _split_generators(self, dl_manager):
                return {"train": self._generate_examples(dl_manager.download(self.url_infos))}

            def _generate_examples(self, path):
                yield 0, {"text": path, "label": 0}

        with pytest.raises(ValueError, match=r"not prepared in .* \['files.invalid'\]"):
            load_tfds("unreachable_reviews", "train", data_dir=tmp_path)
