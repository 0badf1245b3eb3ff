"""Distillation without data: a generator makes the transfer set while the student learns."""

import random
import types

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.checks import check_seed
from keras_distill._arguments.schedules import NOT_NEGATIVE
from keras_distill._arguments.schedules import check_number
from keras_distill._arguments.schedules import value_at
from keras_distill._keras.distribution import reducible
from keras_distill._keras.optimizer_steps import batches_seen
from keras_distill._keras.random_states import load_random_states
from keras_distill._keras.random_states import save_random_states
from keras_distill.callbacks.schedule_check import ScheduleCheck
from keras_distill.data.inputs import DistillationInputs
from keras_distill.distillation import first_batch
from keras_distill.distillation.distiller import Distiller
from keras_distill.distillation.fit_arguments import listed
from keras_distill.distillation.learner import Learner
from keras_distill.distillation.teacher_pass import TeacherPass
from keras_distill.teaching.data_free.generator_checks import check_generator
from keras_distill.teaching.data_free.generator_checks import check_logits
from keras_distill.teaching.data_free.generator_checks import check_reads
from keras_distill.teaching.data_free.generator_checks import check_teacher
from keras_distill.teaching.data_free.generator_losses import activation_loss
from keras_distill.teaching.data_free.generator_losses import entropy_loss
from keras_distill.teaching.data_free.generator_losses import one_hot_loss


