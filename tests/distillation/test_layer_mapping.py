"""Layer mappings: the papers' pairs, parts of their own, and two BERTs from one call."""

import keras
import keras_hub
import numpy as np
import pytest

import keras_distill as kd
from keras_distill.losses import FeatureMSE

LENGTH = 6


def paths(count, prefix="layer"):
    return [f"{prefix}_{i}" for i in range(count)]


def pairs(teacher, student, mapping):
    objectives = kd.layer_objectives(
        FeatureMSE(),
        teacher_layers=paths(teacher, "t"),
        student_layers=paths(student, "s"),
        mapping=mapping,
    )
    assert [o.student_layer for o in objectives] == paths(student, "s")
    return [int(o.teacher_layer.removeprefix("t_")) for o in objectives]


@keras.saving.register_keras_serializable(package="tests")
class LearnedMSE(FeatureMSE):
    """Has a layer that trains."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.parts = [keras.layers.Dense(units)]

    def call(self, y_true, y_pred):
        return super().call(*map(self.parts[0], (y_true, y_pred)))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class TestPairs:
    @pytest.mark.parametrize(
        ("teacher", "student", "mapping", "expected"),
        [
            (12, 4, "uniform", [2, 5, 8, 11]),  # TinyBERT: g(m) = 3m
            (12, 6, "uniform", [1, 3, 5, 7, 9, 11]),
            (12, 4, "top", [8, 9, 10, 11]),  # g(m) = m + N - M
            (12, 4, "bottom", [0, 1, 2, 3]),  # g(m) = m
            (10, 5, "uniform", [1, 3, 5, 7, 9]),  # PKD-Skip, the last layers left out
            (11, 5, "top", [6, 7, 8, 9, 10]),  # PKD-Last
            (12, 5, "uniform", [1, 3, 6, 8, 11]),
            (3, 2, "uniform", [0, 2]),
            (4, 4, "uniform", [0, 1, 2, 3]),
            (4, 1, "uniform", [3]),
        ],
    )
    def test_named(self, teacher, student, mapping, expected):
        """One off, and every layer would learn from its neighbour's."""
        assert pairs(teacher, student, mapping) == expected

    @pytest.mark.parametrize("num_teacher", range(1, 14))
    def test_uniform_gives_each_layer_a_teacher_of_its_own(self, num_teacher):
        """Also where nothing divides: in order, and the last from the last."""
        for num_student in range(1, num_teacher + 1):
            found = pairs(num_teacher, num_student, "uniform")
            assert found == sorted(set(found))
            assert found[0] >= 0
            assert found[-1] == num_teacher - 1

    def test_given(self):
        """In the order given; a student may have more layers, and a layer several teachers."""
        objectives = kd.layer_objectives(
            FeatureMSE(),
            teacher_layers=paths(2, "t"),
            student_layers=paths(3, "s"),
            mapping=[(1, 2), [0, 0], (0, 2)],
        )
        assert [(o.teacher_layer, o.student_layer) for o in objectives] == [
            ("t_1", "s_2"),
            ("t_0", "s_0"),
            ("t_0", "s_2"),
        ]
        assert [o.name for o in objectives] == ["feature_mse_0", "feature_mse_1", "feature_mse_2"]


