import re

import pytest

from keras_distill.teachers import text_classifier
from keras_distill.teachers.preset_names import check_preset_name


@pytest.mark.parametrize(
    "name",
    [
        *("bert_base_en_uncased", "hf://google/bert", "kaggle://keras/bert/keras/bert_base_en"),
        *("https://tfhub.dev/google/bert/1", "gs://bucket/bert"),
    ],
)
def test_names_and_handles(name):
    check_preset_name("teacher", name)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("saved_model.pb", ""),
        ("config.json", '{"registered_name": "keras_hub>BertBackbone"}'),
        ("config.json", '{"model_type": "bert"}'),
    ],
)
def test_folders(file, content, tmp_path):
    (tmp_path / file).write_text(content)
    check_preset_name("teacher", str(tmp_path))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "bert_bse_en",
            "no file or folder here, and no preset of KerasHub for texts; names like it are bert_b",
        ),
        # It reads no texts.
        ("resnet_18_imagenet", "no file or folder here, and no preset of KerasHub for texts"),
        ("", "Received: '', which is no file or folder here"),
        ("a\x1b[2Jb", r"Received: a\x1b[2Jb, which"),
        ("ftp://bert", "Received: ftp://bert, a handle of none of http, https"),
    ],
)
def test_other_names(name, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_preset_name("teacher", name)


@pytest.mark.parametrize(
    ("content", "message"),
    [("[]", "must hold a JSON object. Received: a list"), ("{}", "whose config.json has none of")],
)
def test_other_folders(content, message, tmp_path):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=f"{re.escape(str(tmp_path))}.*{message}"):
        check_preset_name("teacher", str(tmp_path))


def test_the_classifier_asks_it(tmp_path):
    with pytest.raises(
        ValueError, match=r"encoder must be the name of a model: .*or a model itself"
    ):
        text_classifier(tmp_path, num_classes=2)
