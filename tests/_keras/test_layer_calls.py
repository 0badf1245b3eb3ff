"""Layers get another call, and their own back."""

import keras
import numpy as np
import pytest

from keras_distill._keras.layer_calls import replaced_calls


def times(factor):
    return lambda layer, call: lambda x: factor * call(x)


@pytest.fixture
def layer():
    return keras.layers.Activation("relu")


def test_each_layer_gets_a_call_made_of_its_own(layer):
    with replaced_calls([layer], times(2.0)):
        np.testing.assert_array_equal(layer(np.ones(3)), np.full(3, 2.0))
    np.testing.assert_array_equal(layer(np.ones(3)), np.ones(3))
    assert "call" not in vars(layer)


def test_inner_blocks_wrap_outer_ones_and_are_gone_first(layer):
    with replaced_calls([layer], times(2.0)):
        with replaced_calls([layer], times(5.0)):
            np.testing.assert_array_equal(layer(np.ones(3)), np.full(3, 10.0))
        np.testing.assert_array_equal(layer(np.ones(3)), np.full(3, 2.0))
    np.testing.assert_array_equal(layer(np.ones(3)), np.ones(3))


def test_a_layer_that_comes_twice_is_itself_again(layer):
    with replaced_calls([layer, layer], times(2.0)):
        np.testing.assert_array_equal(layer(np.ones(3)), np.full(3, 4.0))
    np.testing.assert_array_equal(layer(np.ones(3)), np.ones(3))
    assert "call" not in vars(layer)


def test_calls_are_put_back_when_a_new_one_cannot_be_made(layer):
    def refuse(second, call):
        if second is not layer:
            raise KeyError
        return call

    with pytest.raises(KeyError), replaced_calls([layer, keras.layers.ReLU()], refuse):
        pass
    assert "call" not in vars(layer)
