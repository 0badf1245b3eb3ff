"""As many zeros as the schedule says, those of least magnitude, and they stay."""

import gzip

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import layers

import keras_distill as kd

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def student_and_data(optimizer="adam", dtype=None):
    student = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(10, activation="relu", name="first", dtype=dtype),
            layers.BatchNormalization(dtype=dtype),
            layers.Dense(3, name="last", dtype=dtype),
        ]
    )
    student.compile(optimizer, CROSS_ENTROPY)
    return student, noise(64, 6), np.arange(64) % 3


def kernels(student):
    return [np.array(layer.kernel) for layer in student.layers if hasattr(layer, "kernel")]


class Recorder(keras.callbacks.Callback):
    """The kernels after each batch, as the next step finds them."""

    def on_train_begin(self, logs=None):
        self.kernels = []

    def on_train_batch_end(self, batch, logs=None):
        self.kernels.append(kernels(getattr(self.model, "student", self.model)))


def smallest(kernel, count):
    """Places of the smallest magnitudes, by sorting in plain Python."""
    places = sorted(np.ndindex(kernel.shape), key=lambda place: abs(float(kernel[place])))
    return set(places[:count])


def zeros(kernel):
    return {tuple(map(int, place)) for place in np.argwhere(kernel == 0)}


class TestWhichWeights:
    def test_each_kernel_loses_its_own_smallest(self):
        """The largest, or random ones, would count the same."""
        student, x, y = student_and_data(keras.optimizers.SGD(0.0))
        before = kernels(student)
        student.fit(x, y, verbose=0, callbacks=[kd.callbacks.Pruning(0.7)])
        for old, new, count in zip(before, kernels(student), (42, 21)):
            assert zeros(new) == smallest(old, count)
            np.testing.assert_array_equal(new[new != 0], old[new != 0])

    def test_all_kernels_compete(self):
        student, x, y = student_and_data(keras.optimizers.SGD(0.0))
        student.get_layer("first").kernel.assign(0.1 * student.get_layer("first").kernel)
        first, last = kernels(student)
        student.fit(x, y, verbose=0, callbacks=[kd.callbacks.Pruning(0.5, is_global=True)])
        flat = np.concatenate([first.ravel(), last.ravel()])
        threshold = np.sort(np.abs(flat))[44]
        for old, new in zip((first, last), kernels(student)):
            np.testing.assert_array_equal(new, np.where(np.abs(old) <= threshold, 0, old))
        assert len(zeros(kernels(student)[0])) > 35

    def test_equal_weights(self):
        """A threshold would take all or none of them."""
        student, x, y = student_and_data(keras.optimizers.SGD(0.0))
        student.get_layer("first").kernel.assign(np.full((6, 10), 0.5))
        student.fit(x, y, verbose=0, callbacks=[kd.callbacks.Pruning(0.25)])
        assert len(zeros(kernels(student)[0])) == 15

    @pytest.mark.parametrize("is_global", [False, True])
    def test_one_weight_stays(self, is_global):
        """round(0.9 * 4) is 4: the student would give one number for all inputs, for ever."""
        student = keras.Sequential([keras.Input((4,)), layers.Dense(64), layers.Dense(1)])
        student.compile(keras.optimizers.SGD(0.0), "mse")
        student.layers[1].kernel.assign(0.001 * noise(64, 1))
        before = kernels(student)
        callbacks = [kd.callbacks.Pruning(0.999, is_global=is_global)]
        student.fit(noise(8, 4), np.zeros(8), verbose=0, callbacks=callbacks)
        for old, new in zip(before, kernels(student)):
            np.testing.assert_array_equal(new, np.where(np.abs(old) == np.abs(old).max(), old, 0))

    def test_only_kernels_that_are_trained(self):
        """Zeros in an embedding, a bias or a normalization would cost much and save little."""
        ids = keras.Input((4,), dtype="int32")
        x = layers.Embedding(9, 6, name="embedding")(ids)
        x = layers.DepthwiseConv1D(2, name="depthwise")(x)
        x = layers.SeparableConv1D(6, 2, name="separable")(x)
        x = layers.MultiHeadAttention(2, 3, name="attention")(x, x)
        frozen = layers.Dense(6, name="frozen", trainable=False)
        x = layers.LSTM(5, name="lstm")(layers.Dense(6, name="whole")(frozen(x)))
        student = keras.Model(ids, layers.Dense(3, name="logits")(x))
        for variable in student.weights:
            variable.assign(1 + np.abs(noise(*variable.shape)))
        student.compile(keras.optimizers.SGD(0.0), CROSS_ENTROPY)
        x = np.random.default_rng(0).integers(0, 9, (8, 4))
        student.fit(
            x, np.zeros(8), verbose=0, callbacks=[kd.callbacks.Pruning(0.5, exclude=("whole",))]
        )
        shares = {v.path: np.mean(np.array(v) == 0) for v in student.weights}
        pruned = {path for path, share in shares.items() if share}
        assert pruned == {
            "separable/pointwise_kernel",
            *(f"attention/{name}/kernel" for name in ("query", "key", "value", "attention_output")),
            "lstm/lstm_cell/kernel",
            "lstm/lstm_cell/recurrent_kernel",
            "logits/kernel",
        }
        assert all(0.45 < shares[path] < 0.55 for path in pruned)


