"""Small student models: from scratch, or cut out of their teacher."""

from keras_distill.quantization import quantization_aware
from keras_distill.students.copies.from_teacher import from_teacher
from keras_distill.students.copies.moonshine import moonshine
from keras_distill.students.copies.net2net import net2net_deeper
from keras_distill.students.copies.net2net import net2net_wider
from keras_distill.students.images import mlp
from keras_distill.students.images import mobile_cnn
from keras_distill.students.images import plain_cnn
from keras_distill.students.texts.networks import bilstm
from keras_distill.students.texts.networks import text_cnn
from keras_distill.students.texts.networks import transformer

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
