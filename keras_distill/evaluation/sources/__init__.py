"""Models to compare: Keras models, functions, SavedModels, TFLite files, stores."""

from keras_distill.evaluation.sources.opening import open_source

__all__ = ["open_source"]
