"""What TensorFlow Serving answers and reads, without a server."""

import csv
import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import students_to_export
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

import keras_distill as kd
from keras_distill import export_saved_model
from keras_distill.export import serving_command
from keras_distill.export.check_inputs import generate_inputs
from keras_distill.export.saved_model.serving import write_configs
from keras_distill.export.saved_model.serving import write_warmup
from keras_distill.export.signature import NamedModel

LABELS = ["bad", "good", "so-so"]
TEXTS = ["a good film", "a bad film", "good", "unheard of"]
VOCABULARY = kd.text.WordVocabulary(["a", "good", "bad", "film"], sequence_length=6)


def student(**arguments):
    return kd.students.text_cnn(VOCABULARY, 3, embedding_dim=4, filters=3, **arguments)


def signatures(path):
    module = tf.saved_model.load(str(path))
    return module, module.signatures


@pytest.mark.long
def test_texts_in_names_of_classes_out(tmp_path):
    model = student()
    path = export_saved_model(
        model, tmp_path, class_names=LABELS, preprocessor=VOCABULARY, top_k=2, warmup=TEXTS
    )
    _module, endpoints = signatures(path)
    served = endpoints["serving_default"](text=tf.constant(TEXTS))
    logits = model(VOCABULARY(TEXTS)).numpy()
    np.testing.assert_allclose(served["logits"], logits, atol=1e-6)
    probabilities = keras.ops.softmax(logits).numpy()
    np.testing.assert_allclose(served["probabilities"], probabilities, atol=1e-6)
    best = np.argsort(-probabilities, axis=-1)[:, :2]
    names = np.array([label.encode() for label in LABELS])
    np.testing.assert_array_equal(served["top_labels"], names[best])
    np.testing.assert_array_equal(served["label"], names[best[:, 0]])
    np.testing.assert_allclose(
        served["top_scores"], np.take_along_axis(probabilities, best, 1), atol=1e-6
    )
    by_ids = endpoints["tokens"](token_ids=VOCABULARY(TEXTS))
    keras.tree.map_structure(np.testing.assert_array_equal, dict(by_ids), dict(served))


def test_softmax_outputs_are_the_probabilities(tmp_path):
    """A second softmax would flatten them."""
    x = keras.Input((4,), name="x")
    model = keras.Model(x, keras.layers.Dense(3, activation="softmax")(x))
    _, endpoints = signatures(export_saved_model(model, tmp_path, class_names=LABELS))
    served = endpoints["serving_default"](x=tf.ones((2, 4)))
    assert set(served) == {"probabilities", "label", "top_labels", "top_scores"}
    np.testing.assert_allclose(served["probabilities"], model(np.ones((2, 4))), atol=1e-6)
    assert served["top_labels"].shape == (2, 3)


@pytest.mark.long
def test_pairs_of_texts(tmp_path):
    pairs = keras.Input((2,), dtype="string")
    path = export_saved_model(
        student(pairs=True), tmp_path, preprocessor=keras.Model(pairs, VOCABULARY(pairs))
    )
    _module, endpoints = signatures(path)
    assert endpoints["serving_default"](text=tf.constant([["a", "b"]]))["logits"].shape == (1, 3)


@pytest.mark.long
def test_warmup_requests_fit_the_signature(tmp_path):
    """As a server replays them: parsed from the file, run against the endpoint."""
    path = export_saved_model(
        student(), tmp_path / "films", class_names=LABELS, preprocessor=VOCABULARY, warmup=TEXTS
    )
    _module, endpoints = signatures(path)
    records = list(tf.data.TFRecordDataset(str(path / "assets.extra/tf_serving_warmup_requests")))
    assert len(records) == len(TEXTS)
    for record, text in zip(records, TEXTS):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        assert request.model_spec.name == "films"
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        assert inputs["text"].tolist() == [text.encode()]
        endpoint = endpoints[request.model_spec.signature_name]
        assert endpoint(text=tf.constant(inputs["text"]))["label"].shape == (1,)


def test_configurations_are_the_servers(tmp_path):
    directory = tmp_path / "films"
    export_saved_model(student(), directory, preprocessor=VOCABULARY, batch_sizes=[1, 8, 32])
    config = text_format.Parse(
        (directory / "models.config").read_text(), model_server_config_pb2.ModelServerConfig()
    ).model_config_list.config[0]
    assert (config.name, config.base_path) == ("films", "/models/films")
    batching = (directory / "batching.config").read_text()
    assert "max_execution_batch_size { value: 32 }" in batching
    assert "enable_large_batch_splitting { value: true }" in batching
    assert "\nmax_batch_size { value: 2048 }\n" in f"\n{batching}"
    assert batching.count("allowed_batch_sizes") == 3
    command = serving_command(directory)
    assert f"--mount type=bind,source={directory},target=/models/films,readonly" in command
    assert "--model_config_file=/models/films/models.config" in command
    assert "--batching_parameters_file=/models/films/batching.config" in command


