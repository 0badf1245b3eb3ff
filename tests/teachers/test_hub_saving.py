"""Models with a HubLayer are saved, loaded, cloned and exported like any."""

import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from hub_modules import INPUTS
from keras import layers

from keras_distill import export_saved_model
from keras_distill.teachers import hub
from keras_distill.teachers.hub import HubLayer
from keras_distill_cli import command as cli

IDS = np.array([[2, 5, 7, 3, 0], [2, 6, 7, 3, 0]])
X = dict(zip(INPUTS, (IDS, np.int32(IDS > 0), np.zeros_like(IDS))))


def classifier(encoder):
    x = {name: keras.Input((5,), dtype="int32", name=name) for name in INPUTS}
    return keras.Model(x, layers.Dense(2, name="logits")(encoder(x)["pooled_output"]))


def trained(encoder):
    model = classifier(encoder)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(X, np.array([0, 1]), verbose=0)
    return model


def assert_same(model, expected):
    np.testing.assert_allclose(model(X), expected(X), atol=1e-6)


@pytest.mark.long_but_first
@pytest.mark.parametrize("trainable", [False, True])
def test_a_keras_file_has_the_weights_and_the_handle(encoder_folder, tmp_path, trainable):
    model = trained(HubLayer(encoder_folder, trainable, dtype="mixed_bfloat16", name="encoder"))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(X), model(X))
    encoder = loaded.get_layer("encoder")
    assert encoder.handle == str(encoder_folder)
    assert encoder.trainable == trainable
    assert encoder.compute_dtype == "bfloat16"
    assert len(loaded.trainable_weights) == len(model.trainable_weights)
    loaded.fit(X, np.array([0, 1]), verbose=0)


def test_a_saved_signature(signatures_folder, tmp_path):
    x = keras.Input((None,), dtype="int32")
    layer = HubLayer(signatures_folder, signature="embed", output_key="embeddings")
    model = keras.Model(x, layer(x))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(IDS), model(IDS))


def test_weights_files_and_clones(encoder_folder, tmp_path):
    model = trained(HubLayer(encoder_folder, trainable=True))
    model.save_weights(tmp_path / "model.weights.h5")
    clone = keras.models.clone_model(model)
    assert np.any(clone(X) != model(X))
    clone.load_weights(tmp_path / "model.weights.h5")
    assert_same(clone, model)
    trained_on = keras.models.clone_model(model)
    assert trained_on.layers[-2].weights[0] is not model.layers[-2].weights[0]


@pytest.mark.long
def test_exports_need_no_module(encoder_folder, tmp_path):
    folder = shutil.copytree(encoder_folder, tmp_path / "encoder")
    model = trained(HubLayer(folder, trainable=True))
    model.export(tmp_path / "exported", verbose=False)
    served_path = export_saved_model(model, tmp_path / "served")
    shutil.rmtree(folder)
    x = {name: tf.constant(array, tf.int32) for name, array in X.items()}
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(exported.serve(x), model(X), atol=1e-6)
    served = tf.saved_model.load(str(served_path))
    logits = served.signatures["serving_default"](**x)["logits"]
    np.testing.assert_allclose(logits, model(X), atol=1e-6)


@pytest.mark.long
def test_an_export_has_the_preprocessors_vocabulary(encoder_folder, preprocessor_folder, tmp_path):
    folder = shutil.copytree(preprocessor_folder, tmp_path / "preprocessor")
    texts = keras.Input((), dtype="string", name="texts")
    encoder = HubLayer(encoder_folder, output_key="pooled_output")
    model = keras.Model(texts, encoder(HubLayer(folder)(texts)))
    data = np.array(["a good film"])
    path = export_saved_model(model, tmp_path / "served", representative_data=data)
    shutil.rmtree(folder)
    served = tf.saved_model.load(str(path))
    x = tf.constant(["a good film", "watching"])
    outputs = served.signatures["serving_default"](texts=x)
    np.testing.assert_allclose(*outputs.values(), model(x), atol=1e-6)


