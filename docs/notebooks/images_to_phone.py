# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Images: from a network to a file for a phone
#
# A teacher learns to read handwritten digits. A student of a tenth of its size learns from it, and
# becomes an int8 file. The data comes with scikit-learn: 1,797 images of 8 x 8 pixels. With one
# channel an app runs the file by LiteRT; MediaPipe's `ImageClassifier` takes three.

# %% tags=["install"]
# In Colab, upload a wheel of the repository (`pip wheel --no-deps .`) first.
# %pip install -q keras_distill-*.whl

# %% [markdown]
# ## Data
#
# 100 images have a label, 1,197 more have none, and 500 are kept for the test.

# %%
import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from sklearn.datasets import load_digits

import keras_distill as kd

keras.utils.set_random_seed(0)
digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.images))
images = (digits.images[order, :, :, None] / 16).astype("float32")
labels = digits.target[order].astype("int32")
x_train, y_train = images[:100], labels[:100]
x_all, x_test, y_test = images[:1297], images[1297:], labels[1297:]

# %% [markdown]
# ## Teacher and student
#
# Both end in logits: the last layer has no activation.

# %%
layers = keras.layers


def make(filters, name):
    return keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            layers.Conv2D(filters, 3, activation="relu"),
            layers.Conv2D(filters, 3, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(10, name="logits"),
        ],
        name=name,
    )


teacher, alone, student = make(32, "teacher"), make(6, "alone"), make(6, "student")
print(f"{teacher.count_params():,} parameters, and {student.count_params():,}")

# %% [markdown]
# The teacher learns from the labels, and so does a student that has no teacher, to compare with.

# %%
cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
teacher.compile("adam", cross_entropy)
teacher.fit(x_train, y_train, epochs=40, batch_size=10, verbose=0)
alone.compile(keras.optimizers.Adam(0.005), cross_entropy)
alone.fit(x_train, y_train, epochs=40, batch_size=10, verbose=0)

# %% [markdown]
# ## Distil
#
# The student learns from the teacher's answers to all images, with and without a label. So there
# are no labels here: alpha is 0. It takes as many steps as the student alone.

# %%
distiller = kd.Distiller(student=student, teacher=teacher, alpha=0.0, temperature=4.0)
distiller.compile(keras.optimizers.Adam(0.005))
history = distiller.fit(x_all, epochs=10, batch_size=32, verbose=0)  # 41 steps each
print(f"soft loss: {history.history['soft_loss'][0]:.2f} to {history.history['soft_loss'][-1]:.2f}")

# %% [markdown]
# ## Ship
#
# The file has 8-bit weights and activations. Before it is written it is compared with Keras.

# %%
report = kd.export_tflite(
    student,
    "digits.tflite",
    quantization="int8",
    representative_data=x_all[:100],
    metadata=kd.export.ImageMetadata([str(digit) for digit in range(10)], std=255.0),
)
print(f"{report.num_bytes:,} bytes")
print(kd.describe("digits.tflite"))

# %% [markdown]
# ## Compare
#
# All on the same test images. The difference from the student alone has an interval and a p: with
# 500 images a few points can be chance.

# %%
comparison = kd.compare(
    {"teacher": teacher, "alone": alone, "distilled": student, "phone": "digits.tflite"},
    (x_test, y_test),
    num_threads=(),
    verbose=0,
)
print(comparison)
comparison.write_html("comparison.html")

# %% [markdown]
# ## Run the file
#
# As an app does, by LiteRT's interpreter.

# %%
interpreter = Interpreter("digits.tflite")
runner = interpreter.get_signature_runner()
(probabilities,) = runner(image=x_test[:1]).values()
print(f"digit {probabilities.argmax()}, labelled {y_test[0]}")