class TestSchedule:
    @pytest.mark.long
    def test_the_papers(self):
        """s_t = s_f + (s_i - s_f) (1 - t / n)^3, in steps of the frequency."""
        student, x, y = student_and_data()
        recorder = Recorder()
        schedule = keras.optimizers.schedules.PolynomialDecay(0.2, 20, 0.9, power=3.0)
        callbacks = [kd.callbacks.Pruning(schedule, frequency=5), recorder]
        student.fit(x, y, batch_size=16, epochs=8, verbose=0, callbacks=callbacks)
        for step, (first, last) in enumerate(recorder.kernels, start=1):
            time = min(step - step % 5, 20)
            sparsity = 0.9 - 0.7 * (1 - time / 20) ** 3
            assert len(zeros(first)) == round(60 * sparsity)
            assert len(zeros(last)) == round(30 * sparsity)

    def test_zeros_stay_zeros(self):
        """The moments of Adam, and weight decay, move weights that have no gradient."""
        student, x, y = student_and_data(keras.optimizers.AdamW(0.1, weight_decay=0.1))
        recorder = Recorder()
        schedule = keras.optimizers.schedules.PolynomialDecay(0.0, 20, 0.8)
        callbacks = [kd.callbacks.Pruning(schedule, frequency=4), recorder]
        history = student.fit(x, y, batch_size=16, epochs=8, verbose=0, callbacks=callbacks)
        for before, after in zip(recorder.kernels, recorder.kernels[1:]):
            assert all(zeros(old) <= zeros(new) for old, new in zip(before, after))
        moved = recorder.kernels[-1][0] != recorder.kernels[-2][0]
        assert moved.sum() == 12
        assert history.history["sparsity"][-1] == pytest.approx(0.8)
        assert history.history["loss"][-1] < history.history["loss"][0]

    @pytest.mark.long_but_first
    @pytest.mark.parametrize(
        "optimizer",
        [
            keras.optimizers.Adam(0.05),
            keras.optimizers.SGD(0.1, momentum=0.9, use_ema=True, ema_momentum=0.9),
        ],
        ids=["adam", "momentum_and_averages"],
    )
    def test_zeros_stay_zeros_where_masks_are_made_anew(self, optimizer):
        """The step has moved them, further than the smallest of the others."""
        student, x, y = student_and_data(optimizer)
        recorder = Recorder()
        callbacks = [kd.callbacks.Pruning(0.5, frequency=4), recorder]
        student.fit(x, y, batch_size=16, epochs=6, verbose=0, callbacks=callbacks)
        for after in (*recorder.kernels[1:], kernels(student)):
            assert list(map(zeros, after)) == list(map(zeros, recorder.kernels[0]))

    def test_the_end_is_exact(self):
        """Between two masks, the student would end with an earlier sparsity."""
        student, x, y = student_and_data()
        schedule = keras.optimizers.schedules.PolynomialDecay(0.0, 7, 0.9)
        callbacks = [kd.callbacks.Pruning(schedule, frequency=5)]
        student.fit(x, y, batch_size=10, verbose=0, callbacks=callbacks)
        assert [len(zeros(kernel)) for kernel in kernels(student)] == [54, 27]

    def test_no_mask_before_the_end(self):
        """The default frequency in a short training: all would be pruned behind the last step."""
        student, x, y = student_and_data()
        schedule = keras.optimizers.schedules.PolynomialDecay(0.0, 16, 0.9)
        fit = {"batch_size": 16, "epochs": 4, "verbose": 0}
        with pytest.warns(UserWarning, match="less than the 16 steps of this fit"):
            student.fit(x, y, **fit, callbacks=[kd.callbacks.Pruning(schedule)])
        # From now on it does not rise.
        student.fit(x, y, **fit, callbacks=[kd.callbacks.Pruning(schedule)])

    def test_a_falling_one_lets_weights_grow_again(self):
        student, x, y = student_and_data()
        schedule = keras.optimizers.schedules.PiecewiseConstantDecay([4], [0.9, 0.5])
        callbacks = [kd.callbacks.Pruning(schedule, frequency=1)]
        student.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=callbacks)
        first, last = (len(zeros(kernel)) for kernel in kernels(student))
        # A unit whose weights are all zero gets no gradient, so not every weight grows.
        assert 30 <= first < 54
        assert 15 <= last < 27

    def test_several_steps_per_execution(self):
        student, x, y = student_and_data()
        student.compile("adam", CROSS_ENTROPY, steps_per_execution=3)
        recorder = Recorder()
        schedule = keras.optimizers.schedules.PolynomialDecay(0.0, 8, 0.9)
        callbacks = [kd.callbacks.Pruning(schedule, frequency=4), recorder]
        student.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=callbacks)
        assert all(zeros(a) <= zeros(b) for a, b in zip(recorder.kernels[0], recorder.kernels[-1]))
        assert [len(zeros(kernel)) for kernel in kernels(student)] == [54, 27]


