"""Taps: the right activation, once, in any model, and the model as it was afterwards."""

import threading

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from keras_distill.taps import Taps
from keras_distill.taps import current_recording
from keras_distill.taps import find
from keras_distill.taps import layer_paths
from keras_distill.taps import read
from keras_distill.taps import record

layers = keras.layers

MODES = ["eager", "function", "jit"]
every_mode = pytest.mark.parametrize("mode", MODES)


def taps_of(model, paths, x, mode="eager", **kwargs):
    """Runs the model once; returns its output and the activations."""

    def run(x):
        with record(model, paths) as recording:
            output = model(x, **kwargs)
        return output, {path: recording[path] for path in paths}

    return run(x) if mode == "eager" else tf.function(run, jit_compile=mode == "jit")(x)


def batch(*shape):
    return tf.constant(np.random.default_rng(0).normal(size=shape).astype("float32"))


@keras.saving.register_keras_serializable(package="tests")
class Counting(layers.Layer):
    """Doubles its input, and counts its calls."""

    num_calls = 0

    def call(self, inputs):
        # Past Keras's tracking; in a graph this counts the traces.
        object.__setattr__(self, "num_calls", self.num_calls + 1)
        return 2 * inputs


class Block(layers.Layer):
    """A subclassed layer with layers inside, in a list and a dict too."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = layers.Dense(4, name="first")
        self.rest = [layers.Dense(4, name=f"rest_{i}") for i in range(2)]
        self.by_name = {"extra": layers.Dense(4, name="extra")}

    def build(self, shape):
        for layer in (self.first, *self.rest, self.by_name["extra"]):
            layer.build((None, 4))
        self.built = True

    def call(self, inputs):
        for layer in (self.first, *self.rest):
            inputs = layer(inputs)
        return self.by_name["extra"](inputs)


class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.block = Block(name="block")
        self.head = layers.Dense(3, name="head")

    def call(self, inputs):
        return self.head(self.block(inputs))


class Structured(layers.Layer):
    """Gives a dict and lists."""

    def call(self, inputs):
        return {"pooled": inputs + 1, "steps": [inputs + 2, inputs + 3]}


def functional():
    inputs = keras.Input((4,), name="inputs")
    hidden = Counting(name="counting")(layers.Dense(4, name="dense")(inputs))
    return keras.Model(inputs, layers.Dense(3, name="head")(hidden), name="functional")


def sequential():
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(4, name="dense"), layers.Dense(3, name="head")]
    )


def nested():
    inputs = keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), functional()], name="inner")
    return keras.Model(inputs, layers.Dense(2, name="head")(inner(inputs)), name="outer")


def subclassed():
    model = Subclassed(name="subclassed")
    model(np.zeros((1, 4), "float32"))
    return model


def bert(**kwargs):
    return keras_hub.models.BertBackbone(
        vocabulary_size=50,
        num_layers=2,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
        max_sequence_length=16,
        **kwargs,
    )


def bert_batch():
    ids = np.arange(32).reshape(2, 16) % 50
    return {
        "token_ids": tf.constant(ids),
        "segment_ids": tf.zeros((2, 16), "int32"),
        "padding_mask": tf.constant((np.arange(16) < [[16], [5]]).astype("int32")),
    }


class TestFind:
    def test_paths_from_the_outside_in(self):
        """Breadth first, inside lists, dicts and nested models too."""
        assert [path for path, _ in layer_paths(subclassed())] == [
            "block",
            "head",
            "block/first",
            "block/rest_0",
            "block/rest_1",
            "block/extra",
        ]
        model = nested()
        paths = dict(layer_paths(model))
        deepest = model.get_layer("inner").get_layer("functional").get_layer("counting")
        assert paths["inner/functional/counting"] is deepest

    def test_path_and_unique_suffix(self):
        """A suffix counts whole names only: "ense" is no layer."""
        model = nested()
        layer = model.get_layer("inner").get_layer("functional").get_layer("dense")
        for path in ("inner/functional/dense", "functional/dense", "dense"):
            assert find(model, path) == (layer, None)
        with pytest.raises(ValueError, match="names no layer"):
            find(model, "ense")

    def test_exact_path_beats_a_suffix(self):
        """The outer head is "head"; a nested model's head must not make it ambiguous."""
        model = nested()
        assert find(model, "head")[0] is model.get_layer("head")
        assert find(model, "functional/head")[0] is not model.get_layer("head")

    def test_ambiguous_suffix_lists_the_candidates(self):
        """To take the first would tap another block than the user means."""
        with pytest.raises(ValueError, match="fits 2 layers of 'bert_backbone'") as error:
            find(bert(name="bert_backbone"), "self_attention_layer")
        for index in (0, 1):
            assert f"transformer_layer_{index}/self_attention_layer'" in str(error.value)
        assert "Give the path of one, from further out." in str(error.value)

    @pytest.mark.parametrize("path", ["transformer_layer_7", "transformer_layer_7[0]"])
    def test_unknown_path_lists_the_nearest(self, path):
        """A typo must be found before the first step, not by a loss of 0."""
        with pytest.raises(ValueError, match="names no layer of 'bert_backbone'") as error:
            find(bert(name="bert_backbone"), path)
        assert repr(path) in str(error.value)
        nearest = str(error.value).partition("The nearest are: ")[2]
        assert "'transformer_layer_0'" in nearest
        assert "'transformer_layer_1'" in nearest

    def test_nothing_is_near(self):
        """Then the outermost layers are a start."""
        with pytest.raises(ValueError, match=r"The nearest are: \[.*'dense', 'head'\]"):
            find(sequential(), "???")

    def test_layer_that_is_reached_by_two_paths(self):
        """One layer under two names is not ambiguous."""
        inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="dense")], name="inner")
        inputs = keras.Input((4,))
        outer = keras.Model(inputs, inner.get_layer("dense")(inner(inputs)))
        assert find(outer, "dense")[0] is inner.get_layer("dense")
        shared = keras.Model(inputs, keras.Sequential([inner], name="outer")(inner(inputs)))
        assert find(shared, "inner/dense")[0] is inner.get_layer("dense")

    def test_items_and_attention_scores(self):
        """The item is read later; the layer is the same."""
        model = bert()
        layer = model.get_layer("transformer_layer_1")
        assert find(model, "transformer_layer_1[2][key]") == (layer, "[2][key]")
        path = "transformer_layer_1/self_attention_layer"
        assert find(model, path + "/attention_scores") == (
            find(model, path)[0],
            "attention_scores",
        )

    def test_attention_scores_of_another_layer(self):
        """A Dense has none: without the check the pass would fail inside Keras."""
        with pytest.raises(ValueError, match=r"MultiHeadAttention has.*'head' of type Dense"):
            find(sequential(), "head/attention_scores")


