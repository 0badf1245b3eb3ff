"""Stages are Distillers one after another, whether or not they were killed in between."""

import contextlib
import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_distill as kd
from keras_distill.teaching import Stage
from keras_distill.teaching import fit_stages

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 5)).astype("float32")
Y = RNG.integers(0, 3, 24)
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
FIT = {"batch_size": 8, "shuffle": False, "verbose": 0}


def network(seed, width=4, **kwargs):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(width, "relu", name="hint"),
            layers.Dropout(0.3, name="dropout"),
            layers.BatchNormalization(name="norm"),
            layers.Dense(3, name="logits", **kwargs),
        ],
        name=f"network_{width}",
    )


def hint():
    projector = layers.Dense(6, kernel_initializer=keras.initializers.GlorotUniform(seed=3))
    return kd.Objective(
        kd.losses.FeatureMSE(),
        teacher_layer="hint",
        student_layer="hint",
        projector=projector,
        name="hint",
    )


def two_stages(student, **changed):
    first = {
        "optimizer": keras.optimizers.Adam(0.01),
        "alpha": 1.0,
        "objectives": [hint()],
        "frozen": student.layers[1:],
    }
    return [
        Stage("hint", epochs=3, **first | changed),
        Stage("outputs", epochs=2, optimizer="sgd", loss=CROSS_ENTROPY, alpha=0.3, temperature=2.0),
    ]


def objective(teacher, student):
    return kd.Objective(
        kd.losses.FeatureMSE(), teacher_layer=teacher, student_layer=student, name="late"
    )


# The values of a batch contradict it.
MISLEADING = kd.losses.SoftTargetKL(student_from_logits=False)
TO_TWO = keras.optimizers.schedules.PolynomialDecay(0.0, 20, 2.0)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return X[8 * index : 8 * (index + 1)], Y[8 * index : 8 * (index + 1)]


class Shuffled(keras.utils.PyDataset):
    """Is in another order after each epoch."""

    def __init__(self):
        super().__init__()
        self._rng, self._order = np.random.default_rng(4), np.arange(24)

    def __len__(self):
        return 3

    def __getitem__(self, index):
        taken = self._order[8 * index : 8 * (index + 1)]
        return X[taken], Y[taken]

    def on_epoch_end(self):
        self._rng.shuffle(self._order)


def drawn():
    rng = np.random.default_rng(4)
    while True:
        taken = rng.choice(24, 8)
        yield X[taken], Y[taken]


def in_another_order_each_epoch(kind):
    """Data, and what `fit` needs with it."""
    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(24, seed=2)
    return {
        "dataset": lambda: (dataset.batch(8), {}),
        "endless": lambda: (dataset.repeat().batch(8), {"steps_per_epoch": 2}),
        "py": lambda: (Shuffled(), {}),
        "generator": lambda: (drawn(), {"steps_per_epoch": 3}),
    }[kind]()


@pytest.fixture(scope="module")
def teacher():
    return network(1, width=6)


def assert_equal(model, other):
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


class KilledError(Exception):
    """Ends a run as a kill does."""


def kill_at(number):
    """A callback that ends the run at the beginning of an epoch, counted over all stages."""
    begun = []

    def begin(epoch, logs):
        begun.append(epoch)
        if len(begun) > number:
            raise KilledError

    return keras.callbacks.LambdaCallback(on_epoch_begin=begin)


