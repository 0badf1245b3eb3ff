"""Base class of all models whose train step teaches a student."""

import functools
import weakref

import keras
import tensorflow as tf

from keras_distill._arguments import fixed_settings
from keras_distill._keras.distribution import check_num_batches
from keras_distill._keras.distribution import reducible
from keras_distill._keras.loss_config import serialize_losses
from keras_distill._keras.random_states import load_random_states
from keras_distill._keras.random_states import save_random_states
from keras_distill.distillation import batch_specs
from keras_distill.distillation.fit_arguments import check_batch
from keras_distill.distillation.fit_arguments import check_fit
from keras_distill.distillation.fit_arguments import listed
from keras_distill.distillation.fit_arguments import with_class_weight
from keras_distill.distillation.label_checks import explained
from keras_distill.distillation.other_names import check_compile
from keras_distill.distillation.saving import replaced_model_file


class Learner(keras.Model):
    """A Keras model that trains one student, or several, in `fit`.

    A subclass defines its train step and loss, and implements the methods below. They check the
    data before the first step, so that bad data is refused before anything is trained:
    `check_inputs`, `check_classes`, `check_class_weight`, `check_validation`, and the schedules of
    `schedule_checks`.
    """

    # A compiled step contains the values of settings. Those in `fixed` cannot be set later, and
    # `remedy` says what to do instead; setting one in `changeable` makes the steps anew.
    fixed = ()
    changeable = ()
    remedy = "Make a new one with it; what the models have learnt is in them."
    # Keras must not track these attributes: it would make a model in them a part of this one, of
    # its weights, checkpoints and exports, and would wrap the containers of a spec.
    untracked = ("_batch_spec", "_epochs_of_data")

    # Keras's saver must not find these by dir(): they are saved under another name, or not at all.
    unsaved = ("students",)

    _batch_spec = None
    _epochs_of_data = None

    def __setattr__(self, name, value):
        if name in self.untracked:
            object.__setattr__(self, name, value)
            return
        if name in self.fixed and hasattr(self, name):
            fixed_settings.refuse(self, name, value, self.remedy)
        is_changed = name in self.changeable and hasattr(self, name)
        if is_changed:
            value = self.check_setting(name, value)
        super().__setattr__(name, value)
        if is_changed:
            self._make_steps_anew()

    def __dir__(self):
        return [name for name in super().__dir__() if name not in self.unsaved]

    def _make_steps_anew(self):
        # A compiled step still contains the previous value.
        for make in (self.make_train_function, self.make_test_function):
            if getattr(self, make.__name__.removeprefix("make_"), None) is not None:
                make(force=True)

    # What a subclass answers

    @property
    def students(self):
        """Lists the Keras models that learn and are shipped, so quantized and pruned as well."""
        raise NotImplementedError

    def check_setting(self, name, value):
        """Returns the plain value of a setting in `changeable`; `ValueError` if it cannot be."""
        return value

    def check_inputs(self, argument, x, in_training=True):
        """Raises `ValueError` for raw data that only a model's own `fit` would preprocess.

        Args:
            argument: Name of the argument that holds the data, for the error.
            x: The data, or their specs.
            in_training: Whether the data is for training. In evaluation the teacher may not run.
        """

    def check_classes(self, argument, y):
        """Raises `ValueError` for labels, or specs of them, that the students' loss cannot take."""

    def check_class_weight(self, class_weight):
        """Raises `ValueError` for weights of other classes; returns the rank of a label."""
        raise NotImplementedError

    def check_validation(self, has_labels):
        """Raises `ValueError` if there is nothing that validation could measure."""

    def schedule_checks(self):
        """Lists a `ScheduleCheck` for each optimizer whose steps schedules follow."""
        return []

    # Training

    @functools.wraps(keras.Model.compile)
    def compile(self, *args, **kwargs):
        check_compile(kwargs)
        super().compile(*args, **kwargs)

    def compile_from_config(self, config):
        # Keras expects this method of a model that overrides compile().
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    @functools.wraps(keras.Model.fit)
    def fit(self, *args, **kwargs):
        given = with_class_weight(self, check_fit(self, *args, **kwargs))
        checks = [check for check in self.schedule_checks() if check.settings]
        given.arguments["callbacks"] = [*listed(given.arguments["callbacks"]), *checks]
        try:
            return super().fit(*given.args[1:], **given.kwargs)
        except tf.errors.InvalidArgumentError as error:
            raise explained(error) or error from None

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """As `keras.Model.train_on_batch`."""
        check_batch(self, x, y, class_weight)
        return super().train_on_batch(x, y, sample_weight, class_weight, return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """As `keras.Model.test_on_batch`."""
        check_batch(self, x, y, in_training=False)
        return super().test_on_batch(x, y, sample_weight, return_dict)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """As `keras.Model.evaluate`."""
        self.check_inputs("x", x, in_training=False)
        return super().evaluate(x, y, *args, **kwargs)

    def train_step(self, data):
        return reducible(super().train_step(data), self.distribute_strategy)

    def test_step(self, data):
        return reducible(super().test_step(data), self.distribute_strategy)

    def track(self, trackers, values, batch_size):
        """Adds the values of a batch to the means of an epoch.

        Args:
            trackers: Dict from names to `keras.metrics.Mean`.
            values: Dict from some of the names to means over this replica's examples, divided by
                the number of replicas, as Keras divides its losses.
            batch_size: Number of this replica's examples.
        """
        num_replicas = tf.distribute.get_strategy().num_replicas_in_sync
        for name, value in values.items():
            trackers[name].update_state(value * num_replicas, sample_weight=batch_size)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Keras shows the data here, before it makes the step functions.
        self.see_data(iterator, data_batch)

    def see_data(self, iterator=None, data_batch=None):
        """Remembers the specs of a batch, for the checks and builds before the first step.

        Args:
            iterator: Keras's epoch iterator, or None.
            data_batch: A batch of arrays, if there is no iterator.
        """
        self._batch_spec = batch_specs.batch_spec(iterator, data_batch)
        if iterator is not None:
            # A weak reference does not keep the data in memory longer than `fit` does.
            self._epochs_of_data = weakref.ref(iterator)
            check_num_batches(iterator.num_batches, self.distribute_strategy)

    def build_state(self, batch):
        """Builds metrics, losses and optimizer: a step that creates no variables is traced once.

        Args:
            batch: Specs of `(x, y, sample_weight)`, or of the first one or two. If there are
                sparse or ragged tensors, nothing is built here but in the first step.
        """
        if batch_specs.is_dense(batch):
            with self.distribute_strategy.scope():
                self._symbolic_build(data_batch=batch)

    def _get_metrics_result_or_logs(self, logs):
        # Keras takes the results over all replicas only if the step has logged every metric.
        results = self.get_metrics_result()
        return {name: results.get(name, value) for name, value in logs.items()}

    # Saving

    def save(self, filepath, overwrite=True, zipped=None, **kwargs):
        """As `keras.Model.save`, but replaces an existing file in one step by a complete one.

        Raises:
            ValueError: If the name does not end in .keras: other formats do not hold a learner.
        """
        is_keras = str(filepath).endswith(".keras") or str(filepath).startswith("hf://")
        if not is_keras and zipped is not False:
            name = type(self).__name__
            raise ValueError(
                f"filepath must end in .keras, the format in which a {name} is saved. Received: "
                f"filepath={str(filepath)!r}. A student alone is an ordinary model, which has "
                "other formats: distiller.student.save(...)."
            )
        with replaced_model_file(filepath, ".keras", overwrite) as path:
            super().save(path, overwrite, zipped, **kwargs)

    def save_weights(self, filepath, overwrite=True, max_shard_size=None):
        """As `keras.Model.save_weights`, in one step like `save`."""
        with replaced_model_file(filepath, ".weights.h5", overwrite) as path:
            super().save_weights(path, overwrite, max_shard_size)

    def get_compile_config(self):
        """As `keras.Model.get_compile_config`, with the parts of losses that Keras leaves out."""
        config = super().get_compile_config()
        if "loss" in config:
            config["loss"] = serialize_losses(self.loss)
        return config

    def save_own_variables(self, store):
        save_random_states(store, self)

    def load_own_variables(self, store):
        load_random_states(store, self)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**keras.saving.deserialize_keras_object(config, custom_objects=custom_objects))
