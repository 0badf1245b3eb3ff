"""All uses of private parts of Keras, KerasHub, TensorFlow and LiteRT, behind our own names."""
