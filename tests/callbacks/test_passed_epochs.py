"""What an earlier run read is read again, in full and no more."""

import keras
import numpy as np
import pytest

from keras_distill import Distiller
from keras_distill.callbacks.passed_epochs import PassedEpochs

X = np.ones((10, 3), "float32")


def counting(read):
    while True:
        read.append(1)
        yield (X[:2],)


class Counting(keras.utils.PyDataset):
    def __init__(self, read):
        super().__init__()
        self.read = read

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return (X[2 * index : 2 * index + 2],)

    def on_epoch_end(self):
        self.read.append(1)


@pytest.mark.parametrize("steps_per_execution", [1, 2])
def test_reads_the_passed_epochs(steps_per_execution):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    distiller = Distiller(student=model, teacher=keras.models.clone_model(model), alpha=0.0)
    distiller.compile("sgd", steps_per_execution=steps_per_execution)
    before = model.get_weights()
    found = {}
    for num_epochs in (0, 3):
        counts = found[num_epochs] = []
        for data, how in ((Counting, {}), (counting, {"steps_per_epoch": 4})):
            read = []
            passed = PassedEpochs(num_epochs)
            how |= {"initial_epoch": 4, "epochs": 4, "verbose": 0, "shuffle": False}
            distiller.fit(data(read), callbacks=[passed], **how)
            counts.append(len(read))
    epochs, batches = (after - start for after, start in zip(found[3], found[0]))
    assert epochs == 3
    # Keras reads a few ahead, in both runs.
    assert 10 <= batches <= 20
    for one, other in zip(model.get_weights(), before):
        np.testing.assert_array_equal(one, other)