class TestParts:
    def test_settings_reach_every_objective(self):
        loss = FeatureMSE()
        weight = keras.optimizers.schedules.ExponentialDecay(1.0, 10, 0.5)
        objectives = kd.layer_objectives(
            loss,
            teacher_layers=paths(4),
            student_layers=paths(2),
            projector="auto",
            weight=weight,
            name="hidden",
        )
        assert [o.name for o in objectives] == ["hidden_0", "hidden_1"]
        for objective in objectives:
            assert objective.loss is loss
            assert objective.weight is weight
            assert objective.projector == "auto"

    def test_loss_with_layers_is_made_anew(self):
        """One layer for all pairs would be torn between them, and saved twice."""
        loss = LearnedMSE(units=2, reduction="sum")
        first, second = kd.layer_objectives(loss, teacher_layers=paths(4), student_layers=paths(2))
        assert first.loss.parts[0] is not second.loss.parts[0]
        for objective in (first, second):
            assert objective.loss.get_config() == loss.get_config()

    def test_trained_parts_are_copied(self):
        """A paraphraser that was trained must not become a random one."""
        paraphraser = kd.losses.paraphraser(channels=3)
        trained = [w + i for i, w in enumerate(paraphraser.get_weights())]
        paraphraser.set_weights(trained)
        loss = kd.losses.FactorTransfer(paraphraser)
        given = loss.paraphraser.get_weights()
        for objective in kd.layer_objectives(
            loss, teacher_layers=paths(4), student_layers=paths(2)
        ):
            copied = objective.loss.paraphraser
            assert copied is not loss.paraphraser
            assert not copied.trainable
            for own, theirs in zip(copied.get_weights(), given, strict=True):
                np.testing.assert_array_equal(own, theirs)

    def test_built_parts_are_copied(self):
        """Layers of a list, and variables."""
        loss = LearnedMSE(units=2)
        loss.scale = keras.Variable(1.0)
        loss(np.ones((2, 3)), np.ones((2, 3)))
        loss.scale.assign(3.0)
        for objective in kd.layer_objectives(
            loss, teacher_layers=paths(4), student_layers=paths(2)
        ):
            kernel = objective.loss.parts[0].kernel
            np.testing.assert_array_equal(kernel, loss.parts[0].kernel)
            assert kernel is not loss.parts[0].kernel

    @pytest.mark.parametrize("is_wrapped", [False, True])
    def test_trained_projector_is_copied(self, is_wrapped):
        """As in an Objective, it keeps its weights."""
        projector = keras.layers.Dense(7)
        if is_wrapped:
            projector = keras.Sequential([projector])
        projector.build((None, 3))
        objectives = kd.layer_objectives(
            FeatureMSE(), teacher_layers=paths(4), student_layers=paths(2), projector=projector
        )
        for objective in objectives:
            assert objective.projector is not projector
            for own, given in zip(objective.projector.weights, projector.weights, strict=True):
                np.testing.assert_array_equal(own, given)

    def test_projector_is_made_anew(self):
        projector = keras.Sequential([keras.layers.Dense(7, activation="tanh")])
        first, second = kd.layer_objectives(
            FeatureMSE(), teacher_layers=paths(4), student_layers=paths(2), projector=projector
        )
        assert first.projector is not second.projector
        for objective in (first, second):
            objective(np.ones((2, 7)), np.ones((2, 3)))
            assert objective.projector.layers[0].activation is keras.activations.tanh
        assert first.projector.layers[0].kernel is not second.projector.layers[0].kernel
        assert not projector.built


class TestBadInput:
    @pytest.mark.parametrize("mapping", ["skip", "", None, [], [(1, 2, 3)], [1], [(0.0, 1)], 3])
    def test_unknown_mapping(self, mapping):
        message = r"mapping must be one of \['uniform', 'top', 'bottom'\], or a list of pairs"
        with pytest.raises(ValueError, match=message) as error:
            kd.layer_objectives(
                FeatureMSE(), teacher_layers=paths(4), student_layers=paths(2), mapping=mapping
            )
        assert f"Received: mapping={mapping!r}" in str(error.value)

    @pytest.mark.parametrize("pair", [(4, 0), (0, 2), (-1, 0), (0, -1)])
    def test_layer_that_does_not_exist(self, pair):
        """-1 would be taken for the last layer."""
        message = r"does not exist: the teacher's are 0 to 3, the student's 0 to 1\. Received: "
        with pytest.raises(ValueError, match=message) as error:
            kd.layer_objectives(
                FeatureMSE(),
                teacher_layers=paths(4),
                student_layers=paths(2),
                mapping=[(1, 1), pair],
            )
        assert str(pair) in str(error.value)

    def test_pair_twice(self):
        with pytest.raises(ValueError, match=r"mapping has a pair twice\. Received: mapping="):
            kd.layer_objectives(
                FeatureMSE(),
                teacher_layers=paths(4),
                student_layers=paths(2),
                mapping=[(1, 1), [1, 1]],
            )

    @pytest.mark.parametrize("mapping", ["uniform", "top", "bottom"])
    def test_more_layers_than_the_teacher(self, mapping):
        """ "top" would count below 0, "uniform" give two layers one teacher."""
        message = "at most as many layers.*2 layers of the teacher, 3 of the student.*Give pairs"
        with pytest.raises(ValueError, match=message):
            kd.layer_objectives(
                FeatureMSE(), teacher_layers=paths(2), student_layers=paths(3), mapping=mapping
            )

    @pytest.mark.parametrize("side", ["teacher_layers", "student_layers"])
    @pytest.mark.parametrize("given", ["layer_0", [], None])
    def test_no_list_of_paths(self, side, given):
        """A string has characters, which would all be layers."""
        sides = {"teacher_layers": paths(2), "student_layers": paths(2), side: given}
        with pytest.raises(ValueError, match=f"{side} must be a list of paths.*Received: {side}="):
            kd.layer_objectives(FeatureMSE(), **sides)


