"""How the losses, and the metrics over them, take their arguments."""

import inspect

import keras
import pytest

from keras_distill import losses
from keras_distill import metrics

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
NAMES = [*(f"losses.{name}" for name in losses.__all__), "metrics.TeacherAgreement"]


@pytest.mark.parametrize("name", [*NAMES, "metrics.Fidelity"])
def test_all_but_the_first_argument_have_their_name(name):
    """A second number without a name, of several weights and powers, is one nobody can check."""
    room, name = name.split(".")
    thing = getattr({"losses": losses, "metrics": metrics}[room], name)
    parameters = inspect.signature(thing).parameters.values()
    first, *others = parameters
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in others)
    if first.kind in POSITIONAL and thing is not losses.DistillationLoss:
        assert first.name not in ("reduction", "name", "dtype")


def test_a_reduction_without_its_name_is_refused():
    with pytest.raises(TypeError, match="positional argument"):
        losses.FeatureMSE("sum")
    assert isinstance(losses.FeatureMSE(reduction="sum"), keras.losses.Loss)
