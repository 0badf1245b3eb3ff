"""Private parts of Keras and its like: these fail first when one of them changes."""

import ast
import pathlib

import keras
import numpy as np
import pytest
import small_bert
import small_encoders
import tensorflow as tf

import keras_distill
from keras_distill._keras import compiled
from keras_distill._keras import distribution
from keras_distill._keras import epochs
from keras_distill._keras import graph
from keras_distill._keras import graph_defs
from keras_distill._keras import keras_hub
from keras_distill._keras import layers
from keras_distill._keras import masks
from keras_distill._keras import optimizer_steps
from keras_distill._keras import safe_mode
from keras_distill._keras import tflite_files

PACKAGE = pathlib.Path(keras_distill.__file__).parent
# Subclasses of keras.Model, which override its hooks and call them.
MODELS = {
    "distillation/distiller.py",
    "distillation/learner.py",
    "distillation/student_learner.py",
    "teaching/data_free/with_generator.py",
}
PRIVATE_PACKAGES = ("keras.src", "keras_hub.src", "tensorflow.python", "tensorflow.lite")


def trees():
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith("_keras/"):
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def own_names():
    """What the package itself calls by a name with an underscore."""
    names = set()
    for _, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                names.add(node.name)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            # What is set on another object, such as a tensor's mask, may be Keras's.
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names |= {node.attr} if getattr(node.value, "id", "") == "self" else set()
    return names


