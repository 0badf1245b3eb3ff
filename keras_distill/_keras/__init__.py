"""Every private part of Keras, KerasHub, TensorFlow and LiteRT, behind names of ours."""
