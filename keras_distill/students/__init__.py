"""Small models to be taught: from scratch, or cut out of their teacher."""

from keras_distill.students.from_teacher import from_teacher
from keras_distill.students.image import mobile_cnn
from keras_distill.students.quantization_aware import quantization_aware
from keras_distill.students.text import bilstm
from keras_distill.students.text import text_cnn
from keras_distill.students.text import transformer

__all__ = [
    "bilstm",
    "from_teacher",
    "mobile_cnn",
    "quantization_aware",
    "text_cnn",
    "transformer",
]
