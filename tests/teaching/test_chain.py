"""A chain is a Distiller after another, in which the student becomes the teacher."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_distill as kd
from keras_distill.teaching import Stage
from keras_distill.teaching import fit_chain

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 5)).astype("float32")
Y = RNG.integers(0, 3, 24)
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
FIT = {"batch_size": 8, "shuffle": False, "verbose": 0}


def network(width=4, classes=3):
    hidden, logits = layers.Dense(width, "relu", name="hidden"), layers.Dense(classes)
    return keras.Sequential([keras.Input((5,)), hidden, logits], name=f"network_{width}")


@pytest.fixture(scope="module")
def teacher():
    keras.utils.set_random_seed(0)
    return network(8)


def all_at_once(**kwargs):
    return [Stage("all", epochs=2, loss=CROSS_ENTROPY, alpha=0.5, temperature=1.0, **kwargs)]


def by_hand(student, teacher):
    distiller = kd.Distiller(student=student, teacher=teacher, alpha=0.5, temperature=1.0)
    distiller.compile("adam", CROSS_ENTROPY)
    return distiller.fit(X, Y, epochs=2, **FIT).history


def assert_equal(model, other):
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


class TestFitChain:
    @pytest.mark.long
    def test_is_distillers_one_after_another(self, teacher):
        """The second generation learns from the first as it is when trained, not the teacher."""
        before = teacher.get_weights()
        keras.utils.set_random_seed(1)
        students, histories = fit_chain(
            all_at_once(), X, Y, students=[network] * 2, teacher=teacher, **FIT
        )
        keras.utils.set_random_seed(1)
        expected = [network(), network()]
        assert histories[0] == {"all": by_hand(expected[0], teacher)}
        assert histories[1] == {"all": by_hand(expected[1], expected[0])}
        for one, two in zip(students, expected, strict=True):
            assert_equal(one, two)
        for one, two in zip(before, teacher.get_weights()):
            np.testing.assert_array_equal(one, two)

    @pytest.mark.long
    def test_assistant(self, teacher):
        """Models of other widths, given built: these are trained, and returned."""
        keras.utils.set_random_seed(1)
        models = network(6), network(2)
        students, _ = fit_chain(all_at_once(), X, Y, students=models, teacher=teacher, **FIT)
        assert students == list(models)
        keras.utils.set_random_seed(1)
        assistant, student = network(6), network(2)
        by_hand(assistant, teacher)
        by_hand(student, assistant)
        assert_equal(models[1], student)

    @pytest.mark.long
    def test_ensemble_of_generations(self, teacher):
        """The mean of their probabilities, as in the paper."""
        students, _ = fit_chain(all_at_once(), X, Y, students=[network] * 2, teacher=teacher, **FIT)
        mean = np.mean([keras.ops.softmax(model(X)) for model in students], axis=0)
        found = keras.ops.softmax(kd.teachers.Ensemble(students)(X))
        np.testing.assert_allclose(found, mean, atol=1e-6)

    @pytest.mark.long
    def test_objectives_of_each_student(self, teacher):
        """A function makes stages for models that have other layers or widths."""

        def stages(place):
            hint = kd.Objective(
                kd.losses.FeatureMSE(),
                teacher_layer="hidden",
                student_layer="hidden",
                projector="auto",
            )
            return all_at_once(objectives=[hint])

        _, histories = fit_chain(
            stages, X, Y, students=[network(6), network(2)], teacher=teacher, **FIT
        )
        assert all(np.all(np.diff(each["all"]["feature_mse"]) < 0) for each in histories)

    @pytest.mark.long
    def test_goes_on_with_more_students(self, teacher, tmp_path):
        """Those that are in the folder are not trained again; the next learns from them."""
        keras.utils.set_random_seed(1)
        whole, _ = fit_chain(all_at_once(), X, Y, students=[network] * 3, teacher=teacher, **FIT)
        keras.utils.set_random_seed(1)
        models = [network() for _ in range(3)]
        run = {"directory": tmp_path, **FIT}
        _, first = fit_chain(all_at_once(), X, Y, students=models[:2], teacher=teacher, **run)
        begun = []
        count = keras.callbacks.LambdaCallback(on_epoch_begin=lambda e, logs: begun.append(e))
        again = [network(), network(), models[2]]
        students, histories = fit_chain(
            all_at_once(), X, Y, students=again, teacher=teacher, callbacks=[count], **run
        )
        for one, two in zip(students, whole, strict=True):
            assert_equal(one, two)
        assert histories[:2] == first
        assert begun == [0, 1]

    def test_another_chain(self, teacher, tmp_path):
        """A student of the folder that had another teacher is not used."""
        run = {"directory": tmp_path, **FIT}
        fit_chain(all_at_once(), X, Y, students=[network], teacher=teacher, **run)
        with pytest.raises(ValueError, match=r"folder of another training.*the teacher differs"):
            fit_chain(all_at_once(), X, Y, students=[network], teacher=network(8), **run)


class TestBadInput:
    @pytest.mark.parametrize(
        ("students", "text"),
        [
            ([], "students must be a list .* at least one"),
            (network, "students must be a list"),
            ([3], "students must be a list"),
            ([lambda: None], "students must be built"),
            ([lambda: keras.Sequential([layers.Dense(3)])], "students must be built"),
            ([network, lambda: network(classes=4)], r"same shapes.*\(None, 3\).*\(None, 4\)"),
        ],
    )
    def test_students(self, teacher, students, text):
        with pytest.raises(ValueError, match=text):
            fit_chain(all_at_once(), X, Y, students=students, teacher=teacher, **FIT)

    @pytest.mark.parametrize("place", [0, 1])
    def test_the_same_model(self, teacher, place):
        """Its training would change what it learns from."""
        student = network()
        students = [teacher] if place == 0 else [lambda: student] * 2
        before = student.get_weights()
        with pytest.raises(ValueError, match=f"weights of their own.*student {place} shares"):
            fit_chain(all_at_once(), X, Y, students=students, teacher=teacher, **FIT)
        for one, two in zip(before, student.get_weights()):
            np.testing.assert_array_equal(one, two)

    def test_no_teacher(self):
        with pytest.raises(ValueError, match="teacher must be a model or function"):
            fit_chain(all_at_once(), X, Y, students=[network], teacher=None, **FIT)

    def test_a_generator_that_ends(self, teacher):
        """The second student would find nothing left of it."""
        batches = ((X[:8], Y[:8]) for _ in range(3))
        with pytest.raises(ValueError, match="x must be data that can be read in each training"):
            fit_chain(all_at_once(), batches, students=[network] * 2, teacher=teacher, verbose=0)

    def test_shared_objectives(self, teacher):
        """A projector that another student has trained would be taken for a new one."""
        hint = kd.Objective(
            kd.losses.FeatureMSE(), teacher_layer="hidden", student_layer="hidden", projector="auto"
        )
        with pytest.raises(ValueError, match="must not share objectives"):
            fit_chain(
                all_at_once(objectives=[hint]), X, Y, students=[network] * 2, teacher=teacher, **FIT
            )

    def test_stages_of_a_later_student(self, teacher):
        """Wrong ones show before the first is trained."""
        student = network()
        before = student.get_weights()
        with pytest.raises(ValueError, match="stages must be a list"):
            fit_chain(
                lambda place: all_at_once() if place == 0 else [],
                X,
                Y,
                students=[student, network],
                teacher=teacher,
                **FIT,
            )
        for one, two in zip(before, student.get_weights()):
            np.testing.assert_array_equal(one, two)

    def test_carried_outputs(self, teacher):
        x = kd.DistillationInputs(X, teacher_outputs=teacher.predict(X, verbose=0))
        with pytest.raises(ValueError, match="must not carry teacher_outputs"):
            fit_chain(all_at_once(), x, Y, students=[network], teacher=teacher, **FIT)