@pytest.mark.parametrize(
    "name", ["it's", "two words", "a\nb", 'q"u', "a;touch x", "é,:$(x)", "\\n"]
)
def test_names_of_folders_are_quoted(name, tmp_path):
    """Pasted into a shell, or read by the server, a name stays one word."""
    directory = tmp_path / name
    directory.mkdir()
    write_configs(directory)
    config = text_format.Parse(
        (directory / "models.config").read_text(), model_server_config_pb2.ModelServerConfig()
    ).model_config_list.config[0]
    assert (config.name, config.base_path) == (name, f"/models/{name}")
    command = f"docker() {{ printf '%s\\0' \"$@\"; }}; {serving_command(directory)}"
    printed = subprocess.run(["bash", "-c", command], capture_output=True, check=True, cwd=tmp_path)
    words = printed.stdout.decode().split("\0")
    ((kind, source, target, readonly),) = csv.reader(
        [words[words.index("--mount") + 1]], strict=True
    )
    assert (kind, source, readonly) == ("type=bind", f"source={directory}", "readonly")
    assert target == f"target=/models/{name}"
    assert f"--model_config_file=/models/{name}/models.config" in words
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.long
def test_saved_model_cli_runs_it(tmp_path):
    """TensorFlow's own tool, in a process that never saw Keras."""
    model = students_to_export.cnn()
    path = export_saved_model(model, tmp_path / "served")
    x = np.random.default_rng(0).normal(size=(5, 12, 12, 1)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    script = "from tensorflow.python.tools.saved_model_cli import main; main()"
    arguments = ["run", "--dir", path, "--tag_set", "serve", "--signature_def", "serving_default"]
    arguments += ["--inputs", f"image={tmp_path / 'x.npy'}", "--outdir", tmp_path / "out"]
    subprocess.run([sys.executable, "-c", script, *arguments], check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "out" / "logits.npy"), model(x), atol=1e-6)


@pytest.mark.long_but_first
@pytest.mark.parametrize(
    "build", [students_to_export.cnn, students_to_export.bilstm], ids=lambda build: build.__name__
)
def test_the_c_loader_runs_it(build, tmp_path):
    """TF Serving is C++: no Python, no Keras, the same numbers."""
    model = build()
    path = export_saved_model(model, tmp_path / "served")
    inputs = generate_inputs(NamedModel(model), 5)
    np.savez(tmp_path / "inputs.npz", **inputs)
    graph = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    signature = graph.meta_graphs[0].signature_def["serving_default"]
    names = {
        half: {name: info.name for name, info in getattr(signature, half).items()}
        for half in ("inputs", "outputs")
    }
    (tmp_path / "names.json").write_text(json.dumps(names))
    script = pathlib.Path(__file__).with_name("c_loader.py")
    files = [tmp_path / name for name in ("inputs.npz", "names.json", "outputs.npz")]
    folder = pathlib.Path(tf.__file__).parent
    subprocess.run([sys.executable, script, folder, path, *files], check=True, capture_output=True)
    with np.load(tmp_path / "outputs.npz") as found:
        np.testing.assert_allclose(found["logits"], model(*inputs.values()), atol=1e-6)


@pytest.mark.long_but_first
@pytest.mark.parametrize(
    "build",
    [students_to_export.cnn, students_to_export.text_cnn, students_to_export.transformer],
    ids=lambda build: build.__name__,
)
def test_openvino_runs_it(build, tmp_path, monkeypatch):
    """Another reader of the format, with kernels of its own."""
    # Else it reports each of some sixty events to its makers, from a fork of this process.
    monkeypatch.setenv("CI", "true")
    import openvino

    model = build()
    path = export_saved_model(model, tmp_path / "served")
    inputs = generate_inputs(NamedModel(model), 5)
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(openvino.convert_model(path), "CPU", settings)
    found = compiled(list(inputs.values()))
    by_name = {next(iter(output.names)): values for output, values in found.items()}
    expected = keras.ops.softmax(model(*inputs.values()))
    np.testing.assert_allclose(by_name["probabilities"], expected, atol=1e-5)


@pytest.mark.parametrize("warmup", [["a good film"], ("a good film",), [["a", "b"]]])
def test_one_text_is_a_batch_of_one(warmup):
    """A list of one text was the list of the inputs of a model, with a text as its only one."""
    texts = keras.Input((), dtype="string", name="text")
    inputs = NamedModel(keras.Model(texts, VOCABULARY(texts))).name_inputs(warmup)
    assert inputs["text"].tolist() == list(np.ravel(warmup))


