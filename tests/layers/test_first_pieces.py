import keras
import numpy as np

from keras_distill.layers.first_pieces import FirstPieces

FEATURES = np.arange(2 * 4 * 3, dtype="float32").reshape(2, 4, 3)
WORD_STARTS = np.array([[1, 3], [2, 0]])


def test_each_word_has_the_features_of_its_first_piece():
    words = FirstPieces()(WORD_STARTS, FEATURES)
    np.testing.assert_array_equal(words, FEATURES[[[0], [1]], WORD_STARTS])


def test_padding_is_masked_for_losses():
    inputs = [keras.Input((None,), dtype="int32"), keras.Input((None, 3))]
    model = keras.Model(inputs, keras.layers.Dropout(0.5)(FirstPieces()(*inputs)))
    model.compile(loss="mse")
    zeros = np.zeros((2, 2, 3))
    kept = [FEATURES[0, 1], FEATURES[0, 3], FEATURES[1, 2]]
    loss = model.evaluate([WORD_STARTS, FEATURES], zeros, verbose=0)
    np.testing.assert_allclose(loss, np.mean(np.square(kept)), rtol=1e-6)
