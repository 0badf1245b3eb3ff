"""Names of other libraries' arguments get ours."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_distill as kd

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def dense(width=4):
    return keras.Sequential(
        [keras.Input((3,)), layers.Dense(width, name="hidden"), layers.Dense(2)]
    )


def test_the_example_of_keras_io():
    distiller = kd.Distiller(student=dense(), teacher=dense())
    with pytest.raises(TypeError) as raised:
        distiller.compile(
            optimizer=keras.optimizers.Adam(),
            metrics=[keras.metrics.SparseCategoricalAccuracy()],
            student_loss_fn=CROSS_ENTROPY,
            distillation_loss_fn=keras.losses.KLDivergence(),
            alpha=0.1,
            temperature=10,
        )
    for ours in (
        "compile(loss=...) for student_loss_fn",
        "Distiller(soft_loss=...) for distillation_loss_fn",
        "Distiller(alpha=...) for alpha",
        "Distiller(temperature=...) for temperature",
    ):
        assert ours in str(raised.value)


def test_keras_distillation():
    with pytest.raises(TypeError, match=r"Distiller\(alpha=\.\.\.\) for student_loss_weight"):
        kd.Distiller(
            teacher=dense(),
            student=dense(),
            distillation_losses=keras.distillation.LogitsDistillation(),
            student_loss_weight=0.5,
        )
    with pytest.raises(TypeError, match="takes its models by name"):
        kd.Distiller(dense(), dense(), keras.distillation.LogitsDistillation())


def test_losses_of_keras_distillation():
    with pytest.raises(ValueError, match=r"Leave soft_loss out and give temperature=5\.0"):
        kd.Distiller(
            student=dense(),
            teacher=dense(),
            soft_loss=keras.distillation.LogitsDistillation(temperature=5.0),
        )
    names = {"teacher_layer_name": "hidden", "student_layer_name": "dense"}
    loss = keras.distillation.FeatureDistillation(**names)
    with pytest.raises(ValueError, match=r"teacher_layer='hidden', student_layer='dense'"):
        kd.Objective(loss, teacher_layer="hidden", student_layer="dense")


def test_other_names_are_left_to_python():
    with pytest.raises(TypeError, match="unexpected keyword argument 'aplha'"):
        kd.Distiller(student=dense(), aplha=0.1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'looss'"):
        kd.Distiller(student=dense()).compile(looss="mse")


def test_a_student_larger_than_its_teacher():
    with pytest.warns(UserWarning, match=r"more parameters than its teacher.* 32, .* 14\."):
        distiller = kd.Distiller(student=dense(5), teacher=dense(2))
    assert distiller.student.count_params() == 32
    # Equal sizes, and a function, get no warning.
    kd.Distiller(student=dense(), teacher=dense())
    kd.Distiller(student=dense(5), teacher=lambda x: x[:, :2])


@pytest.mark.parametrize("name", ["d.h5", "d.hdf5", "d"])
def test_other_formats(tmp_path, name):
    distiller = kd.Distiller(student=dense(), teacher=dense())
    with pytest.raises(ValueError, match=r"must end in \.keras.*distiller\.student\.save"):
        distiller.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    distiller.save(tmp_path / "d.keras")
    loaded = keras.models.load_model(tmp_path / "d.keras")
    np.testing.assert_array_equal(
        loaded.student.get_weights()[0], distiller.student.get_weights()[0]
    )