class TestTraining:
    def test_distiller(self, tmp_path):
        """The student is pruned, not the teacher nor a projector; the file has the zeros."""
        student, x, _ = student_and_data()
        teacher = keras.Sequential(
            [keras.Input((6,)), layers.Dense(8, name="hidden"), layers.Dense(3)]
        )
        before = teacher.get_weights()
        objective = kd.Objective(
            kd.losses.FeatureMSE(), teacher_layer="hidden", student_layer="first", projector="auto"
        )
        distiller = kd.Distiller(
            student=student, teacher=teacher, alpha=0.0, objectives=[objective]
        )
        distiller.compile("adam")
        pruning = kd.callbacks.Pruning(0.5)
        distiller.fit(x, epochs=2, verbose=0, callbacks=[pruning])
        assert [len(zeros(kernel)) for kernel in kernels(student)] == [30, 15]
        assert all(np.all(v != 0) for v in objective.trainable_variables if v.name == "kernel")
        for old, new in zip(before, teacher.get_weights()):
            np.testing.assert_array_equal(old, new)
        student.save(tmp_path / "student.keras")
        loaded = keras.models.load_model(tmp_path / "student.keras", compile=False)
        assert [zeros(kernel) for kernel in kernels(loaded)] == list(map(zeros, kernels(student)))

    @pytest.mark.long
    def test_it_goes_on_from_a_backup(self, tmp_path):
        """Masks made before the weights are restored would be those of random weights."""
        schedule = keras.optimizers.schedules.PolynomialDecay(0.0, 6, 0.8)

        def run(epochs):
            student, x, y = student_and_data()
            backup = kd.callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
            callbacks = [kd.callbacks.Pruning(schedule, frequency=2), backup]
            student.fit(x, y, batch_size=16, epochs=epochs, verbose=0, callbacks=callbacks)
            return kernels(student)

        before, after = run(2), run(3)
        assert [len(zeros(kernel)) for kernel in before] == [48, 24]
        assert list(map(zeros, after)) == list(map(zeros, before))

    def test_peers_that_learn_from_one_another(self):
        """All of them, as any of them may be the one to ship."""
        peers = [student_and_data()[0] for _ in range(2)]
        for number, peer in enumerate(peers):
            peer.name = f"peer_{number}"
        model = kd.teaching.MutualLearning(peers)
        model.compile("adam", CROSS_ENTROPY)
        _, x, y = student_and_data()
        model.fit(x, y, verbose=0, callbacks=[kd.callbacks.Pruning(0.5)])
        for peer in peers:
            assert [len(zeros(kernel)) for kernel in kernels(peer)] == [30, 15]

    @pytest.mark.long
    def test_branches_of_a_trunk(self):
        """The gate between them is for training alone."""

        def dense(*widths, name):
            parts = [layers.Dense(width) for width in widths[1:]]
            return keras.Sequential([keras.Input(widths[:1]), *parts], name=name)

        _, x, y = student_and_data()
        trunk = dense(x.shape[1], 8, name="trunk")
        branches = [dense(8, 6, int(y.max()) + 1, name=name) for name in ("left", "right")]
        model = kd.teaching.NativeEnsemble(trunk=trunk, branches=branches)
        model.compile("adam", CROSS_ENTROPY)
        model.fit(x, y, verbose=0, callbacks=[kd.callbacks.Pruning(0.5)])
        for part in model.students:
            assert all(
                2 * len(zeros(kernel)) == kernel.shape[0] * kernel.shape[1]
                for kernel in kernels(part)
            )
        assert [part.name for part in model.students] == ["trunk", "left", "right"]
        gates = [weight for weight in model.gate.trainable_variables if weight.name == "kernel"]
        assert gates
        assert all(len(zeros(gate)) == 0 for gate in gates)

    @pytest.mark.long
    def test_the_student_of_a_generator(self):
        """The generator is thrown away: zeros in it would save nothing."""
        student, teacher = (student_and_data()[0] for _ in range(2))
        distiller = kd.Distiller(student=student, teacher=teacher, alpha=0.0)
        distiller.compile("adam")
        generator = keras.Sequential([keras.Input((4,)), layers.Dense(6)])
        model = kd.teaching.DataFree(distiller, generator)
        model.compile("adam")
        model.fit(batch_size=8, steps_per_epoch=3, verbose=0, callbacks=[kd.callbacks.Pruning(0.5)])
        assert [len(zeros(kernel)) for kernel in kernels(student)] == [30, 15]
        assert len(zeros(generator.layers[0].kernel)) == 0
        # Averages over the steps, which the optimizer sets at the end, are pruned as well.
        distiller.compile(keras.optimizers.Adam(use_ema=True))
        model.fit(
            batch_size=8, steps_per_epoch=3, verbose=0, callbacks=[kd.callbacks.Pruning(0.75)]
        )
        assert [len(zeros(kernel)) for kernel in kernels(student)] == [45, 22]

    @pytest.mark.long
    def test_two_devices(self, two_devices):
        """Each device has weights of its own; all must have the zeros."""
        with two_devices.scope():
            student, x, y = student_and_data()
            student.compile("adam", CROSS_ENTROPY)
        student.fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=[kd.callbacks.Pruning(0.5)])
        values = student.get_layer("first").kernel.value.values
        assert len(values) == 2
        assert all(len(zeros(np.array(value))) == 30 for value in values)

    def test_mixed_precision(self):
        student, x, y = student_and_data(dtype="mixed_float16")
        student.fit(x, y, verbose=0, callbacks=[kd.callbacks.Pruning(0.5)])
        assert [len(zeros(kernel)) for kernel in kernels(student)] == [30, 15]

    def test_infinite_weights(self):
        """A mask that is a factor would make NaNs of those that are to be zero."""

        class Overflow(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                self.model.get_layer("first").kernel.assign(np.full((6, 10), np.inf))

        student, x, y = student_and_data()
        callbacks = [kd.callbacks.Pruning(0.5), Recorder()]
        student.fit(x, y, batch_size=64, verbose=0, callbacks=[Overflow(), *callbacks])
        assert np.array_equal(np.unique(callbacks[1].kernels[0][0]), [0, np.inf])


def kernels_of_file(path):
    """The 8-bit weights of a file, dequantized with the zero point of each."""
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    found = []
    for details in interpreter.get_tensor_details():
        if details["dtype"] == np.int8 and len(details["shape"]) in (2, 4):
            scales = details["quantization_parameters"]["scales"]
            values = _values(interpreter, details)
            if len(scales) and values is not None and values.size > 60:
                assert not details["quantization_parameters"]["zero_points"].any()
                found.append(values)
    return found


def _values(interpreter, details):
    is_constant = not details["name"].startswith("serving_default")
    try:
        return interpreter.get_tensor(details["index"]) if is_constant else None
    except ValueError:  # An activation that has no memory of its own.
        return None


@pytest.mark.long
def test_zeros_are_zeros_in_8_bits(tmp_path):
    """With a zero point, or a rounding that is not symmetric, they would be small numbers."""
    student = kd.students.plain_cnn((8, 8, 1), 3, num_layers=2, filters=8)
    teacher = kd.students.plain_cnn((8, 8, 1), 3, num_layers=2, filters=8)
    x = np.random.default_rng(0).uniform(0, 255, (64, 8, 8, 1)).astype("float32")
    distiller = kd.Distiller(student=student, teacher=teacher, alpha=0.0)
    distiller.compile(keras.optimizers.Adam(1e-2))
    distiller.fit(x, epochs=2, verbose=0)
    sizes = {}
    for sparsity in (0.0, 0.75):
        with kd.students.quantization_aware(distiller):
            distiller.fit(x, epochs=2, verbose=0, callbacks=[kd.callbacks.Pruning(sparsity)])
        kernel = np.array(student.get_layer("conv_2").kernel)
        assert np.mean(kernel == 0) == sparsity
        path = tmp_path / f"{sparsity}.tflite"
        kd.export_tflite(student, path, quantization="int8", representative_data=x, tolerance=0.2)
        sizes[sparsity] = len(gzip.compress(path.read_bytes(), 9))
        # (filters, height, width, channels) in the file.
        candidates = [v for v in kernels_of_file(path) if v.shape == (8, 3, 3, 8)]
        assert len(candidates) == 1
        in_file = np.moveaxis(candidates[0], 0, -1)
        assert np.all(in_file[kernel == 0] == 0)
    assert sizes[0.75] < sizes[0.0]


class TestBad:
    @pytest.mark.parametrize("sparsity", [1.0, -0.1, float("nan"), "0.5", True])
    def test_sparsity(self, sparsity):
        with pytest.raises(ValueError, match=r"sparsity must be a number in \[0, 1\)"):
            kd.callbacks.Pruning(sparsity)

    def test_frequency(self):
        with pytest.raises(ValueError, match="frequency must be an integer of 1 or more"):
            kd.callbacks.Pruning(0.5, frequency=0)

    @pytest.mark.parametrize("exclude", [5, None, ("last", 5)])
    def test_exclude(self, exclude):
        with pytest.raises(ValueError, match="exclude must be a list of names of layers"):
            kd.callbacks.Pruning(0.5, exclude=exclude)

    def test_is_global(self):
        with pytest.raises(ValueError, match="is_global must be True or False"):
            kd.callbacks.Pruning(0.5, is_global="layer")

    @pytest.mark.long_but_first
    @pytest.mark.parametrize("end", [1.0, -0.2])
    def test_a_schedule_that_leaves_its_range(self, end):
        """It would show hours later, when most of the training is done."""
        student, x, y = student_and_data()
        before = kernels(student)
        schedule = keras.optimizers.schedules.PolynomialDecay(0.0, 40, end)
        with pytest.raises(ValueError, match=r"must be a number in \[0, 1\) at .* at step "):
            student.fit(
                x,
                y,
                batch_size=16,
                epochs=10,
                verbose=0,
                callbacks=[kd.callbacks.Pruning(schedule)],
            )
        for old, new in zip(before, kernels(student)):
            np.testing.assert_array_equal(old, new)
        # As far as this training goes, it stays in its range.
        schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 40, 1.0)
        callbacks = [kd.callbacks.Pruning(schedule, frequency=4)]
        student.fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=callbacks)

    def test_a_schedule_that_goes_on(self):
        """What is left counts: 12 steps are behind, and 4 to come, when the last epoch begins."""
        student, x, y = student_and_data()
        rising = keras.optimizers.schedules.PolynomialDecay(0.0, 16, 0.6)
        callbacks = [kd.callbacks.Pruning(rising, frequency=2)]
        student.fit(x, y, batch_size=16, epochs=3, verbose=0, callbacks=callbacks)
        rising = keras.optimizers.schedules.PolynomialDecay(0.0, 24, 1.0)
        callbacks = [kd.callbacks.Pruning(rising, frequency=2)]
        fit = {"batch_size": 16, "epochs": 5, "initial_epoch": 4, "verbose": 0}
        student.fit(x, y, **fit, callbacks=callbacks)
        assert [len(zeros(kernel)) for kernel in kernels(student)] == [40, 20]  # 16 / 24 of them.

    def test_accumulated_gradients(self):
        """Optimizers that accumulate have no variable of their step."""
        student, x, y = student_and_data()
        student.compile(keras.optimizers.Adam(gradient_accumulation_steps=2), CROSS_ENTROPY)
        student.fit(
            x, y, batch_size=16, verbose=0, callbacks=[kd.callbacks.Pruning(0.5, frequency=1)]
        )
        assert [len(zeros(kernel)) for kernel in kernels(student)] == [30, 15]

    def test_a_schedule_of_unknown_length(self):
        student, x, y = student_and_data()
        dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(8).filter(lambda x, y: True)
        schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 6, 1.0)
        with pytest.raises(ValueError, match="Received: 1 at step 6"):
            student.fit(
                dataset,
                shuffle=False,
                verbose=0,
                callbacks=[kd.callbacks.Pruning(schedule, frequency=3)],
            )

    def test_layers(self):
        """A misspelt name would leave its layer to be pruned."""
        student, x, y = student_and_data()
        with pytest.raises(ValueError, match=r"Received: \['fist'\], which are none of"):
            student.fit(
                x, y, verbose=0, callbacks=[kd.callbacks.Pruning(0.5, exclude=("fist", "last"))]
            )
        with pytest.raises(ValueError, match="must have a kernel that is trained"):
            student.fit(
                x, y, verbose=0, callbacks=[kd.callbacks.Pruning(0.5, exclude=("first", "last"))]
            )
