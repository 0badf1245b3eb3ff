"""The command keras-distill: argparse over the public functions of `keras_distill`.

It is a package beside `keras_distill`, because `import keras_distill` imports Keras and
TensorFlow, which takes seconds: options are understood, and help is printed, without them.
"""
