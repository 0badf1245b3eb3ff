import keras
import numpy as np
import pytest
from small_bert import make_backbone

from keras_distill.optimizers import LayerwiseAdamW
from keras_distill.optimizers import WarmupLinearDecay
from keras_distill.optimizers import finetuning_optimizer
from keras_distill.optimizers import layer_scales


def test_the_rate_rises_and_falls_linearly():
    schedule = WarmupLinearDecay(2.0, num_steps=50, warmup_rate=0.2)
    rates = [float(schedule(step)) for step in range(51)]
    np.testing.assert_allclose(rates[:10], 2.0 * np.arange(1, 11) / 10, rtol=1e-6)
    np.testing.assert_allclose(rates[10:], 2.0 * np.arange(40, -1, -1) / 40, rtol=1e-6, atol=1e-7)


def test_without_warm_up_the_first_rate_is_the_peak():
    assert float(WarmupLinearDecay(2.0, num_steps=50, warmup_rate=0.0)(0)) == 2.0


def test_behind_the_last_step_the_rate_stays_0():
    assert float(WarmupLinearDecay(2.0, num_steps=50)(80)) == 0.0


def test_layers_are_numbered_from_the_embeddings_to_the_head():
    paths = [
        "token_embedding/embeddings",
        "transformer_layer_0/self_attention_layer/query/kernel",
        "transformer_layer_1/feedforward_output_dense/bias",
        "pooled_dense/kernel",
        "logits/kernel",
        "encoder/bert/transformer/layer_1/intermediate/kernel",
        "encoder/bert/word_embeddings/embeddings",
    ]
    scales = layer_scales(paths, 0.5)
    assert scales == [0.125, 0.25, 0.5, 1.0, 1.0, 0.5, 0.125]


def first_update(model, layer_decay):
    """Sizes of Adam's first step, which is the learning rate whatever the gradient."""
    optimizer = LayerwiseAdamW(1e-3, layer_decay, weight_decay=0.0, epsilon=1e-12)
    optimizer.build(model.trainable_variables)
    before = [v.numpy() for v in model.trainable_variables]
    gradients = [keras.ops.ones_like(v) for v in model.trainable_variables]
    optimizer.apply(gradients)
    return {
        v.path: float(np.abs(v.numpy() - b).max())
        for v, b in zip(model.trainable_variables, before)
    }


def test_lower_layers_take_smaller_steps():
    steps = first_update(make_backbone(), 0.5)
    sizes = {
        "token_embedding": 1e-3 / 8,
        "embeddings_layer_norm": 1e-3 / 8,
        "transformer_layer_0": 1e-3 / 4,
        "transformer_layer_1": 1e-3 / 2,
        "pooled_dense": 1e-3,
    }
    for path, step in steps.items():
        size = next((s for name, s in sizes.items() if name in path), 1e-3 / 8)
        np.testing.assert_allclose(step, size, rtol=1e-3, err_msg=path)


def test_a_decay_of_1_is_adamw():
    model, twin = make_backbone(), make_backbone()
    twin.set_weights(model.get_weights())
    layerwise, plain = LayerwiseAdamW(1e-3, 1.0), keras.optimizers.AdamW(1e-3)
    for optimizer, weights in ((layerwise, model), (plain, twin)):
        optimizer.build(weights.trainable_variables)
        optimizer.apply([keras.ops.ones_like(v) for v in weights.trainable_variables])
    for ours, theirs in zip(model.weights, twin.weights):
        np.testing.assert_array_equal(ours, theirs)


def test_biases_and_norms_do_not_decay():
    model = make_backbone()
    for variable in model.trainable_variables:
        variable.assign(keras.ops.ones_like(variable))
    optimizer = finetuning_optimizer(model, 0.1, num_steps=10, warmup_rate=0, weight_decay=0.5)
    optimizer.build(model.trainable_variables)
    optimizer.apply([keras.ops.zeros_like(v) for v in model.trainable_variables])
    for variable in model.trainable_variables:
        is_kept = "bias" in variable.path or "norm" in variable.path
        expected = 1.0 if is_kept else 1.0 - 0.1 * 0.5
        np.testing.assert_allclose(
            variable, np.full(variable.shape, expected), err_msg=variable.path
        )


def test_optimizer_is_saved_with_its_model(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    optimizer = finetuning_optimizer(model, 1e-3, num_steps=20, layer_decay=0.9)
    model.compile(optimizer, "mse")
    model.fit(np.ones((8, 4)), np.ones((8, 2)), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == optimizer.get_config()
    for twin in (model, loaded):
        twin.fit(np.ones((8, 4)), np.ones((8, 2)), verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], loaded.get_weights()[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"peak": 0.0}, "peak must be a positive finite number"),
        ({"num_steps": 0}, "num_steps must be an integer of 1 or more"),
        ({"warmup_rate": 1.0}, r"warmup_rate must be a rate in \[0, 1\)"),
    ],
)
def test_bad_schedules(arguments, message):
    with pytest.raises(ValueError, match=message):
        WarmupLinearDecay(**{"peak": 1.0, "num_steps": 10, **arguments})


def test_bad_layer_decay():
    with pytest.raises(ValueError, match=r"layer_decay must be a rate in \(0, 1\]"):
        LayerwiseAdamW(1e-3, layer_decay=1.5)