def test_warm_up_has_every_batch_size(tmp_path):
    (tmp_path / "1").mkdir()
    write_warmup(tmp_path / "1", "films", {"text": np.array(TEXTS, object)}, [1, 2, 8])
    records = tf.data.TFRecordDataset(str(tmp_path / "1/assets.extra/tf_serving_warmup_requests"))
    logs = [prediction_log_pb2.PredictionLog.FromString(record.numpy()) for record in records]
    batches = [tf.make_ndarray(log.predict_log.request.inputs["text"]).tolist() for log in logs]
    texts = [text.encode() for text in TEXTS]
    assert batches == [texts[:2], texts * 2, *([text] for text in texts)]


def test_batches_of_inputs_of_any_length_are_warned_of(tmp_path):
    ids = keras.Input((None,), dtype="int32", name="ids")
    model = keras.Model(ids, keras.layers.GlobalMaxPooling1D()(keras.layers.Embedding(9, 2)(ids)))
    with pytest.warns(UserWarning, match=r"batch_sizes: .*\{'ids': \(None, None\)\}"):
        export_saved_model(model, tmp_path, batch_sizes=[1, 8])


class TestBadInput:
    """Each before anything is written."""

    @pytest.fixture(autouse=True)
    def nothing_is_written(self, tmp_path):
        yield
        assert not list(tmp_path.iterdir())

    def test_number_of_labels(self, tmp_path):
        with pytest.raises(ValueError, match=r"2 names for the model 'text_cnn'.*\(None, 3\)"):
            export_saved_model(student(), tmp_path, class_names=["a", "b"])

    @pytest.mark.parametrize("labels", [set(LABELS), dict.fromkeys(LABELS), np.array(LABELS)])
    def test_labels_in_no_list(self, labels, tmp_path):
        """A set has no order: the names would be those of other classes."""
        with pytest.raises(ValueError, match="class_names must be a list of names, in the order"):
            export_saved_model(student(), tmp_path, class_names=labels)

    def test_warmup_without_examples(self, tmp_path):
        with pytest.raises(ValueError, match="warmup must hold at least one example"):
            export_saved_model(
                students_to_export.cnn(),
                tmp_path,
                warmup=np.ones((0, 12, 12, 1)),
                batch_sizes=[1, 2],
            )

    def test_labels_of_no_classifier(self, tmp_path):
        with pytest.raises(ValueError, match="class_names must name each class"):
            export_saved_model(students_to_export.two_in_two_out(), tmp_path, class_names=LABELS)

    @pytest.mark.parametrize("top_k", [0, 4, 1.5])
    def test_top_k(self, top_k, tmp_path):
        with pytest.raises(ValueError, match="top_k must be"):
            export_saved_model(student(), tmp_path, class_names=LABELS, top_k=top_k)

    def test_top_k_without_labels(self, tmp_path):
        with pytest.raises(ValueError, match="top_k needs class_names"):
            export_saved_model(student(), tmp_path, top_k=2)

    @pytest.mark.parametrize("batch_sizes", [[], [8, 4], [2, 2], [0, 1], [1.5], 4])
    def test_batch_sizes(self, batch_sizes, tmp_path):
        with pytest.raises(ValueError, match="batch_sizes"):
            export_saved_model(student(), tmp_path, batch_sizes=batch_sizes)

    def test_warmup_of_another_shape(self, tmp_path):
        with pytest.raises(ValueError, match=r"'image'.*\(None, 12, 12, 1\)"):
            export_saved_model(students_to_export.cnn(), tmp_path, warmup=np.ones((2, 5)))

    def test_command_for_another_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"has no models\.config"):
            serving_command(tmp_path)


@pytest.mark.long
def test_a_student_of_pairs_reads_pairs_of_texts(tmp_path):
    student = kd.students.text_cnn(VOCABULARY, 2, embedding_dim=4, filters=2, pairs=True)
    pairs = [["a good film", "a film"], ["bad", "good good"]]
    path = kd.export_saved_model(student, tmp_path / "m", preprocessor=VOCABULARY, warmup=pairs)
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    logits = served(text=tf.constant(pairs))["logits"]
    np.testing.assert_allclose(logits, student(VOCABULARY(pairs)), atol=1e-5)


@pytest.mark.parametrize("num_words", [1, 50])
def test_a_preprocessor_of_another_vocabulary_is_refused(num_words, tmp_path):
    student = kd.students.text_cnn(VOCABULARY, 2, embedding_dim=4, filters=2)
    others = kd.text.WordVocabulary([f"w{i}" for i in range(num_words)])
    texts = keras.Input((), dtype="string")
    for preprocessor in (others, keras.Model(texts, others(texts))):
        with pytest.raises(ValueError, match=rf"^preprocessor must be .* of \[{len(VOCABULARY)}\]"):
            kd.export_saved_model(student, tmp_path / "m", preprocessor=preprocessor)
    assert not (tmp_path / "m").exists()
