"""What labels say about a teacher: chance, another order of the classes, or a weak teacher."""

import numpy as np
import pytest

from keras_distill.evaluation.better_order import better_order
from keras_distill.evaluation.chance import is_at_chance


def answers(labels, num_classes, accuracy, rng, sureness=0.7):
    """Probabilities of a classifier with that accuracy, its errors spread over all classes."""
    predicted = np.where(
        rng.random(len(labels)) < accuracy, labels, rng.integers(0, num_classes, len(labels))
    )
    rest = (1 - sureness) / (num_classes - 1)
    return np.where(np.arange(num_classes) == predicted[:, None], sureness, rest)


class TestChance:
    @pytest.mark.parametrize("num_classes", [2, 10])
    def test_random_answers_are_found_out_at_the_level_of_the_test(self, num_classes):
        rng = np.random.default_rng(0)
        found = []
        for _ in range(400):
            labels = rng.integers(0, num_classes, 60)
            found.append(is_at_chance(labels, rng.dirichlet(np.ones(num_classes), 60)))
        assert 0.91 < np.mean(found) < 0.98

    @pytest.mark.parametrize(("num_classes", "num_examples"), [(2, 1000), (10, 300), (77, 300)])
    def test_a_weak_teacher_is_none(self, num_classes, num_examples):
        """A tenth of its answers are knowledge, all others are drawn."""
        rng = np.random.default_rng(1)
        for _ in range(30):
            labels = rng.integers(0, num_classes, num_examples)
            weak = answers(labels, num_classes, 0.2, rng)
            assert not is_at_chance(labels, weak)

    def test_a_teacher_that_always_says_the_same(self):
        labels = np.arange(100) % 10 // 9
        assert is_at_chance(labels, np.tile([0.9, 0.1], (100, 1)))
        assert is_at_chance(labels, np.tile(np.float32([0.1, 0.9]), (100, 1)))

    def test_rare_classes_count_by_their_probability(self):
        """Right as often as who always says the frequent class, but it knows the rare one."""
        labels = (np.arange(400) % 20 == 0).astype(int)
        rare = np.where(labels, 0.4, 0.1)
        assert not is_at_chance(labels, np.stack([1 - rare, rare], axis=1))

    def test_few_examples_cannot_tell(self):
        assert not is_at_chance(np.array([0, 1, 0, 1]), np.full((4, 2), 0.5))
        assert not is_at_chance(np.zeros(50, int), np.full((50, 2), 0.5))

    def test_the_opposite_is_chance(self):
        labels = np.arange(40) % 2
        assert is_at_chance(labels, np.eye(2)[1 - labels])


class TestOrder:
    def test_folders_sorted_as_strings(self):
        """Classes 0 and 1 agree, so that it is better than chance: 10 stands before 2."""
        rng = np.random.default_rng(0)
        names = sorted(map(str, range(12)))
        labels = rng.integers(0, 12, 400)
        by_number = answers(np.array([int(names[label]) for label in labels]), 12, 0.95, rng)
        assert not is_at_chance(labels, by_number)
        as_it_is, in_order = better_order(labels, by_number)
        assert as_it_is < 0.3
        assert in_order > 0.9

    def test_two_classes_the_other_way_round(self):
        labels = np.arange(60) % 10 // 9
        assert better_order(labels, np.eye(2)[1 - labels]) == (0, 1)

    @pytest.mark.parametrize("accuracy", [0.0, 0.2, 0.6, 0.97])
    @pytest.mark.parametrize("num_classes", [2, 5, 77])
    def test_a_teacher_with_errors_has_its_order(self, num_classes, accuracy):
        rng = np.random.default_rng(2)
        for num_examples in (10, 100, 1000):
            labels = rng.integers(0, num_classes, num_examples)
            assert better_order(labels, answers(labels, num_classes, accuracy, rng)) is None

    def test_the_same_answer_for_all_is_no_order(self):
        labels = np.arange(200) % 10 // 9
        assert better_order(labels, np.tile([0.1, 0.9], (200, 1))) is None