class TestFitStages:
    @pytest.mark.long
    def test_is_two_distillers_one_after_another(self, teacher):
        """To the last bit: weights, statistics, histories; the second learns from labels too."""
        student, by_hand = network(2), network(2)
        histories = fit_stages(two_stages(student), X, Y, student=student, teacher=teacher, **FIT)

        for layer in by_hand.layers[1:]:
            layer.trainable = False
        first = kd.Distiller(student=by_hand, teacher=teacher, alpha=1.0, objectives=[hint()])
        first.compile(keras.optimizers.Adam(0.01))
        one = first.fit(X, epochs=3, **FIT).history
        for layer in by_hand.layers[1:]:
            layer.trainable = True
        second = kd.Distiller(student=by_hand, teacher=teacher, alpha=0.3, temperature=2.0)
        second.compile("sgd", CROSS_ENTROPY)
        two = second.fit(X, Y, epochs=2, **FIT).history

        assert_equal(student, by_hand)
        assert histories == {"hint": one, "outputs": two}
        assert one["hint"][-1] < one["hint"][0]

    def test_what_no_loss_reads_stays(self, teacher):
        """Neither weight decay, nor regularisers, nor batch statistics move what is frozen."""
        student = network(2, kernel_regularizer=keras.regularizers.L2(1.0))
        before = [layer.get_weights() for layer in student.layers]
        stages = two_stages(student, optimizer="adamw")[:1]
        fit_stages(stages, X, Y, student=student, teacher=teacher, **FIT)
        assert np.abs(student.layers[0].get_weights()[0] - before[0][0]).max() > 1e-4
        for layer, weights in zip(student.layers[2:], before[2:]):
            for one, two in zip(layer.get_weights(), weights, strict=True):
                np.testing.assert_array_equal(one, two)

    def test_layers_are_trainable_again(self, teacher):
        """What was not, by the user, is not; also when a stage fails."""
        inner = keras.Sequential([layers.Dense(4), layers.Dense(3)], name="logits")
        student = keras.Sequential([keras.Input((5,)), layers.Dense(4, name="hint"), inner])
        inner.layers[0].trainable = False
        stages = [Stage("hint", epochs=1, objectives=[hint()], alpha=1.0, frozen=[inner])]
        with pytest.raises(KilledError):
            fit_stages(
                stages, X, Y, student=student, teacher=teacher, callbacks=[kill_at(0)], **FIT
            )
        assert [layer.trainable for layer in inner.layers] == [False, True]
        assert len(student.trainable_weights) == 4

    @pytest.mark.long
    def test_labels_of_a_dataset(self, teacher):
        """A stage without a loss learns the same with and without labels; weights stay."""
        weights = RNG.uniform(size=24).astype("float32")
        students = [network(2) for _ in range(2)]
        for student, data in zip(students, ((X, Y, weights), ((X, None, weights)))):
            x = tf.data.Dataset.from_tensor_slices(tuple(part for part in data if part is not None))
            if data[1] is None:
                x = x.map(lambda x, weights: (x, None, weights))
            stages = two_stages(student)[:1]
            fit_stages(
                stages, x.batch(8), student=student, teacher=teacher, verbose=0, shuffle=False
            )
        assert_equal(*students)
        unweighted = network(2)
        x = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
        fit_stages(
            two_stages(unweighted)[:1],
            x,
            student=unweighted,
            teacher=teacher,
            verbose=0,
            shuffle=False,
        )
        assert np.abs(unweighted.get_weights()[0] - students[0].get_weights()[0]).max() > 1e-4

    @pytest.mark.long
    def test_weights_without_labels_on_two_devices(self, teacher, two_devices):
        """Batches of several devices carry no None."""
        weights = RNG.uniform(size=24).astype("float32")
        data = tf.data.Dataset.from_tensor_slices((X, Y, weights)).batch(8)
        found = []
        for strategy in (tf.distribute.get_strategy(), two_devices):
            keras.utils.set_random_seed(2)
            with strategy.scope():
                student = keras.Sequential([keras.Input((5,)), layers.Dense(3, name="logits")])
                model = keras.models.clone_model(teacher)
            model.set_weights(teacher.get_weights())
            objectives = [
                kd.Objective(
                    kd.losses.FeatureMSE(),
                    teacher_layer="logits",
                    student_layer="logits",
                    name="hint",
                )
            ]
            optimizer = keras.optimizers.SGD(0.1)
            stages = [Stage("a", epochs=1, optimizer=optimizer, alpha=1.0, objectives=objectives)]
            fit_stages(stages, data, student=student, teacher=model, verbose=0, shuffle=False)
            found.append(student.get_weights())
        for one, two in zip(*found):
            np.testing.assert_allclose(one, two, atol=1e-5)

    @pytest.mark.long
    def test_stages_used_again_start_anew(self, teacher):
        """An optimizer carries no step and no moment from one student to the next."""
        students = [network(2) for _ in range(2)]
        stages = [Stage("all", epochs=2, optimizer=keras.optimizers.Adam(0.1), alpha=0.0)]
        for student in students:
            fit_stages(stages, X, student=student, teacher=teacher, **FIT)
        assert_equal(*students)

    @pytest.mark.long
    def test_seed(self, teacher):
        """New projectors start the same in a later stage whether an earlier one has run."""
        found = []
        for names in (["first", "last"], ["last"]):
            student = network(2)
            objective = kd.Objective(
                kd.losses.FeatureMSE(), teacher_layer="hint", student_layer="hint", projector="auto"
            )
            last = {"alpha": 1.0, "objectives": [objective], "frozen": student.layers[1:]}
            stages = {
                "first": Stage("first", epochs=1, alpha=0.0),
                "last": Stage("last", epochs=1, optimizer=keras.optimizers.SGD(0.0), **last),
            }
            run = [stages[name] for name in names]
            fit_stages(run, X, student=student, teacher=teacher, seed=5 - len(names), **FIT)
            found.append(objective.projector.kernel.numpy())
        np.testing.assert_array_equal(*found)

    def test_the_largest_seed_of_keras(self, teacher):
        """The second stage had a larger one, and failed behind the training of the first."""
        student = network(2)
        histories = fit_stages(
            two_stages(student), X, Y, student=student, teacher=teacher, seed=2**32 - 1, **FIT
        )
        assert list(histories) == ["hint", "outputs"]


