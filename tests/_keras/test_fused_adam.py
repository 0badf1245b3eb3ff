import keras
import numpy as np

from keras_distill._keras.fused_adam import FusedAdam


def trained(optimizer):
    """Weights after some steps of a model whose embedding has sparse gradients."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            keras.layers.Embedding(20, 4),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(3),
        ]
    )
    rng = np.random.default_rng(0)
    x, y = rng.integers(20, size=(64, 5)), rng.integers(3, size=64)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, epochs=3, batch_size=8, shuffle=False, verbose=0)
    state = [variable.numpy() for variable in optimizer.variables]
    return [*model.get_weights(), *state]


def test_its_steps_are_those_of_keras():
    schedule = keras.optimizers.schedules.CosineDecay(0.05, 24)
    settings = {"learning_rate": schedule, "global_clipnorm": 0.1, "beta_2": 0.95, "epsilon": 1e-3}
    for found, wanted in zip(
        trained(FusedAdam(**settings)), trained(keras.optimizers.Adam(**settings)), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