def test_a_moved_module_is_loaded_from_its_new_folder(encoder_folder, tmp_path):
    """By its own name, or the name of a folder above it."""
    old, new = tmp_path / "old", tmp_path / "new"
    model = classifier(HubLayer(shutil.copytree(encoder_folder, old / "bert"), name="encoder"))
    model.save(tmp_path / "model.keras")
    old.rename(new)
    remedy = rf"handle='{old}/bert'.*HubLayer.trusted\({{'{old}/bert': 'its/new/folder'}}\)"
    with pytest.raises(ValueError, match=remedy):
        keras.models.load_model(tmp_path / "model.keras")
    for folders in ({old / "bert": new / "bert"}, {str(old): str(new)}):
        with HubLayer.trusted(folders):
            loaded = keras.models.load_model(tmp_path / "model.keras")
        assert_same(loaded, model)
        assert loaded.get_layer("encoder").handle == str(new / "bert")
    with pytest.raises(ValueError, match=r"where no saved_model.pb is"):
        keras.models.load_model(tmp_path / "model.keras")


@pytest.mark.long
def test_a_file_does_not_choose_what_is_loaded(encoder_folder, tmp_path, monkeypatch, capsys):
    """A module is a program: in safe mode only those load that the user names, or has loaded."""
    path = tmp_path / "model.keras"
    model = classifier(HubLayer(encoder_folder, name="encoder"))
    model.save(path)
    # As in a program that starts anew.
    monkeypatch.setattr(hub, "_loaded", set())
    with pytest.raises(ValueError, match=rf"names the TF-Hub module '{encoder_folder}', which can"):
        keras.models.load_model(path)
    export = ["export", str(path), "--saved-model", str(tmp_path / "served"), "--quiet"]
    assert cli.main(export) == 1
    assert "--trust" in capsys.readouterr().err
    assert not (tmp_path / "served").exists()
    assert cli.main([*export, "--trust", str(encoder_folder)]) == 0
    for names, safe_mode in (([encoder_folder], True), ([], False)):
        monkeypatch.setattr(hub, "_loaded", set())
        with HubLayer.trusted(names):
            assert_same(keras.models.load_model(path, safe_mode=safe_mode), model)


def test_what_a_name_covers(tmp_path, monkeypatch):
    """A URL, with or without a last slash; a folder and what is in it; nothing beside them."""
    url, folder = "https://tfhub.dev/keras_distill/encoder/1", str(tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    for names in (url, f"{url}/"):
        with HubLayer.trusted([names]):
            assert hub._trusted_place(url) == names
            assert hub._trusted_place(f"{url}/other") is None
            assert hub._trusted_place(folder) is None
    for name in (folder, "models"):
        with HubLayer.trusted({name: folder}):
            assert hub._trusted_place(folder) == folder
            assert hub._trusted_place(f"{folder}/bert") == f"{folder}/bert"
            assert hub._trusted_place(f"{folder}/../evil") is None
            assert hub._trusted_place(f"{folder}2") is None
            assert hub._trusted_place(url) is None


def test_one_name_is_no_list(encoder_folder):
    """A string has letters, of which each would be a folder."""
    message = r"modules must be a list of URLs or folders.*Received"
    with pytest.raises(ValueError, match=message), HubLayer.trusted(str(encoder_folder)):
        pass


def test_a_url_can_be_replaced_by_a_folder(encoder_folder, tmp_path):
    url = "https://tfhub.dev/keras_distill/encoder/1"
    config = {**HubLayer(encoder_folder).get_config(), "handle": url}
    with HubLayer.trusted({url: encoder_folder}):
        assert HubLayer.from_config(config).handle == str(encoder_folder)


def test_a_loaded_module_works_and_is_not_saved(encoder_folder, tmp_path):
    encoder = HubLayer(tf.saved_model.load(str(encoder_folder)), trainable=True, name="encoder")
    assert encoder.folder is None
    model = trained(encoder)
    assert_same(model, lambda x: model.get_layer("logits")(encoder.module(cast(x))["default"]))
    with pytest.raises(ValueError, match=r"'encoder' was made from a loaded module.*folder or URL"):
        model.save(tmp_path / "model.keras")
    model.export(tmp_path / "exported", verbose=False)


def cast(x):
    return {name: tf.constant(array, tf.int32) for name, array in x.items()}


@pytest.mark.long
def test_a_real_bert_is_saved_and_exported(real_encoder_folder, tmp_path):
    model = classifier(HubLayer(real_encoder_folder, trainable=True))
    model.save(tmp_path / "model.keras")
    assert_same(keras.models.load_model(tmp_path / "model.keras"), model)
    export_saved_model(model, tmp_path / "served", representative_data=cast(X))