@keras.saving.register_keras_serializable(package="keras_distill")
class DataFree(Learner):
    """Data-free learning (DAFL): a generator learns to make inputs that the teacher recognises.

    ```
    x         = generator(noise),  noise ~ N(0, 1)
    generator = one_hot_weight * mean_i one_hot_i + activation_weight * mean_i activation_i
                + entropy_weight * entropy
    one_hot   = -log max_c p_ic                        the teacher shall be sure,
    activation = -mean |features_i|                    its features excited,
    entropy   = sum_c p_c log p_c / log(classes)       all classes as frequent
    p_i       = softmax(teacher(x_i)),  p = mean_i p_i
    ```

    In each step the generator makes a batch and is trained on its loss. The gradient passes
    through the teacher, which runs once and is never changed. Then the Distiller takes its step on
    the same batch. `fit` needs no data: `fit(steps_per_epoch=..., epochs=...)`. `evaluate` and
    `predict` use the student.

    Args:
        distiller: A `Distiller`, compiled with the student's optimizer and metrics. Its teacher
            has one output, logits `(batch, classes)`, and gradients to its inputs: it is a
            `keras.Model`, or a function of TensorFlow. Generated batches have no labels, so alpha
            should be 0. The Distiller defines the soft loss, the objectives and their history.
        generator: A built `keras.Model` from noise `(batch, ...)` to the inputs of teacher and
            student, in their range: let it end in a sigmoid for pixels from 0 to 1. It is
            trained in place.
        features: Path of the teacher's layer for the activation loss; in the paper, the last
            layer before the classes. None leaves this loss out.
        one_hot_weight: Weight from 0, a float or a `LearningRateSchedule` of the generator's
            steps. Defaults to 1.
        activation_weight: As one_hot_weight, for the activation loss. None means 0.1 if features
            are given; without features it must be None.
        entropy_weight: As one_hot_weight. Defaults to 5.
        seed: Integer seed of the noise. None draws one, which `keras.utils.set_random_seed`
            fixes. Defaults to 0.
        name: Name of the model.

    compile() takes the generator's optimizer. A `SwapEMAWeights` swaps the averages of this
    optimizer only. At the end of `fit` each optimizer with use_ema sets its own model to its
    averages.

    History: the Distiller's history, generator_loss, and the generator's losses without their
    weights: one_hot_loss, activation_loss and entropy_loss.

    Raises:
        ValueError: If an argument is out of range, the teacher does not give logits of classes,
            or teacher or student cannot read the generator's output.

    Example:

    >>> def dense(inputs, outputs):
    ...     return keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(outputs)])
    >>> distiller = Distiller(student=dense(5, 3), teacher=dense(5, 3), alpha=0.0)
    >>> distiller.compile("adam")
    >>> data_free = DataFree(distiller, generator=dense(8, 5))
    >>> data_free.compile(keras.optimizers.Adam(1e-3))
    >>> sorted(data_free.fit(batch_size=16, steps_per_epoch=2, verbose=0).history)
    ['entropy_loss', 'generator_loss', 'hard_loss', 'loss', 'one_hot_loss', 'soft_loss']

    A saved and loaded model continues training once `data_free.distiller.teacher` is set.

    Reference: Chen et al. 2019, https://arxiv.org/abs/1904.01186. Deviations: the entropy is
    relative to its largest value, where the paper divides it by the number of classes; for ten
    classes this equals the authors' code, which uses logarithms to the base 10 and these
    weights. The activation loss is the mean of the features instead of their sum, as in that code.
    The soft loss and its temperature are the Distiller's; the paper's temperature is 1. With
    several devices, each computes the entropy of its own part of the batch.
    """

    fixed = ("distiller", "generator", "features", "seed")

    def __init__(
        self,
        distiller,
        generator,
        *,
        features=None,
        one_hot_weight=1.0,
        activation_weight=None,
        entropy_weight=5.0,
        seed=0,
        name="data_free",
    ):
        if not isinstance(distiller, Distiller):
            raise ValueError(
                "distiller must be a keras_distill.Distiller, such as Distiller(student=..., "
                f"teacher=..., alpha=0.0). Received: distiller={distiller!r}"
            )
        check_generator(generator, distiller)
        if features is None and activation_weight is not None:
            raise ValueError(
                "activation_weight is that of the features, without which there is no activation "
                f"loss. Received: activation_weight={activation_weight!r} and features=None. Give "
                "features, the path of a teacher's layer, or leave activation_weight out."
            )
        weights = {"one_hot_loss": one_hot_weight}
        if features is not None:
            weights["activation_loss"] = 0.1 if activation_weight is None else activation_weight
        weights["entropy_loss"] = entropy_weight
        for loss, weight in weights.items():
            weights[loss] = check_number(_argument(loss), weight, NOT_NEGATIVE)
        seed = check_seed("seed", seed, optional=True)
        # Keras scales the loss if this policy is mixed_float16.
        super().__init__(name=name, dtype=generator.dtype_policy, autocast=False)
        self.distiller = distiller
        self.generator = generator
        self.features = features
        self._loss_weights = weights
        self.seed = random.randrange(2**31) if seed is None else seed
        self._trackers = {
            loss: keras.metrics.Mean(name=loss) for loss in ("generator_loss", *weights)
        }
        self._teacher_pass = TeacherPass(None, ())
        self._student_function = None
        self.built = True

    @property
    def students(self):
        return self.distiller.students

    def call(self, inputs, training=None):
        """Returns the student's outputs."""
        return self.distiller(inputs, training=training)

    def compile(self, optimizer="adam", **kwargs):
        """As `keras.Model.compile`, with the generator's optimizer.

        Args:
            optimizer: Keras optimizer of the generator. The student's optimizer and the metrics
                belong to the Distiller.
            **kwargs: run_eagerly, jit_compile, steps_per_execution and auto_scale_loss.
        """
        if taken := {"loss", "loss_weights", "metrics", "weighted_metrics"}.intersection(kwargs):
            raise ValueError(
                "compile() of DataFree has the generator's optimizer, and the losses are fixed; "
                f"the student's settings go to distiller.compile(). Received: {sorted(taken)}"
            )
        super().compile(optimizer, **kwargs)
        self.optimizer.build(self.generator.trainable_variables)

    def get_compile_config(self):
        taken = ("optimizer", "run_eagerly", "jit_compile", "steps_per_execution")
        config = super().get_compile_config()
        return {name: config[name] for name in taken if name in config}

    def fit(self, x=None, *, batch_size=None, steps_per_epoch=None, **kwargs):
        """As `keras.Model.fit`, without data.

        Args:
            x: None for noise drawn anew in each step, or a `tf.data.Dataset` of batches of noise.
            batch_size: Examples to generate in a step. If x is None, it defaults to the paper's
                512.
            steps_per_epoch: Steps of an epoch, needed if x is None.
            **kwargs: More arguments of `keras.Model.fit`. validation_data is for the student.
        """
        if x is None:
            if steps_per_epoch is None:
                raise ValueError(
                    "fit() without data needs steps_per_epoch, as noise has no end. Received: "
                    "x=None, steps_per_epoch=None."
                )
            x = self._noise(512 if batch_size is None else batch_size)
            batch_size = None
        # At the end of training, before other callbacks, the student's optimizer sets the weights
        # to its averages, as Keras does for this model's optimizer.
        averages = keras.callbacks.LambdaCallback(on_train_end=self._set_averages)
        kwargs["callbacks"] = [averages, *listed(kwargs.get("callbacks"))]
        # Noise needs no shuffling; for a data set, Keras would warn that it cannot shuffle it.
        kwargs = {"shuffle": False, **kwargs}
        return super().fit(x, batch_size=batch_size, steps_per_epoch=steps_per_epoch, **kwargs)

    def _set_averages(self, logs=None):
        self.distiller.optimizer.finalize_variable_values(self.distiller.trainable_weights)

    @property
    def trainable_weights(self):
        """The generator's weights: at the end of `fit`, Keras sets these to their averages."""
        return self.generator.trainable_weights

    def check_validation(self, has_labels):
        self.distiller.check_validation(has_labels)

    def check_inputs(self, argument, x, in_training=True):
        if not in_training:  # In training, the inputs are noise.
            self.distiller.check_inputs(argument, x, in_training=False)

    def check_classes(self, argument, y):
        if argument == "y":
            raise ValueError("DataFree learns from noise, without labels: x must have no y.")
        self.distiller.check_classes(argument, y)

    @property
    def loss_weights(self):
        """Weights by loss. They are read-only: a compiled step would keep the old ones."""
        return types.MappingProxyType(self._loss_weights)

    def check_class_weight(self, class_weight):
        return self.distiller.check_class_weight(class_weight)

    def schedule_checks(self):
        settings = [(_argument(loss), w, NOT_NEGATIVE) for loss, w in self.loss_weights.items()]
        return [ScheduleCheck(self, settings), *self.distiller.schedule_checks()]

    def evaluate(self, *args, **kwargs):
        """As `distiller.evaluate`: the student's loss and metrics."""
        kwargs.pop("_use_cached_eval_dataset", None)
        return self.distiller.evaluate(*args, **kwargs)

    def test_on_batch(self, *args, **kwargs):
        """As `distiller.test_on_batch`: the student's loss and metrics."""
        return self.distiller.test_on_batch(*args, **kwargs)

    def predict(self, *args, **kwargs):
        """As `distiller.predict`: the student's outputs."""
        return self.distiller.predict(*args, **kwargs)

    def predict_on_batch(self, x):
        """As `distiller.predict_on_batch`: the student's outputs."""
        return self.distiller.predict_on_batch(x)

    def export(self, *args, **kwargs):
        """As `distiller.export`: the student alone."""
        return self.distiller.export(*args, **kwargs)

    def _noise(self, batch_size):
        """Endless batches of noise, which continue where the generator's training stopped."""
        batch_size = check_integer("batch_size", batch_size)
        shape = (batch_size, *self.generator.input_shape[1:])
        if None in shape:
            raise ValueError(
                "generator must read noise of a known shape for fit() without data. Received: "
                f"generator.input_shape={self.generator.input_shape}. Give x, a tf.data.Dataset."
            )
        steps = tf.data.Dataset.from_tensors(0).flat_map(
            # The step is read when training begins: a callback may restore another step first.
            lambda _: tf.data.Dataset.counter(
                tf.numpy_function(lambda: np.int64(batches_seen(self.optimizer)), [], tf.int64)
            )
        )
        return steps.map(
            lambda index: tf.random.stateless_normal(shape, (self.seed, index)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    # What Keras calls in a step

    def train_step(self, data):
        noise, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            inputs = self.generator(noise, training=True)
            outputs, activations = self._teacher_pass.differentiable(inputs)
            losses = self._generator_losses(outputs, activations)
            # Keras divides losses by the number of replicas, so that their sum is the mean.
            loss = self._aggregate_additional_loss(losses["generator_loss"])
            loss = self.optimizer.scale_loss(loss)
        variables = self.generator.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        for name, value in losses.items():
            self._trackers[name].update_state(value)
        # The student learns from the same pass of the teacher.
        batch = DistillationInputs(inputs, (), {"output": outputs, **activations})
        logs = self.distiller.train_step(batch)
        own = {name: tracker.result() for name, tracker in self._trackers.items()}
        return {**logs, **reducible(own, self.distribute_strategy)}

    def _generator_losses(self, logits, activations):
        losses = {"one_hot_loss": ops.mean(one_hot_loss(logits))}
        if self.features is not None:
            losses["activation_loss"] = ops.mean(activation_loss(activations[self.features]))
        losses["entropy_loss"] = entropy_loss(logits)
        step = self.optimizer.iterations
        total = sum(value_at(self.loss_weights[name], step) * losses[name] for name in losses)
        return {"generator_loss": total + sum(self.generator.losses), **losses}

    @property
    def metrics(self):
        return [*self._trackers.values(), *self.distiller.metrics]

    # Before the first step

    def make_train_function(self, force=False):
        # The Distiller has another train function after a new teacher or a new compile().
        is_new = self.distiller.train_function is not self._student_function
        if self.train_function is not None and not (is_new or force):
            return
        if not self.distiller.compiled:
            raise ValueError(
                "The distiller must be compiled with the student's optimizer: call "
                'distiller.compile("adam") before data_free.fit().'
            )
        if self.distiller.optimizer is self.optimizer:
            raise ValueError(
                "Student and generator must have an optimizer each: give distiller.compile() and "
                f"data_free.compile() one of their own. Received: {self.optimizer.name!r} in both."
            )
        if not self.distiller.needs_teacher:
            raise ValueError(
                "There is nothing to learn from: noise has no labels, and the distiller's alpha is "
                "1, without objectives. Give it alpha=0.0."
            )
        teacher = self.distiller.teacher
        check_teacher(teacher)
        check_reads("teacher", teacher, self.generator)
        paths = {path for o in self.distiller.objectives for path in o.teacher_paths}
        paths |= set() if self.features is None else {self.features}
        self._teacher_pass = TeacherPass(teacher, paths)
        example = np.zeros((1, *self.generator.output_shape[1:]), "float32")
        self.distiller.see_data(data_batch=(example,))
        self.distiller.make_train_function()
        self._student_function = self.distiller.train_function
        self.supports_jit = self._teacher_pass.supports_jit
        super().make_train_function(force=True)
        self.train_function = first_batch.checked(
            self.train_function, self._check_batch, self.steps_per_execution
        )

    def _check_batch(self, batch):
        noise, y, _ = keras.utils.unpack_x_y_sample_weight(
            first_batch.local_batch(batch, self.distribute_strategy)
        )
        if y is not None:
            self.check_classes("y", y)
        # The scope discards changes of state, such as batch normalization's moving statistics.
        with self.distribute_strategy.scope(), keras.StatelessScope():
            inputs = self.generator(noise, training=False)
            logits, activations = self._teacher_pass.differentiable(inputs)
            check_logits(logits, self.distiller.teacher)
            self._generator_losses(logits, activations)
        self.distiller.check_batch((DistillationInputs(inputs),))

    # Saving

    def save_own_variables(self, store):
        save_random_states(store, self.generator)

    def load_own_variables(self, store):
        load_random_states(store, self.generator)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        weights = {
            loss.replace("_loss", "_weight"): serialize(weight)
            for loss, weight in self.loss_weights.items()
        }
        return {
            "distiller": serialize(self.distiller),
            "generator": serialize(self.generator),
            "features": self.features,
            **weights,
            "seed": self.seed,
            "name": self.name,
        }


def _argument(loss):
    return loss.replace("_loss", "_weight")
