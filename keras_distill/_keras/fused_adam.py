"""Adam with one kernel for each variable, where Keras's has a dozen."""

import keras
import tensorflow as tf
from keras import ops


class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` without AMSGrad; its steps differ from Keras's by rounding.

    Keras computes a step with some twelve operations, each of which reads and writes all weights.
    For large embeddings on a CPU, this takes as long as the model. TensorFlow's kernel reads and
    writes them once.
    """

    def update_step(self, gradient, variable, learning_rate):
        dtype = variable.dtype
        place = self._get_variable_index(variable)
        step = ops.cast(self.iterations + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[place].value.handle,
            v=self._velocities[place].value.handle,
            beta1_power=ops.power(ops.cast(self.beta_1, dtype), step),
            beta2_power=ops.power(ops.cast(self.beta_2, dtype), step),
            lr=ops.cast(learning_rate, dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            # Embeddings have sparse gradients; Keras's step makes them dense as well.
            grad=tf.convert_to_tensor(tf.cast(gradient, dtype)),
        )
