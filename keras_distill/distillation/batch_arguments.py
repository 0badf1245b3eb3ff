"""What `fit` refuses at its start, refused for single batches, too."""

from keras_distill.distillation.fit_arguments import check_batch


class ChecksBatches:
    """A base beside `keras.Model` of models that `fit_arguments` checks the data of."""

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """As `keras.Model.train_on_batch`."""
        check_batch(self, x, y, class_weight)
        return super().train_on_batch(x, y, sample_weight, class_weight, return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """As `keras.Model.test_on_batch`."""
        with_teacher = getattr(self, "validate_with_teacher", True)
        check_batch(self, x, y, for_teacher=with_teacher)
        return super().test_on_batch(x, y, sample_weight, return_dict)

    def predict_on_batch(self, x):
        """As `keras.Model.predict_on_batch`."""
        check_batch(self, x, for_teacher=False)
        return super().predict_on_batch(x)