@pytest.fixture(scope="module")
def unbroken(teacher):
    student = network(2)
    return student, fit_stages(two_stages(student), X, Y, student=student, teacher=teacher, **FIT)


class TestResuming:
    @pytest.mark.long
    def test_histories_and_callbacks_are_those_without_a_folder(self, teacher, tmp_path):
        """Values for each class, and what a callback adds to the log."""
        histories = []
        for folder in (None, tmp_path / "run"):
            student = network(2)
            f1 = keras.metrics.F1Score(average=None)
            loss = keras.losses.CategoricalCrossentropy(from_logits=True)
            stages = [Stage("all", epochs=2, loss=loss, metrics=[f1], alpha=0.5)]
            schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))
            labels, how = np.eye(3)[Y], {"callbacks": schedule, **FIT}
            history = fit_stages(
                stages, X, labels, student=student, teacher=teacher, directory=folder, **how
            )
            histories.append(history["all"])
        without, with_folder = histories
        assert list(with_folder) == list(without)
        for name, values in without.items():
            np.testing.assert_allclose(with_folder[name], np.array(values), rtol=1e-5)
        assert np.shape(with_folder["f1_score"]) == (2, 3)
        np.testing.assert_allclose(with_folder["learning_rate"], [0.1, 0.05], rtol=1e-6)

    # Inside the first stage, and between the stages.
    @pytest.mark.parametrize("killed", [2, 3])
    @pytest.mark.long
    def test_goes_on(self, teacher, unbroken, killed, tmp_path):
        """With dropout, Adam, a projector and batch statistics: the weights of one run."""
        student = network(2)
        with pytest.raises(KilledError):
            fit_stages(
                two_stages(student),
                X,
                Y,
                student=student,
                teacher=teacher,
                directory=tmp_path,
                callbacks=[kill_at(killed)],
                **FIT,
            )
        resumed = network(77)
        begun = []
        count = keras.callbacks.LambdaCallback(on_epoch_begin=lambda e, logs: begun.append(e))
        histories = fit_stages(
            two_stages(resumed),
            X,
            Y,
            student=resumed,
            teacher=teacher,
            directory=tmp_path,
            callbacks=[count],
            **FIT,
        )
        assert_equal(resumed, unbroken[0])
        assert len(begun) == 5 - killed
        assert histories.keys() == unbroken[1].keys()
        for name, history in unbroken[1].items():
            for key, values in history.items():
                np.testing.assert_allclose(histories[name][key], values, rtol=1e-6)

    @pytest.mark.parametrize(
        ("kind", "killed"),
        [
            pytest.param("dataset", 4, marks=pytest.mark.long),
            pytest.param("dataset", 2, marks=pytest.mark.long),
            pytest.param("endless", 2, marks=pytest.mark.long),
            pytest.param("py", 4, marks=pytest.mark.long),
            pytest.param("generator", 2, marks=pytest.mark.long),
        ],
    )
    def test_shuffled_data_go_on(self, teacher, kind, killed, tmp_path):
        """In the order of an unbroken run, also where the first stage is not run again."""
        weights = []
        for runs in ([None], [killed, None]):
            for kill in runs:
                student = network(2)
                _, second = two_stages(student)
                stages = [Stage("first", epochs=3, loss=CROSS_ENTROPY, alpha=0.5)]
                # Keras reads ahead of data without an end, so that no two second stages are equal.
                stages += [] if kind in ("endless", "generator") else [second]
                data, how = in_another_order_each_epoch(kind)
                with pytest.raises(KilledError) if kill else contextlib.nullcontext():
                    fit_stages(
                        stages,
                        data,
                        student=student,
                        teacher=teacher,
                        directory=tmp_path / f"run_{len(runs)}",
                        callbacks=[kill_at(kill)] if kill else [],
                        seed=1,
                        verbose=0,
                        shuffle=False,
                        **how,
                    )
            weights.append(student)
        assert_equal(*weights)

    @pytest.mark.long
    def test_projector_of_two_stages(self, teacher, tmp_path):
        """One that both stages have goes on, too, when the first one is read from the folder."""

        def stages(student):
            both, frozen = hint(), student.layers[1:]
            return [
                Stage(name, epochs=1, alpha=1.0, objectives=[both], frozen=frozen)
                for name in ("first", "second")
            ]

        student, killed, resumed = network(2), network(2), network(77)
        fit_stages(stages(student), X, student=student, teacher=teacher, **FIT)
        end = {"callbacks": [kill_at(1)], "directory": tmp_path}
        with pytest.raises(KilledError):
            fit_stages(stages(killed), X, student=killed, teacher=teacher, **end, **FIT)
        fit_stages(stages(resumed), X, student=resumed, teacher=teacher, directory=tmp_path, **FIT)
        assert_equal(student, resumed)

    def test_same_objects_again(self, teacher, tmp_path):
        """In a notebook: built projectors and a compiled student are no other run."""
        student = network(2)
        student.compile("adam", "mse")
        objective = kd.Objective(
            kd.losses.FeatureMSE(), teacher_layer="hint", student_layer="hint", projector="auto"
        )
        stages = [
            Stage("a", epochs=1, alpha=1.0, objectives=[objective], frozen=student.layers[1:])
        ]
        first = fit_stages(stages, X, student=student, teacher=teacher, directory=tmp_path, **FIT)
        weights = student.get_weights()
        student.compile("sgd", "mse")
        again = fit_stages(stages, X, student=student, teacher=teacher, directory=tmp_path, **FIT)
        assert first == again
        for one, two in zip(weights, student.get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)

    @pytest.mark.long
    def test_another_run(self, teacher, tmp_path):
        """Nothing of a folder is used for other stages, another teacher or another student."""
        student = network(2)
        fit_stages(
            two_stages(student), X, Y, student=student, teacher=teacher, directory=tmp_path, **FIT
        )
        before = student.get_weights()
        fewer, other = two_stages(student)[:1], two_stages(student)
        other[1] = Stage("outputs", epochs=2, optimizer="sgd", loss=CROSS_ENTROPY, alpha=0.4)
        longer = two_stages(student)
        longer[0] = two_stages(student, frozen=[])[0]
        wide = network(2, width=5)
        for stages, who, what, text in (
            (fewer, student, teacher, r"stages was \['hint', 'outputs'\], is \['hint'\]"),
            (other, student, teacher, "outputs: alpha was 0.3, is 0.4"),
            (longer, student, teacher, "hint: frozen"),
            (two_stages(student), student, network(9, width=6), "the teacher differs"),
            (two_stages(wide), wide, teacher, "the student differs"),
        ):
            with pytest.raises(ValueError, match=f"folder of another training.*{text}"):
                fit_stages(stages, X, Y, student=who, teacher=what, directory=tmp_path, **FIT)
        # NumPy's integers are the same settings.
        same = {**FIT, "batch_size": np.int64(FIT["batch_size"])}
        fit_stages(
            two_stages(student), X, Y, student=student, teacher=teacher, directory=tmp_path, **same
        )
        for how, text in (
            ({**FIT, "seed": 7}, "seed was not given, is 7"),
            ({**FIT, "batch_size": 3}, r"batch_size was \d+, is 3"),
        ):
            with pytest.raises(ValueError, match=f"folder of another training.*{text}"):
                fit_stages(
                    two_stages(student),
                    X,
                    Y,
                    student=student,
                    teacher=teacher,
                    directory=tmp_path,
                    **how,
                )
        for one, two in zip(before, student.get_weights()):
            np.testing.assert_array_equal(one, two)

    def test_folder_with_other_files(self, teacher, tmp_path):
        (tmp_path / "notes").write_text("mine")
        student = network(2)
        with pytest.raises(ValueError, match="new folder, or that of a training to go on with"):
            fit_stages(
                two_stages(student),
                X,
                Y,
                student=student,
                teacher=teacher,
                directory=tmp_path,
                **FIT,
            )

    @pytest.mark.long
    def test_kill_9(self, unbroken, tmp_path):
        """A process that is killed, inside a stage and between them, loses nothing whole."""
        script = pathlib.Path(__file__).with_name("kill_stages.py")
        # Inside the first stage; of what is left then, inside the second.
        for kill in ("1", "3", "none"):
            done = subprocess.run(
                [sys.executable, script, tmp_path, kill],
                capture_output=True,
                text=True,
                timeout=240,
            )
            assert done.returncode == (0 if kill == "none" else -9), done.stderr
        found = np.load(tmp_path / "weights.npz")
        for name, weight in zip(found.files, unbroken[0].get_weights(), strict=True):
            np.testing.assert_allclose(found[name], weight, atol=1e-6)
        log = json.loads((tmp_path / "run" / "stage_1.json").read_text())
        assert list(log) == ["0", "1", "2"]


