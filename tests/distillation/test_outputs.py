"""Structures of outputs: each loss, weight and teacher output at its own student output."""

from collections import OrderedDict

import pytest

from keras_distill.distillation.outputs import per_output
from keras_distill.distillation.outputs import teacher_like_student
from keras_distill.distillation.outputs import whole_output

# Outputs are told apart by their values; the structures are what counts.
A, B, C = 1.0, 2.0, 3.0
SORTED_LAST = OrderedDict([("z", A), ("a", B)])


class TestPerOutput:
    @pytest.mark.parametrize(
        ("setting", "outputs", "expected"),
        [
            ("s", A, ["s"]),
            (None, A, [None]),
            # One for all.
            ("s", [A, B], ["s", "s"]),
            ("s", {"z": A, "a": [B, C]}, ["s", "s", "s"]),
            (None, {"z": A, "a": B}, [None, None]),
            # Keras flattens a dict in the order of its keys, an OrderedDict as it is.
            ({"z": 1, "a": 2}, {"z": A, "a": B}, [2, 1]),
            ({"a": 2, "z": 1}, SORTED_LAST, [1, 2]),
            ([1, 2], [A, B], [1, 2]),
            ((1, 2), [A, B], [1, 2]),
            ([1, 2], (A, B), [1, 2]),
            # Left out or None: no loss for this output.
            ({"z": 1}, {"z": A, "a": B}, [None, 1]),
            ({}, {"z": A, "a": B}, [None, None]),
            ([1, None], [A, B], [1, None]),
            # Nested.
            ({"z": 1, "a": [2, 3]}, {"z": A, "a": [B, C]}, [2, 3, 1]),
            ([{"k": 1}, 2], [{"k": A, "l": B}, C], [1, None, 2]),
            # By index.
            ({0: 1, 1: 2}, [A, B], [1, 2]),
            ({1: 2}, [A, B], [None, 2]),
        ],
    )
    def test_spreads_in_flattened_order(self, setting, outputs, expected):
        """A loss at the wrong head trains both heads on each other's targets."""
        assert per_output("soft_loss", setting, outputs) == expected

    def test_names_of_outputs_in_a_list(self):
        """A Functional model with a list of outputs names them, as in compile()."""
        names = ["intent", "slots"]
        assert per_output("soft_loss", {"slots": 2, "intent": 1}, [A, B], names) == [1, 2]
        assert per_output("soft_loss", {"slots": 2}, [A, B], names) == [None, 2]

    @pytest.mark.parametrize(
        ("setting", "outputs", "names", "known"),
        [
            ({"typo": 1}, {"a": A, "b": B}, None, "['a', 'b']"),
            ({"typo": 1, "a": 2}, [A, B], ["a", "b"], "['a', 'b']"),
            ({2: 1}, [A, B], None, "[0, 1]"),
        ],
    )
    def test_unknown_names(self, setting, outputs, names, known):
        """A typo would leave the output without a loss."""
        with pytest.raises(ValueError, match="soft_loss names outputs that") as error:
            per_output("soft_loss", setting, outputs, names)
        assert str(error.value).endswith(f"The student's outputs are {known}.")

    @pytest.mark.parametrize(
        ("setting", "outputs"),
        [
            ([1], A),
            ({"a": 1}, A),
            ([1], [A, B]),
            ([1, 2, 3], [A, B]),
            ([1, 2], {"a": A, "b": B}),
        ],
    )
    def test_structures_that_do_not_fit(self, setting, outputs):
        """zip() would cut the longer one off."""
        with pytest.raises(ValueError, match="sample_weight must be one for all") as error:
            per_output("sample_weight", setting, outputs)
        assert f"of type {type(setting).__name__} for outputs" in str(error.value)


class TestTeacherLikeStudent:
    @pytest.mark.parametrize(
        ("teacher", "student", "names", "expected"),
        [
            (A, 0, None, [A]),
            # A single output, however it is wrapped.
            ({"logits": A}, 0, None, [A]),
            ([A], 0, None, [A]),
            ([A, B], [0, 0], None, [A, B]),
            ((A, B), [0, 0], None, [A, B]),
            ({"a": A, "b": B}, {"b": 0, "a": 0}, None, [A, B]),
            # What the student does not have is left out.
            ({"a": A, "b": B, "c": C}, {"c": 0, "a": 0}, None, [A, C]),
            # A list of named outputs against a dict.
            ({"b": B, "a": A}, [0, 0], ["a", "b"], [A, B]),
            ({"b": B, "a": A, "c": C}, (0, 0), ["b", "a"], [B, A]),
            # In the order in which Keras flattens the student.
            ({"a": B, "z": A}, OrderedDict([("z", 0), ("a", 0)]), None, [A, B]),
            ({"z": A, "a": {"y": B, "b": C}}, {"z": 0, "a": {"y": 0, "b": 0}}, None, [C, B, A]),
            (
                {"z": A, "a": [B, C]},
                OrderedDict([("z", 0), ("a", [0, 0])]),
                None,
                [A, B, C],
            ),
            ([{"k": A, "l": C}, [B]], [{"k": 0}, 0], None, [A, B]),
        ],
    )
    def test_pairs(self, teacher, student, names, expected):
        """By name or index, never by position in whatever order a dict happens to have."""
        assert teacher_like_student(teacher, student, names) == expected

    @pytest.mark.parametrize("teacher", [[A, B], {"logits": A, "hidden": B}])
    def test_one_output_against_several(self, teacher):
        """The first of several would be a guess."""
        with pytest.raises(ValueError, match="one output and the teacher several") as error:
            teacher_like_student(teacher, 0)
        assert "Wrap the teacher in a function" in str(error.value)

    @pytest.mark.parametrize(
        ("teacher", "student", "names"),
        [
            (A, [0, 0], None),
            (A, {"a": 0}, None),
            ([A], [0, 0], None),
            ([A, B, C], [0, 0], None),
            ({"a": A}, {"a": 0, "b": 0}, None),
            ([A, B], {"a": 0, "b": 0}, None),
            # A dict has no order that a list of unnamed outputs could follow.
            ({"a": A, "b": B}, [0, 0], None),
            ({"a": A, "b": B}, [0, 0], ["a", "typo"]),
        ],
    )
    def test_outputs_that_are_missing(self, teacher, student, names):
        """The message shows both structures."""
        with pytest.raises(ValueError, match="must have every output of the student") as error:
            teacher_like_student(teacher, student, names)
        assert "Received: teacher" in str(error.value)

    def test_list_of_values_against_a_dict_of_indices(self):
        """Indices are names too."""
        assert teacher_like_student([A, B], {0: 0, 1: 0}) == [A, B]


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        (A, A),
        ([A, B], [A, B]),
        ({"a": A}, {"a": A}),
        ({"output": A, "block_3": B}, A),
        ({"output": {"a": A}, "block_3": B}, {"a": A}),
    ],
)
def test_whole_output(outputs, expected):
    """Carried hidden layers must not be taken for outputs."""
    assert whole_output(outputs) == expected
