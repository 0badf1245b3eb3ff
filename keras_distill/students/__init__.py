"""Small models to be taught: from scratch, or cut out of their teacher."""

from keras_distill.students.from_teacher import from_teacher
from keras_distill.students.image import mobile_cnn
from keras_distill.students.moonshine import moonshine
from keras_distill.students.net2net import net2net_deeper
from keras_distill.students.net2net import net2net_wider
from keras_distill.students.quantization_aware import quantization_aware
from keras_distill.students.text import bilstm
from keras_distill.students.text import text_cnn
from keras_distill.students.text import transformer
from keras_distill.students.width_and_depth import mlp
from keras_distill.students.width_and_depth import plain_cnn

__all__ = [
    "bilstm",
    "from_teacher",
    "mlp",
    "mobile_cnn",
    "moonshine",
    "net2net_deeper",
    "net2net_wider",
    "plain_cnn",
    "quantization_aware",
    "text_cnn",
    "transformer",
]