class TestBadInput:
    @pytest.mark.parametrize(
        ("stages", "text"),
        [
            ([], "stages must be a list"),
            (Stage("a", epochs=1), "stages must be a list"),
            (["hint"], "stages must be a list"),
            ([Stage("a", epochs=1), Stage("a", epochs=2)], r"name of its own.*\['a', 'a'\]"),
            ([Stage("a", epochs=1, frozen=[layers.Dense(1, name="mine")])], "'a'.*'mine'"),
            ([Stage("a", epochs=1, alpha=2.0)], "alpha must be"),
        ],
    )
    def test_stages(self, teacher, stages, text):
        with pytest.raises(ValueError, match=text):
            fit_stages(stages, X, Y, student=network(2), teacher=teacher, **FIT)

    def test_shows_before_the_first_stage(self, teacher):
        """A wrong last stage costs no training."""
        student = network(2)
        before = student.get_weights()
        stages = [Stage("a", epochs=1, alpha=0.0), Stage("b", epochs=1, temperature=0.0)]
        with pytest.raises(ValueError, match="temperature must be"):
            fit_stages(stages, X, Y, student=student, teacher=teacher, **FIT)
        for one, two in zip(before, student.get_weights()):
            np.testing.assert_array_equal(one, two)

    @pytest.mark.parametrize(
        ("second", "text"),
        [
            ({"alpha": 1.0}, "There is nothing to learn from"),
            ({"soft_loss": MISLEADING}, "is declared to be probabilities"),
            ({"objectives": [objective("logits", "nowhere")]}, "nowhere"),
            ({"objectives": [objective("nowhere", "logits")]}, "nowhere"),
            ({"objectives": [objective("hint", "logits")]}, "must be equal"),
            ({"alpha": TO_TWO}, "alpha must be a number from 0 to 1 at every step.*at step"),
        ],
    )
    def test_data_and_a_later_stage(self, teacher, second, text, tmp_path):
        """Hours of a first stage are not spent for a second that cannot begin."""
        self.assert_refused(teacher, second, text, tmp_path / "run", x=X, y=Y, **FIT)

    @pytest.mark.parametrize("kind", ["dataset", "PyDataset"])
    def test_other_data_and_a_later_stage(self, teacher, kind, tmp_path):
        x = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8) if kind == "dataset" else Batches()
        how = {"x": x, "shuffle": False, "verbose": 0}
        self.assert_refused(teacher, {"alpha": TO_TWO}, "alpha must be", tmp_path / "run", **how)
        nowhere = {"objectives": [objective("nowhere", "logits")]}
        self.assert_refused(teacher, nowhere, "nowhere", tmp_path / "run", **how)

    def assert_refused(self, teacher, second, text, folder, **how):
        student = network(2)
        before = student.get_weights()
        second = {"epochs": 9, "alpha": 0.0, **second}
        stages = [Stage("a", epochs=1, alpha=0.0), Stage("b", **second)]
        with pytest.raises(ValueError, match=text):
            fit_stages(stages, student=student, teacher=teacher, **how, directory=folder)
        for one, two in zip(before, student.get_weights()):
            np.testing.assert_array_equal(one, two)
        assert not folder.exists()

    @pytest.mark.long
    def test_validation_of_a_stage_without_labels(self, teacher):
        """It has nothing to measure; the stage behind it has."""
        student = network(2)
        stages = two_stages(student)
        histories = fit_stages(
            stages, X, Y, student=student, teacher=teacher, validation_data=(X, Y), **FIT
        )
        assert not any(name.startswith("val_") for name in histories["hint"])
        assert len(histories["outputs"]["val_loss"]) == 2

    @pytest.mark.long
    def test_what_is_held_out_is_held_out_in_every_stage(self, teacher):
        """Trained on in a stage that does not validate, it would measure nothing in the next."""
        students = [network(2) for _ in range(2)]
        for student, held_out in zip(students, (0.0, 100.0)):
            x = X + np.where(np.arange(24) < 16, 0.0, held_out).astype("float32")[:, None]
            stages = two_stages(student)[:1]
            fit_stages(
                stages, x, Y, student=student, teacher=teacher, validation_split=1 / 3, **FIT
            )
        assert_equal(*students)

    @pytest.mark.long
    def test_a_later_stage_that_accumulates_gradients(self, teacher):
        """It makes half as many steps, so its schedule stays in its range."""
        optimizer = keras.optimizers.SGD(gradient_accumulation_steps=2)
        stages = [Stage("a", epochs=13, optimizer=optimizer, alpha=TO_TWO, loss=CROSS_ENTROPY)]
        fit_stages(stages, X[:8], Y[:8], student=network(2), teacher=teacher, **FIT)
        stages = [Stage("a", epochs=25, optimizer=optimizer, alpha=TO_TWO, loss=CROSS_ENTROPY)]
        with pytest.raises(ValueError, match=r"alpha must be .* at step 1"):
            fit_stages(stages, X[:8], Y[:8], student=network(2), teacher=teacher, **FIT)

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            ({"name": ""}, "name must be a string"),
            ({"epochs": 0}, "epochs must be an integer of 1 or more"),
            ({"epochs": 1.5}, "epochs must be an integer"),
            ({"frozen": ["logits"]}, "frozen must be a list of layers"),
            ({"frozen": layers.Dense(1)}, "frozen must be a list of layers"),
        ],
    )
    def test_stage(self, arguments, text):
        with pytest.raises(ValueError, match=text):
            Stage(**{"name": "a", "epochs": 1} | arguments)

    @pytest.mark.parametrize(
        ("fit", "error", "text"),
        [
            ({"verbos": 0}, TypeError, "verbos"),
            ({"seed": "a"}, ValueError, "seed must be an integer of 0"),
            ({"sample_weight": np.ones(24)}, ValueError, r"sample_weight needs y.*fit_stages"),
        ],
    )
    def test_arguments_of_fit(self, teacher, fit, error, text, tmp_path):
        """Found in a stage that has no labels, behind others; or when the folder is begun."""
        stages = [Stage("a", epochs=1, loss=CROSS_ENTROPY), Stage("b", epochs=1, alpha=0.0)]
        student = network(2)
        before = student.get_weights()
        with pytest.raises(error, match=text):
            fit_stages(
                stages, X, Y, student=student, teacher=teacher, directory=tmp_path / "run", **fit
            )
        for one, two in zip(before, student.get_weights()):
            np.testing.assert_array_equal(one, two)
        assert not (tmp_path / "run").exists()

    @pytest.mark.long
    def test_a_generator_that_ends(self, teacher):
        """The second stage would find nothing left of it."""

        def batches(number):
            return ((X[:8], Y[:8]) for _ in range(number))

        stages = [Stage(name, epochs=1, loss=CROSS_ENTROPY) for name in "ab"]
        one_step = {"steps_per_epoch": 1, "verbose": 0, "shuffle": False}
        with pytest.raises(ValueError, match="x must be data that can be read in each training"):
            fit_stages(
                stages, batches(3), student=network(2), teacher=teacher, verbose=0, shuffle=False
            )
        fit_stages(stages, batches(9), student=network(2), teacher=teacher, **one_step)

    @pytest.mark.long
    def test_class_weights_are_of_the_stages_with_labels(self, teacher):
        """A stage without labels has no classes to weigh."""
        weights = {0: 0.0, 1: 0.0, 2: 0.0}
        stages = [
            Stage("a", epochs=1, alpha=0.0),
            Stage("b", epochs=1, loss=CROSS_ENTROPY, alpha=1.0),
        ]
        fit = {**FIT, "class_weight": weights}
        histories = fit_stages(stages, X, Y, student=network(2), teacher=teacher, **fit)
        assert histories["a"]["loss"][0] > 0
        assert histories["b"]["loss"] == [0.0]

    def test_data_of_float64(self, teacher):
        """Keras casts them; a teacher that is a function reads what it casts them to."""
        kernel = tf.ones((5, 3))
        stages = [Stage("a", epochs=1, alpha=0.0)]
        x = X.astype("float64")
        histories = fit_stages(stages, x, student=network(2), teacher=lambda x: x @ kernel, **FIT)
        assert histories["a"]["soft_loss"][0] > 0

    def test_student(self, teacher):
        with pytest.raises(ValueError, match=r"student must be a keras\.Model"):
            fit_stages([Stage("a", epochs=1)], X, Y, student="student", teacher=teacher, **FIT)

    def test_epochs_for_all(self, teacher):
        with pytest.raises(ValueError, match=r"its own epochs. Received: \['epochs'\]"):
            fit_stages([Stage("a", epochs=1)], X, Y, student=network(2), teacher=teacher, epochs=3)