def bert(width, num_layers):
    return keras_hub.models.BertBackbone(
        vocabulary_size=9,
        num_layers=num_layers,
        num_heads=2,
        hidden_dim=width,
        intermediate_dim=8,
        dropout=0.0,
        max_sequence_length=LENGTH,
    )


def objectives_of(losses_of_scores):
    """TinyBERT's and MiniLM's losses between 2 layers and 1, of other widths."""
    sides = {
        "teacher_layers": paths(2, "transformer_layer"),
        "student_layers": paths(1, "transformer_layer"),
    }
    scores, values = (
        {
            side: [f"{path}/self_attention_layer/{part}" for path in given]
            for side, given in sides.items()
        }
        for part in ("attention_scores", "value")
    )
    hidden = kd.layer_objectives(FeatureMSE(), **sides, projector="auto", name="hidden")
    relation = kd.losses.AttentionRelationKL(num_relation_heads=2)
    relations = kd.layer_objectives(relation, **values, mapping=[(1, 0)], name="values")
    attention = [kd.layer_objectives(loss, **scores) for loss in losses_of_scores]
    return [*hidden, *relations, *(objective for part in attention for objective in part)]


@pytest.mark.filterwarnings("ignore:Gradients do not exist")  # Nothing here reads the logits.
@pytest.mark.parametrize("kind", ["cut", "transformer"])
@pytest.mark.long
def test_two_berts(kind):
    """Taps inside KerasHub's layers; more padding changes nothing."""
    keras.utils.set_random_seed(0)
    teacher = bert(8, 2)
    if kind == "cut":  # It has one head.
        student, losses_of_scores = kd.students.from_teacher(teacher, (1,), 2, hidden_dim=4), []
    else:
        student = kd.students.transformer(
            9, 2, hidden_dim=6, num_layers=1, num_heads=2, dropout=0.0
        )
        losses_of_scores = [kd.losses.AttentionMSE(), kd.losses.AttentionKL()]
    ids = np.random.default_rng(0).integers(1, 9, (8, LENGTH)).astype("int32")
    ids[:, LENGTH // 2 :] = 0

    def inputs(ids):
        views = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": np.int32(ids > 0)}
        return kd.DistillationInputs(student=ids, teacher=views)

    objectives = objectives_of(losses_of_scores)
    distiller = kd.Distiller(
        student=student,
        teacher=teacher,
        alpha=1.0,
        objectives=objectives,
        validate_with_teacher=True,
    )
    distiller.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    before = distiller.evaluate(inputs(ids), verbose=0, return_dict=True)
    shorter = distiller.evaluate(inputs(ids[:, : LENGTH // 2]), verbose=0, return_dict=True)
    names = {"hidden_0", "values_0"}
    if kind == "transformer":
        names |= {"attention_mse_0", "attention_kl_0"}
    assert {objective.name for objective in objectives} == names
    for name in names:
        assert shorter[name] == pytest.approx(before[name], rel=1e-4), name
    distiller.fit(inputs(ids), epochs=3, verbose=0)
    after = distiller.evaluate(inputs(ids), verbose=0, return_dict=True)
    assert after["loss"] < before["loss"]