def private_names(tree):
    """Names that a file reads or sets, by a dot or by getattr."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr"):
            yield from (arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant))


def test_no_other_file_touches_a_private_attribute():
    own = own_names()
    # argparse's list of options, and the vocabularies' own, set by a class of KerasHub.
    own |= {"_actions", "_tokens"}
    found = {
        (name, attribute)
        for name, tree in trees()
        if name not in MODELS
        for attribute in private_names(tree)
        if attribute.startswith("_") and not attribute.startswith("__") and attribute not in own
    }
    assert not found


def test_no_other_file_imports_a_private_package():
    found = {
        (name, module)
        for name, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for module in [getattr(node, "module", None), *(alias.name for alias in node.names)]
        if module and module.startswith(PRIVATE_PACKAGES)
    }
    assert not found


@pytest.fixture
def model():
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(3, name="hidden")
    block = keras.Sequential([keras.Input((4,)), hidden, keras.layers.Dropout(0.5)], name="block")
    return keras.Model(inputs, keras.layers.Dense(2, name="logits")(block(inputs)))


class TestLayers:
    def test_layers_at_any_depth(self, model):
        names = [layer.name for layer in layers.flatten_layers(model)]
        assert names[0] == model.name
        assert {"block", "hidden", "logits"} < set(names)
        outermost = layers.flatten_layers(model, include_self=False, recursive=False)
        assert {layer.name for layer in outermost} == {layer.name for layer in model.layers}

    def test_takes_training(self, model):
        assert layers.takes_training(keras.layers.Dropout(0.1))
        assert not layers.takes_training(keras.layers.Flatten())
        assert not layers.takes_training(lambda x: x)
        assert layers.takes_training(model)

    def test_is_functional(self, model):
        class Subclassed(keras.Model):
            def call(self, x):
                return x

        assert layers.is_functional(model)
        assert not layers.is_functional(Subclassed())
        assert not layers.is_functional(keras.Sequential([keras.layers.Dense(1)]))


class TestGraph:
    def test_a_layer_that_is_called_twice(self):
        first, second = keras.Input((4,)), keras.Input((4,))
        shared = keras.layers.Dense(3)
        outputs = [shared(first), shared(second)]
        for number, (tensor, x) in enumerate(zip(outputs, (first, second))):
            operation, call, output = graph.origin(tensor)
            assert (operation, call, output) == (shared, number, 0)
            assert graph.calls_of(shared)[number].input_tensors == [x]
            assert graph.calls_of(shared)[number].output_tensors == [tensor]

    def test_operations_behind(self, model):
        (behind,) = graph.operations_behind(model.get_layer("block"))
        assert behind is model.get_layer("logits")


class TestOptimizers:
    @pytest.mark.parametrize("scaled", [False, True])
    def test_counts(self, scaled):
        optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=3)
        if scaled:
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=1.0)
        variable = keras.Variable([1.0])
        optimizer.build([variable])
        for _ in range(4):
            optimizer.apply([keras.ops.ones((1,))])
        assert optimizer_steps.batches_seen(optimizer) == 4
        assert optimizer_steps.step_of(optimizer) == 1
        assert optimizer_steps.num_updates(optimizer, 7) == 3

    def test_place_of(self):
        variables = [keras.Variable([float(number)]) for number in range(3)]
        optimizer = keras.optimizers.SGD()
        optimizer.build(variables)
        places = [optimizer_steps.place_of(optimizer, variable) for variable in variables]
        assert places == [0, 1, 2]


class TestDistribution:
    @pytest.mark.parametrize("num_replicas", [1, 2])
    def test_spec_of_a_batch(self, num_replicas):
        devices = [f"CPU:{number}" for number in range(num_replicas)]
        strategy = tf.distribute.MirroredStrategy(devices)
        data = tf.data.Dataset.from_tensor_slices(np.zeros((4, 3), "float32")).batch(2)
        spec = strategy.experimental_distribute_dataset(data).element_spec
        assert distribution.of_one_replica(spec).shape[1:] == (3,)

    def test_spec_of_the_iterator_of_fit(self):
        found = []

        class Model(keras.Model):
            def __init__(self):
                super().__init__()
                self.dense = keras.layers.Dense(2)

            def call(self, x):
                return self.dense(x)

            def _maybe_symbolic_build(self, iterator=None, data_batch=None):
                found.append(distribution.element_spec(iterator))
                super()._maybe_symbolic_build(iterator, data_batch)

        model = Model()
        model.compile("sgd", "mse")
        model.fit(np.zeros((4, 3)), np.zeros((4, 2)), verbose=0)
        assert found[0][0].shape[1:] == (3,)


class TestCompiled:
    def test_metrics(self, model):
        model.compile(
            "sgd", keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
        )
        model.fit(np.zeros((2, 4)), np.eye(2), verbose=0)
        assert [metric.name for metric in compiled.compile_metrics(model)] == ["accuracy"]
        assert list(compiled.loss_metrics(model)) == []
        assert compiled.own_metrics(model) == []

    def test_compiled_as_another(self, model):
        model.compile("sgd", "mse")
        batch = np.ones((2, 4), "float32"), np.ones((2, 2), "float32")
        y_pred = model(batch[0])
        other = keras.Model(model.inputs, model.outputs)
        loss = compiled.own_loss(other, model, *batch, y_pred, None, training=True)
        assert float(loss) == pytest.approx(float(np.mean((y_pred - 1) ** 2)))
        assert not other.compiled


def test_masks():
    tensor = tf.constant([[[1.0], [9.0], [1.0]], [[1.0], [1.0], [9.0]]])
    assert masks.keras_mask(tensor) is None
    mask = tf.constant([[True, False, True], [True, True, False]])
    masks.set_keras_mask(tensor, mask)
    assert masks.keras_mask(tensor) is mask
    mean = keras.losses.MeanSquaredError()(tf.zeros((2, 3, 1)), tensor)
    assert float(mean) == 1.0
    embedded = keras.layers.Embedding(4, 2, mask_zero=True)(np.array([[1, 0]]))
    assert np.array(masks.keras_mask(embedded)).tolist() == [[True, False]]


def test_safe_mode(tmp_path):
    found = []

    @keras.saving.register_keras_serializable("private_parts")
    class Asks(keras.layers.Layer):
        @classmethod
        def from_config(cls, config):
            found.append(bool(safe_mode.in_safe_mode()))
            return cls(**config)

    keras.Sequential([keras.Input((2,)), Asks()]).save(tmp_path / "model.keras")
    keras.models.load_model(tmp_path / "model.keras")
    keras.models.load_model(tmp_path / "model.keras", safe_mode=False)
    assert found == [True, False]


def test_keras_hub(tmp_path):
    backbone = small_bert.make_backbone()
    found = [keras_hub.intermediate_layer(layer) for layer in layers.flatten_layers(backbone)]
    found = [layer for layer in found if layer is not None]
    assert len(found) == backbone.num_layers
    assert {layer.units for layer in found} == {backbone.intermediate_dim}
    (tmp_path / "config.json").write_text('{"hidden_act": "gelu"}')
    assert keras_hub.read_preset_file(str(tmp_path), "config.json") == {"hidden_act": "gelu"}


def test_a_sentence_piece_model_in_a_graph_outlives_a_seed():
    _, preprocessor = small_encoders.make_encoder("DebertaV3")
    before = preprocessor.tokenizer._sentence_piece

    @tf.function(autograph=False)
    def tokenize(texts):
        with keras_hub.tokenizer_in_graph(preprocessor):
            assert preprocessor.tokenizer._sentence_piece is not before
            return preprocessor(texts)["token_ids"]

    texts = tf.constant(["the film"])
    ids = tokenize(texts)
    keras.utils.set_random_seed(1)
    np.testing.assert_array_equal(tokenize(texts), ids)
    assert preprocessor.tokenizer._sentence_piece is before


def test_a_frozen_graph_has_no_variables(model):
    function = tf.function(model).get_concrete_function(tf.TensorSpec((1, 4)))
    with graph_defs.quiet():
        frozen = graph_defs.frozen_graph(function)
    kinds = {node.op for node in frozen.node}
    assert "MatMul" in kinds
    assert not any("Variable" in kind for kind in kinds)


def test_fit_begins_at_an_epoch(model):
    class Begin(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            epochs.begin_at(self.model, 2)

    model.compile("sgd", "mse")
    history = model.fit(np.ones((4, 4)), np.ones((4, 2)), epochs=3, verbose=0, callbacks=[Begin()])
    assert history.epoch == [2]


def test_epochs_that_are_validated(model):
    every_other = [epochs.validates_behind(model, epoch, 2) for epoch in range(4)]
    named = [epochs.validates_behind(model, epoch, [1, 4]) for epoch in range(4)]
    assert (every_other, named) == ([False, True, False, True], [True, False, False, True])


def test_tflite_files(model, tmp_path):
    keras_distill.export_tflite(model, tmp_path / "model.tflite")
    content = (tmp_path / "model.tflite").read_bytes()
    found = tflite_files.read(content)
    assert isinstance(found, tflite_files.schema().ModelT)
    again = tflite_files.read(tflite_files.write(found))
    assert len(again.subgraphs[0].operators) == len(found.subgraphs[0].operators) > 0
