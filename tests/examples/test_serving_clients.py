"""The clients of examples/serving, against the signature in place of a server."""

import importlib
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

import keras_distill as kd

CLIENTS = pathlib.Path(__file__).resolve().parents[2] / "examples" / "serving"
TEXTS = ["a good film", "Bad!"]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    words = kd.text.WordVocabulary(["a", "good", "film"], sequence_length=8)
    student = kd.students.text_cnn(words, 2, embedding_dim=4, filters=2)
    folder = tmp_path_factory.mktemp("models") / "reviews"
    path = kd.export_saved_model(student, folder, class_names=["bad", "good"], preprocessor=words)
    module = tf.saved_model.load(str(path))
    # The module owns the variables: it must outlive its signature.
    yield module.signatures["serving_default"]
    del module


def load(name, monkeypatch):
    monkeypatch.syspath_prepend(CLIENTS)
    return importlib.import_module(name)


def test_grpc_request_fits_the_signature(endpoint, monkeypatch):
    made = load("grpc_client", monkeypatch).make_request("reviews", TEXTS)
    request = predict_pb2.PredictRequest.FromString(made.SerializeToString())
    assert (request.model_spec.name, request.model_spec.signature_name) == (
        "reviews",
        "serving_default",
    )
    inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
    assert set(inputs) == set(endpoint.structured_input_signature[1])
    answer = endpoint(**{name: tf.constant(values) for name, values in inputs.items()})
    assert set(answer["label"].numpy()) <= {b"bad", b"good"}
    assert answer["top_scores"].shape == (2, 2)


def test_rest_request_has_one_instance_for_each_text(endpoint, monkeypatch):
    """Serving stacks the instances of a signature's one input."""
    body = load("rest", monkeypatch).body(TEXTS)
    answer = endpoint(text=tf.constant(np.array(body["instances"])))
    assert answer["label"].shape == (2,)
