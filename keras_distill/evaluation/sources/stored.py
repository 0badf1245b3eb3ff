"""A TeacherStore as a source of outputs: the teacher does not run."""

import keras
import numpy as np
import tensorflow as tf


class StoredOutputs:
    """What a store has for the examples."""

    batch_size = 4096
    kind = "store"
    domain = reads_text = num_parameters = num_bytes = None

    def __init__(self, store):
        self._store = store

    def __call__(self, x):
        batch = tf.data.Dataset.from_tensors(keras.tree.map_structure(tf.convert_to_tensor, x))
        (inputs,) = self._store.attach(batch)
        outputs = inputs.teacher_outputs
        outputs = outputs["output"] if isinstance(outputs, dict) else outputs
        return np.asarray(outputs)

    def num_flops(self, x):
        return None

    def latencies(self, x, num_threads):
        return None
