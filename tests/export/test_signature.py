import keras
import numpy as np
import pytest
import students_to_export
from keras import layers

from keras_distill.export.signature import NamedModel


def outputs_of(model):
    named_model = NamedModel(model)
    specs = named_model.input_specs(2).items()
    return named_model({name: np.ones(spec.shape, spec.dtype.name) for name, spec in specs})


def test_unnamed_layers_keep_their_names_when_other_models_were_built_before():
    """A client breaks if "keras_tensor_15" or "dense_3" becomes the name it sends and reads."""

    def build():
        left, right = keras.Input((2,)), keras.Input((3,))
        return keras.Model([left, right], [layers.Dense(1)(left), layers.Dense(1)(right)])

    for model in (build(), build()):
        assert list(NamedModel(model).inputs) == ["inputs_0", "inputs_1"]
        assert list(outputs_of(model)) == ["output_0", "output_1"]


def test_unnamed_sequential_is_inputs_and_output():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    assert list(NamedModel(model).inputs) == ["inputs"]
    assert list(outputs_of(model)) == ["output"]


def test_automatic_names_of_a_reloaded_model_are_not_taken_for_given_ones(tmp_path):
    """A .keras file turns keras_tensor_7 into input_layer_3."""
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    assert list(NamedModel(reloaded).inputs) == ["inputs"]


def test_given_names_of_layers_are_kept():
    x = keras.Input((2,), name="pixels")
    model = keras.Model(x, [layers.Dense(1, name="score")(x), layers.Dense(2)(x)])
    assert list(NamedModel(model).inputs) == ["pixels"]
    assert list(outputs_of(model)) == ["score", "output_1"]


def test_keys_name_dicts_and_nested_keys_are_joined():
    x = keras.Input((2,), name="x")
    heads = {"hidden": [layers.Dense(1)(x), layers.Dense(2)(x)], "logits": layers.Dense(3)(x)}
    outputs = outputs_of(keras.Model({"x": x}, heads))
    shapes = {name: value.shape[-1] for name, value in outputs.items()}
    assert shapes == {"hidden_0": 1, "hidden_1": 2, "logits": 3}


def test_two_outputs_of_one_name_are_both_kept():
    """A dict of outputs would silently drop the first of two equal names."""
    x = keras.Input((2,))
    twice = keras.Model(x, [layers.Dense(1)(x), layers.Dense(2)(x)], name="heads")
    assert list(outputs_of(keras.Model(x, twice(x)))) == ["heads", "heads_1"]


@pytest.mark.parametrize(
    ("key", "name"),
    [("a b", "a_b"), ("1st", "inputs_1st"), ("in", "inputs_in"), ("_x", "inputs_x")],
)
def test_keys_become_identifiers(key, name):
    """TensorFlow renames such keys by itself, and drops one of two that become equal."""
    x = keras.Input((2,))
    with pytest.warns(UserWarning, match="must match the names"):
        model = keras.Model({key: x}, layers.Dense(1)(x))
    assert list(NamedModel(model).inputs) == [name]


class TwoTowers(keras.Model):
    def __init__(self):
        super().__init__()
        self.embedding = layers.Embedding(10, 4)
        self.dense = layers.Dense(2)

    def call(self, inputs):
        return {"sum": self.dense(inputs["scores"]), "ids": self.embedding(inputs["ids"])}


def test_subclassed_model_called_with_keras_inputs_has_their_keys_and_dtypes():
    """Keras records no dtypes at a call with arrays: ids would be exported as floats."""
    model = TwoTowers()
    model({"scores": keras.Input((3,)), "ids": keras.Input((5,), dtype="int32")})
    specs = NamedModel(model).input_specs()
    assert {name: spec.dtype.name for name, spec in specs.items()} == {
        "ids": "int32",
        "scores": "float32",
    }
    assert set(outputs_of(model)) == {"sum", "ids"}


@pytest.mark.parametrize("called", [False, True])
def test_subclassed_model_with_unknown_inputs_is_refused_with_the_remedy(called):
    model = TwoTowers()
    if called:
        model({"scores": np.ones((1, 3)), "ids": np.ones((1, 5), "int32")})
    with pytest.raises(ValueError, match=r"keras\.Input.*distiller\.student"):
        NamedModel(model)


def test_unbuilt_sequential_is_refused():
    with pytest.raises(ValueError, match="not known"):
        NamedModel(keras.Sequential([layers.Dense(1)]))


def test_what_is_no_model_is_refused():
    with pytest.raises(ValueError, match=r"must be a keras\.Model"):
        NamedModel(lambda x: x)


def test_inputs_reach_the_right_layer_in_every_structure():
    """Inputs in the order of their names, not of the structure, would be swapped."""
    model = students_to_export.two_in_two_out()
    named_model = NamedModel(model)
    x = {"ids": np.ones((2, 8)), "extra": np.full((2, 5), 2.0)}
    named = named_model.name_inputs(x)
    assert named["ids"].dtype == "int32"
    np.testing.assert_array_equal(named["extra"], x["extra"])
    np.testing.assert_allclose(named_model(named)["topic"], model(x)["topic"], rtol=1e-6)


def test_list_inputs_may_be_given_by_name_or_as_a_list():
    left, right = keras.Input((2,), name="zeta"), keras.Input((3,), name="alpha")
    named_model = NamedModel(keras.Model([left, right], layers.Concatenate()([left, right])))
    for x in ([np.ones((1, 2)), np.ones((1, 3))], {"alpha": np.ones((1, 3)), "zeta": [[1, 1]]}):
        assert {k: v.shape for k, v in named_model.name_inputs(x).items()} == {
            "zeta": (1, 2),
            "alpha": (1, 3),
        }


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((2, 3)), "2 inputs"),
        ({"ids": np.ones((2, 8))}, "2 inputs"),
        ({"ids": np.ones(8), "extra": np.ones((2, 5))}, "shape"),
        ({"ids": np.ones((2, 8)), "extra": np.ones((3, 5))}, "as many examples"),
        # Cut to integers they would be other inputs without a word.
        (
            {"ids": np.full((2, 8), 0.7), "extra": np.ones((2, 5))},
            r"float64 such as 0.7, .* become 0",
        ),
        ({"ids": np.full((2, 8), 2**32), "extra": np.ones((2, 5))}, "int64 such as 4294967296"),
        (
            {"ids": np.ones((2, 8)), "extra": np.full((2, 5), "a")},
            "'extra' must be numbers, float32",
        ),
        ({"ids": [[1, 2], [3]], "extra": np.ones((2, 5))}, "must be an array. Received: a list"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        NamedModel(students_to_export.two_in_two_out()).name_inputs(x)