class TestRecord:
    @every_mode
    @pytest.mark.parametrize(
        ("build", "path", "expected"),
        [
            (functional, "counting", lambda m, x: 2 * m.get_layer("dense")(x)),
            (sequential, "dense", lambda m, x: m.get_layer("dense")(x)),
            (nested, "functional/dense", lambda m, x: find(m, "functional/dense")[0](x)),
            (nested, "inner", lambda m, x: m.get_layer("inner")(x)),
            (subclassed, "block", lambda m, x: m.block(x)),
            (subclassed, "rest_1", lambda m, x: m.block.rest[1](m.block.rest[0](m.block.first(x)))),
        ],
    )
    def test_activation_of_any_model(self, build, path, expected, mode):
        """The layer's own output, and the model's output as without a tap."""
        model, x = build(), batch(5, 4)
        output, activations = taps_of(model, [path, "head"], x, mode)
        np.testing.assert_allclose(activations[path], expected(model, x), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(activations["head"], output, rtol=1e-6)
        np.testing.assert_allclose(output, model(x), rtol=1e-5, atol=1e-6)

    @every_mode
    def test_keras_hub_backbone(self, mode):
        """Against the layers, called one after another."""
        model, x = bert(), bert_batch()
        paths = ["transformer_layer_0", "transformer_layer_1", "pooled_dense"]
        outputs, activations = taps_of(model, paths, x, mode)
        embed = model.get_layer
        hidden = embed("token_embedding")(x["token_ids"])
        hidden += embed("position_embedding")(hidden) + embed("segment_embedding")(x["segment_ids"])
        hidden = embed("embeddings_layer_norm")(hidden)
        for path in paths[:2]:
            hidden = embed(path)(hidden, padding_mask=x["padding_mask"])
            np.testing.assert_allclose(activations[path], hidden, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(outputs["sequence_output"], hidden, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(activations["pooled_dense"], outputs["pooled_output"], rtol=1e-6)

    @every_mode
    def test_items_of_structured_outputs(self, mode):
        """By key and by index."""
        model = keras.Sequential([keras.Input((4,)), Structured(name="enc")])
        x = batch(2, 4)
        paths = ["enc[pooled]", "enc[steps][1]", "enc[steps][-2]"]
        _, activations = taps_of(model, paths, x, mode)
        for path, offset in zip(paths, (1, 3, 2)):
            np.testing.assert_allclose(activations[path], x + offset)

    @pytest.mark.parametrize("item", ["[typo]", "[pooled][0]", "[steps][2]", "[steps][pooled]"])
    def test_item_that_is_not_there(self, item):
        """The message must name the tap and what the layer gives instead."""
        model = keras.Sequential([keras.Input((4,)), Structured(name="enc")])
        with pytest.raises(ValueError, match=r"pooled.*steps") as error:
            taps_of(model, ["enc" + item], batch(2, 4))
        assert repr("enc" + item) in str(error.value)

    @every_mode
    def test_exactly_one_pass(self, mode):
        """A second pass would double the cost, and see other dropout masks."""
        model = functional()
        counting = model.get_layer("counting")
        num_calls = counting.num_calls
        taps_of(model, ["dense", "counting", "head"], batch(2, 4), mode)
        assert counting.num_calls == num_calls + 1

    def test_activation_is_the_one_of_this_pass(self):
        """With dropout, a recomputed activation would not belong to the output."""
        model = keras.Sequential(
            [keras.Input((64,)), layers.Dropout(0.5, name="drop"), layers.Activation("linear")]
        )
        output, activations = taps_of(model, ["drop"], tf.ones((2, 64)), training=True)
        np.testing.assert_array_equal(activations["drop"], output)

    @every_mode
    def test_gradient_flows_through_a_tap(self, mode):
        """An objective that cannot move the student's layers has no effect."""
        model = sequential()
        dense = model.get_layer("dense")

        def gradient(x):
            with tf.GradientTape() as tape, record(model, ["dense"]) as recording:
                model(x)
                value = tf.reduce_sum(recording["dense"])
            return tape.gradient(value, dense.kernel)

        x = batch(3, 4)
        run = gradient if mode == "eager" else tf.function(gradient, jit_compile=mode == "jit")
        expected = np.repeat(np.sum(x, axis=0)[:, None], 4, axis=1)
        np.testing.assert_allclose(run(x), expected, rtol=1e-5, atol=1e-5)

    @every_mode
    def test_keras_mask_is_kept(self, mode):
        """Without it a loss on hidden layers counts the padding."""
        model = keras.Sequential(
            [
                keras.Input((5,), dtype="int32"),
                layers.Embedding(9, 4, mask_zero=True, name="embedding"),
                layers.Dense(3, name="dense"),
            ]
        )
        ids = tf.constant([[1, 2, 0, 0, 0], [3, 4, 5, 6, 0]])

        def run(ids):
            with record(model, ["embedding", "dense"]) as recording:
                model(ids)
            return [recording[path]._keras_mask for path in ("embedding", "dense")]

        compiled = run if mode == "eager" else tf.function(run, jit_compile=mode == "jit")
        for mask in compiled(ids):
            np.testing.assert_array_equal(mask, ids != 0)

    def test_no_paths(self):
        """A Distiller without objectives records nothing, at no cost."""
        model = functional()
        with record(model, []) as recording:
            model(batch(2, 4))
        assert recording.keys == set()


class TestCallIsPutBack:
    @every_mode
    def test_after_a_pass(self, mode):
        """A wrapper that stays would be saved, exported, and wrapped again and again."""
        model = functional()
        taps_of(model, ["dense", "counting"], batch(2, 4), mode)
        for layer in model.layers:
            assert "call" not in layer.__dict__
        assert current_recording() is None

    def test_after_an_exception(self):
        """In the model, and in the caller's code behind it."""
        model = functional()
        with pytest.raises(Exception, match="incompatible"), record(model, ["dense"]):
            model(batch(2, 7))
        with pytest.raises(KeyError), record(model, ["dense"]):
            raise KeyError("of the caller")
        assert "call" not in model.get_layer("dense").__dict__
        assert current_recording() is None

    def test_after_an_unknown_path(self):
        """The first path is fine, the second is not: nothing may stay wrapped."""
        model = functional()
        with pytest.raises(ValueError, match="names no layer"), record(model, ["dense", "typo"]):
            pass
        assert "call" not in model.get_layer("dense").__dict__

    def test_own_call_of_an_instance(self):
        """Others patch `call` as well (LoRA, quantisation): theirs must be run and stay."""
        model = functional()
        dense, x = model.get_layer("dense"), batch(2, 4)

        def own_call(inputs):
            return 0 * inputs + 7

        object.__setattr__(dense, "call", own_call)
        _, activations = taps_of(model, ["dense"], x)
        np.testing.assert_array_equal(activations["dense"], np.full((2, 4), 7))
        assert dense.__dict__["call"] is own_call

    def test_saved_model_is_the_same(self, tmp_path):
        """A tapped model saves and loads as if it had never been tapped."""
        model, x = functional(), batch(2, 4)
        output, _ = taps_of(model, ["dense"], x)
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_allclose(loaded(x), output, rtol=1e-6)


class TestSeveralRecordings:
    def test_nested_recordings(self):
        """Online distillation records a model inside another's pass: each gets its own."""
        model = functional()
        first, second = batch(2, 4), batch(3, 4)
        dense = model.get_layer("dense")
        with record(model, ["dense"]) as outer:
            model(first)
            with record(model, ["dense", "head"]) as inner:
                model(second)
            assert current_recording() is outer
            # Still wrapped for the outer one.
            assert "call" in dense.__dict__
        assert "call" not in dense.__dict__
        np.testing.assert_allclose(outer["dense"], dense(first), rtol=1e-6)
        np.testing.assert_allclose(inner["dense"], dense(second), rtol=1e-6)

    def test_outer_recording_does_not_see_inner_passes_of_other_layers(self):
        """Only what a recording asked for is stored in it."""
        model = functional()
        with record(model, ["dense"]) as outer, record(model, ["head"]) as inner:
            model(batch(2, 4))
        assert inner["head"].shape == (2, 3)
        with pytest.raises(ValueError, match="did not run"):
            outer["dense"]

    def test_two_threads(self):
        """MirroredStrategy traces each replica in a thread of its own."""
        model = functional()
        dense = model.get_layer("dense")
        together, results = threading.Barrier(2, timeout=60), {}

        def run(index):
            x = batch(2, 4) + index
            with record(model, ["dense"]) as recording:
                together.wait()
                model(x)
                together.wait()
                results[index] = recording["dense"], x
            together.wait()

        threads = [threading.Thread(target=run, args=[index]) for index in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for activation, x in results.values():
            np.testing.assert_allclose(activation, dense(x), rtol=1e-6)
        assert len(results) == 2
        assert "call" not in dense.__dict__

    def test_other_threads_are_not_recorded(self):
        """A model that serves in one thread must not end up in the training of another."""
        model, served = functional(), []
        with record(model, ["dense"]) as recording:
            thread = threading.Thread(target=lambda: served.append(model(batch(5, 4))))
            thread.start()
            thread.join()
            model(batch(2, 4))
        assert served[0].shape == (5, 3)
        assert recording["dense"].shape == (2, 4)

    def test_replicas_of_a_mirrored_strategy(self):
        """Each replica reads its own part of the batch."""
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        with strategy.scope():
            model = functional()

        @tf.function
        def run():
            def step():
                replica = tf.distribute.get_replica_context().replica_id_in_sync_group
                x = tf.fill((2, 4), tf.cast(replica + 1, "float32"))
                _, activations = taps_of(model, ["dense"], x)
                return activations["dense"]

            return strategy.run(step)

        values = strategy.experimental_local_results(run())
        for index, value in enumerate(values):
            expected = model.get_layer("dense")(tf.fill((2, 4), index + 1.0))
            np.testing.assert_allclose(value, expected, rtol=1e-5)


def attention_model(**kwargs):
    inputs = keras.Input((5, 8))
    attention = layers.MultiHeadAttention(num_heads=2, key_dim=4, name="mha", **kwargs)
    return keras.Model(inputs, attention(inputs, inputs), name="attention_model")


class TestAttentionScores:
    PATH = "mha/attention_scores"

    @every_mode
    @pytest.mark.parametrize("flash_attention", [None, False])
    def test_scores_are_those_of_the_layer(self, mode, flash_attention):
        """Without dropout Keras takes a fused path that has no scores at all."""
        model, x = attention_model(dropout=0.0, flash_attention=flash_attention), batch(3, 5, 8)
        untapped = model(x)
        output, activations = taps_of(model, [self.PATH], x, mode)
        mha = model.get_layer("mha")
        query = np.einsum("btd,dhk->bthk", x, mha._query_dense.kernel) + mha._query_dense.bias
        key = np.einsum("btd,dhk->bthk", x, mha._key_dense.kernel) + mha._key_dense.bias
        logits = np.einsum("bqhk,bthk->bhqt", query, key) / 2.0
        expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        np.testing.assert_allclose(activations[self.PATH], expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(np.sum(activations[self.PATH], axis=-1), 1, rtol=1e-5)
        np.testing.assert_allclose(output, untapped, rtol=1e-4, atol=1e-5)

    @every_mode
    def test_scores_and_output_of_one_layer(self, mode):
        """Both taps in the same pass, from the same call."""
        model, x = attention_model(), batch(3, 5, 8)
        output, activations = taps_of(model, [self.PATH, "mha"], x, mode)
        assert activations[self.PATH].shape == (3, 2, 5, 5)
        np.testing.assert_allclose(activations["mha"], output, rtol=1e-5, atol=1e-6)

    @every_mode
    def test_caller_asks_for_the_scores_too(self, mode):
        """The caller still gets its pair, and only then."""

        class Caller(keras.Model):
            def __init__(self):
                super().__init__()
                self.mha = layers.MultiHeadAttention(2, 4, name="mha")

            def call(self, x):
                output, scores = self.mha(x, x, return_attention_scores=True)
                return {"output": output, "scores": scores}

        model, x = Caller(), batch(3, 5, 8)
        untapped = model(x)
        outputs, activations = taps_of(model, [self.PATH], x, mode)
        np.testing.assert_allclose(activations[self.PATH], outputs["scores"], rtol=1e-6)
        for key in outputs:
            np.testing.assert_allclose(outputs[key], untapped[key], rtol=1e-4, atol=1e-5)

    @every_mode
    def test_inside_keras_hub(self, mode):
        """Padding gets no attention, and the backbone's output stays the same."""
        model, x = bert(dropout=0.0), bert_batch()
        untapped = model(x)
        path = "transformer_layer_1/self_attention_layer/attention_scores"
        outputs, activations = taps_of(model, [path], x, mode)
        scores = np.asarray(activations[path])
        assert scores.shape == (2, 2, 16, 16)
        np.testing.assert_allclose(scores.sum(axis=-1), 1, rtol=1e-5)
        assert np.abs(scores[1, :, :, 5:]).max() < 1e-6
        for key in outputs:
            np.testing.assert_allclose(outputs[key], untapped[key], rtol=1e-3, atol=1e-4)

    def test_attention_is_fused_again_afterwards(self):
        """The tap may slow down its own pass, not the exported student."""
        model, x = attention_model(), batch(3, 5, 8)
        untapped = model(x)
        taps_of(model, [self.PATH], x)
        assert "call" not in model.get_layer("mha").__dict__
        np.testing.assert_array_equal(model(x), untapped)


class TestLayersThatCannotBeTapped:
    @every_mode
    @pytest.mark.parametrize("unroll", [False, True])
    @pytest.mark.parametrize("cell_class", [layers.SimpleRNNCell, layers.LSTMCell])
    def test_rnn_cell(self, cell_class, unroll, mode):
        """One of its steps is no activation; in a loop it is a tensor of another graph."""
        rnn = layers.RNN(cell_class(4, name="cell"), unroll=unroll, name="rnn")
        model = keras.Sequential([keras.Input((3, 2)), rnn])
        message = "'rnn/cell'.*(RNN cell).*return_sequences=True"
        with pytest.raises(ValueError, match=message):
            taps_of(model, ["rnn/cell"], batch(2, 3, 2), mode)
        assert "call" not in rnn.cell.__dict__

    @every_mode
    def test_rnn_layer_itself(self, mode):
        """What the message advises works."""
        model = keras.Sequential(
            [
                keras.Input((3, 2)),
                layers.LSTM(4, return_sequences=True, name="lstm"),
                layers.Flatten(),
            ]
        )
        output, activations = taps_of(model, ["lstm"], batch(2, 3, 2), mode)
        assert activations["lstm"].shape == (2, 3, 4)
        np.testing.assert_allclose(np.reshape(activations["lstm"], (2, 12)), output, rtol=1e-6)

    @every_mode
    def test_layer_that_runs_twice(self, mode):
        """Which of the two? Never one of them in silence."""
        inputs, shared = keras.Input((4,)), layers.Dense(4, name="shared")
        model = keras.Model(inputs, shared(shared(inputs)))
        with pytest.raises(ValueError, match="'shared', which ran 2 times in one forward pass"):
            taps_of(model, ["shared"], batch(2, 4), mode)

    @every_mode
    def test_layer_that_does_not_run(self, mode):
        """An unused auxiliary head has no output, not that of the last pass."""

        class Unused(Subclassed):
            def __init__(self):
                super().__init__()
                self.unused = layers.Dense(2, name="unused")

        model = Unused()
        model.unused(batch(2, 4))
        with pytest.raises(ValueError, match="'unused', which did not run in this forward pass"):
            taps_of(model, ["unused"], batch(2, 4), mode)

    def test_input_layer(self):
        """It is listed among the layers, but Keras feeds it without a call."""
        with pytest.raises(ValueError, match="The tap 'inputs'"):
            taps_of(functional(), ["inputs"], batch(2, 4))

    @every_mode
    @pytest.mark.parametrize("jit_compile", [False, True])
    @pytest.mark.parametrize("was_traced", [False, True])
    def test_layer_inside_a_function_of_its_own(self, was_traced, jit_compile, mode):
        """Its tensor belongs to another graph: an error here, not in the optimizer."""

        class Compiled(keras.Model):
            def __init__(self):
                super().__init__()
                self.inner = layers.Dense(4, name="inner")
                self.inner.build((None, 4))
                self.run = tf.function(self.inner.__call__, jit_compile=jit_compile)

            def call(self, x):
                return self.run(x)

        model, x = Compiled(), batch(2, 4)
        if was_traced:
            model(x)
        reason = "did not run" if was_traced else "compiled function"
        with pytest.raises(ValueError, match=rf"'inner', which .*{reason}"):
            taps_of(model, ["inner"], x, mode)

    def test_layer_inside_a_branch(self):
        """tf.cond traces both branches; neither's tensor exists outside."""

        class Branching(keras.Model):
            def __init__(self):
                super().__init__()
                self.inner = layers.Dense(4, name="inner")
                self.inner.build((None, 4))

            def call(self, x):
                return tf.cond(tf.reduce_sum(x) > 0, lambda: self.inner(x), lambda: x)

        with pytest.raises(ValueError, match="loop, a branch"):
            taps_of(Branching(), ["inner"], batch(2, 4), "function")


class TestRead:
    OUTPUTS = {"a": [10, {"k": 11}], "b": 12, "a/b": 13, "x[0]": 14}

    @pytest.mark.parametrize(
        ("outputs", "path", "expected"),
        [
            (7, "output", 7),
            ([1, 2], "output[1]", 2),
            ((1, 2), "[0]", 1),
            ([1, 2], "output[-1]", 2),
            (OUTPUTS, "a[0]", 10),
            (OUTPUTS, "a[1][k]", 11),
            (OUTPUTS, "a/1/k", 11),
            (OUTPUTS, "output[b]", 12),
            (OUTPUTS, "output", OUTPUTS),
            # A key as it is goes before a path.
            (OUTPUTS, "a/b", 13),
            (OUTPUTS, "x[0]", 14),
            ({"output": 3, "hidden": 4}, "output", 3),
            ({"output": [3, 5]}, "output[1]", 5),
            ({"output": {"output": 6}}, "output/output", 6),
        ],
    )
    def test_by_key_and_index(self, outputs, path, expected):
        """Keys of dicts, indices of lists and tuples, as deep as they go."""
        assert read(outputs, path) == expected

    @pytest.mark.parametrize(
        ("outputs", "path"),
        [
            (7, "logits"),
            (7, "output[0]"),
            ([1, 2], "output[2]"),
            ([1, 2], "output[-3]"),
            ([1, 2], "output[k]"),
            (OUTPUTS, "typo"),
            (OUTPUTS, "a[k]"),
            (OUTPUTS, "b[0]"),
            (OUTPUTS, "[]"),
            ({"output": 3}, "output[output]"),
        ],
    )
    def test_nothing_there(self, outputs, path):
        """Always a KeyError with the whole path."""
        with pytest.raises(KeyError, match=None) as error:
            read(outputs, path)
        assert error.value.args == (path,)


class TestTaps:
    def test_layers_and_outputs(self):
        """A path that names no layer is a key of the outputs, known after the pass."""
        model, x = bert(), bert_batch()
        taps = Taps(model, ["transformer_layer_0", "sequence_output", "output[pooled_output]"])
        with taps.record() as recording:
            outputs = model(x)
        activations = taps.activations(recording, outputs)
        assert set(activations) == {
            "transformer_layer_0",
            "sequence_output",
            "output[pooled_output]",
        }
        assert activations["sequence_output"] is outputs["sequence_output"]
        assert activations["output[pooled_output]"] is outputs["pooled_output"]
        assert activations["transformer_layer_0"].shape == (2, 16, 8)

    def test_layer_goes_before_an_output_of_the_same_name(self):
        """As in the documentation: layer names first."""
        inputs = keras.Input((4,))
        hidden = layers.Dense(5, name="logits")(inputs)
        model = keras.Model(inputs, {"logits": layers.Dense(3)(hidden)})
        taps = Taps(model, ["logits"])
        with taps.record() as recording:
            outputs = model(batch(2, 4))
        assert taps.activations(recording, outputs)["logits"].shape == (2, 5)

    def test_output_is_never_a_layer(self):
        """A layer that happens to be called "output" must not shadow the model's output."""
        inputs = keras.Input((4,))
        hidden = layers.Dense(5, name="output")(inputs)
        model = keras.Model(inputs, layers.Dense(3)(hidden))
        taps = Taps(model, ["output"])
        with taps.record() as recording:
            outputs = model(batch(2, 4))
        assert taps.activations(recording, outputs)["output"] is outputs

    @pytest.mark.parametrize("teacher", [None, lambda x: x])
    def test_only_outputs_of_what_is_no_keras_model(self, teacher):
        """A function, or stored outputs: everything is a key."""
        taps = Taps(teacher, ["output", "hidden"])
        outputs = {"output": 1.0, "hidden": 2.0}
        assert taps.activations(None, outputs) == outputs

    def test_neither_layer_nor_output(self):
        """The message lists the nearest layers and the outputs: the typo is in one of them."""
        model = bert(name="bert_backbone")
        taps = Taps(model, ["sequence_outputs"])
        with taps.record() as recording:
            outputs = model(bert_batch())
        with pytest.raises(ValueError, match="'sequence_outputs' names no layer") as error:
            taps.activations(recording, outputs)
        message = str(error.value)
        assert "The nearest are: [" in message
        assert "'sequence_output': '*'" in message
        assert "'pooled_output': '*'" in message

    def test_no_such_output(self):
        """The same for a function's outputs."""
        taps = Taps(None, ["hidden"])
        message = "The tap 'hidden' names no output. The outputs are: {'output': '*'}."
        with pytest.raises(ValueError, match="names no output") as error:
            taps.activations(None, {"output": 1.0})
        assert str(error.value) == message

    def test_ambiguous_layer(self):
        """Not silently an output: the candidates are in the message."""
        model = bert()
        taps = Taps(model, ["self_attention_layer"])
        with pytest.raises(ValueError, match="fits 2 layers"):
            taps.activations(None, model(bert_batch()))
