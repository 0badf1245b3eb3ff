"""A real TensorFlow Serving, where one is installed. It was not, where this was written."""

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request

import keras
import numpy as np
import pytest
import students_to_export
import tensorflow as tf

from keras_distill import export_saved_model

SERVER = shutil.which("tensorflow_model_server")
pytestmark = pytest.mark.skipif(
    SERVER is None, reason="There is no tensorflow_model_server on the PATH."
)


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.fixture
def served(tmp_path):
    """A model's folder, its first version served by REST and gRPC."""
    directory = tmp_path / "student"
    model = students_to_export.cnn()
    export_saved_model(model, directory, warmup=np.ones((2, 12, 12, 1)))
    rest, grpc = free_port(), free_port()
    process = subprocess.Popen(
        [
            SERVER,
            f"--port={grpc}",
            f"--rest_api_port={rest}",
            "--model_name=student",
            f"--model_base_path={directory}",
            "--file_system_poll_wait_seconds=1",
        ]
    )
    url = f"http://127.0.0.1:{rest}/v1/models/student"
    wait_for(lambda: get(url)["model_version_status"][0]["state"] == "AVAILABLE")
    yield directory, model, url, f"127.0.0.1:{grpc}"
    process.terminate()
    process.wait()


def wait_for(condition, seconds=60):
    deadline = time.time() + seconds
    while time.time() < deadline:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise TimeoutError


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def predict(url, x):
    request = urllib.request.Request(
        f"{url}:predict", json.dumps({"instances": x.tolist()}).encode()
    )
    return get(request)["predictions"]


def test_rest_and_grpc(served):
    import grpc
    from tensorflow_serving.apis import predict_pb2
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    _, model, url, address = served
    x = np.random.default_rng(0).normal(size=(3, 12, 12, 1)).astype("float32")
    expected = keras.ops.softmax(model(x)).numpy()
    found = [answer["probabilities"] for answer in predict(url, x)]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "student"
    request.inputs["image"].CopyFrom(tf.make_tensor_proto(x))
    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer = stub.Predict(request, timeout=10)
    found = tf.make_ndarray(answer.outputs["probabilities"])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_new_version_under_load(served):
    """No request fails while the server changes to the next version."""
    directory, _, url, _ = served
    errors, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            try:
                predict(url, np.ones((1, 12, 12, 1)))
            except OSError as error:
                errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    export_saved_model(students_to_export.cnn(), directory)
    wait_for(
        lambda: any(
            status["version"] == "2" and status["state"] == "AVAILABLE"
            for status in get(url)["model_version_status"]
        )
    )
    time.sleep(2)
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors
