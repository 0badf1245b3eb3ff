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
# # Texts: from an ensemble to a file for a phone
#
# Two networks answer together, and a small one learns from them: what a short request is about. It
# becomes a file that MediaPipe's `TextClassifier` takes as it is. The requests are made up here, so
# that nothing is downloaded: figures on them say nothing about real ones. With a BERT as the
# teacher the steps are the same: `kd.teachers.text_classifier`.

# %% tags=["install"]
# In Colab, upload a wheel of the repository (`pip wheel --no-deps .`) first.
# %pip install -q keras_distill-*.whl

# %% [markdown]
# ## Data
#
# The teacher has learned from 600 requests with labels. For the student there are 30 with a label,
# in which most words never come, and 600 without. 300 are kept for the test.

# %%
import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter

import keras_distill as kd

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
SUBJECTS = """
travel: flight hotel train ticket passport luggage airport visa trip seat gate bus ferry map
money: bank card loan bill cash account fee transfer salary tax rent coin debt rate
kitchen: recipe oven soup bread salt dinner pan cook sauce lunch knife plate sugar tea
"""
WORDS = dict(line.split(": ") for line in SUBJECTS.strip().splitlines())
NAMES = sorted(WORDS)
FRAMES = ["how is the {}", "i need a {} today", "the {} and the {}", "what about {} with {}"]


def make_requests(num_texts):
    """Requests, of which some have a word of another subject."""
    labels = rng.choice(NAMES, num_texts)
    texts = []
    for label in labels:
        subjects = [label, label if rng.random() < 0.8 else rng.choice(NAMES)]
        words = [rng.choice(WORDS[subject].split()) for subject in subjects]
        texts.append(rng.choice(FRAMES).format(*words))
    return texts, labels.tolist()


of_teacher, train, test = (
    kd.text.from_lists(*make_requests(number), class_names=NAMES) for number in (600, 30, 300)
)
transfer = train + kd.text.from_lists(make_requests(600)[0])
print(train.texts[0], "->", NAMES[train.labels[0]])

# %% [markdown]
# ## The teacher
#
# Two networks of different seeds, as one model that reads strings.

# %%
cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
words = kd.text.WordVocabulary.learn(
    of_teacher.texts, vocabulary_size=200, sequence_length=12, for_apps=True
)


def train_network(seed):
    keras.utils.set_random_seed(seed)
    network = kd.students.text_cnn(words, len(NAMES), embedding_dim=32, filters=32, dropout=0.3)
    network.compile(keras.optimizers.Adam(0.003), cross_entropy)
    network.fit(words(of_teacher.texts), of_teacher.labels, epochs=10, verbose=0)
    return network


ensemble = kd.teachers.Ensemble([train_network(seed) for seed in (1, 2)])
strings = keras.Input((), dtype="string", name="text")
teacher = keras.Model(strings, ensemble(words(strings)))

# %% [markdown]
# ## Its answers, once
#
# A store keeps what the teacher says of all 630 requests. Run the cell again: it is there.

# %%
store = kd.TeacherStore.build(transfer, teacher, "answers", verbose=0)
print(f"{len(store)} answers")

# %% [markdown]
# ## The student, alone and distilled
#
# Both have the same size and take as many steps.

# %%
NUM_STEPS = 200


def make_student():
    keras.utils.set_random_seed(0)
    return kd.students.text_cnn(words, len(NAMES), embedding_dim=8, filters=4, dropout=0.1)


def batches_of(examples):
    return kd.text.batch_by_length(examples, words, batch_size=32).repeat()


alone = make_student()
alone.compile(keras.optimizers.Adam(0.005), cross_entropy)
how = {"steps_per_epoch": NUM_STEPS, "shuffle": False, "verbose": 0}
alone.fit(batches_of(train), **how)

student = make_student()
soft_loss = kd.losses.SoftTargetKL(2.0, teacher_from_logits=True)
distiller = kd.Distiller(student=student, soft_loss=soft_loss, alpha=0.0)
distiller.compile(keras.optimizers.Adam(0.005))
distiller.fit(batches_of(store.attach(transfer)), **how)
print(f"{ensemble.count_params():,} parameters, and {student.count_params():,}")

# %% [markdown]
# ## Ship
#
# Labels and vocabulary go into the file.

# %%
report = kd.export_tflite(
    student,
    "requests.tflite",
    quantization="dynamic",
    representative_data=words(transfer.texts[:100]).numpy(),
    metadata=kd.export.TextMetadata(NAMES, words, tokenizer="regex"),
)
print(f"{report.num_bytes:,} bytes, agreement with Keras {report.top1_agreement:.0%}")

# %% [markdown]
# ## Compare
#
# The test set holds strings. Those models that read ids get them from the vocabulary.

# %%
comparison = kd.compare(
    {"teacher": teacher, "alone": alone, "distilled": student, "phone": "requests.tflite"},
    test,
    preprocessors={"alone": words, "distilled": words, "phone": words},
    num_threads=(),
    verbose=0,
)
print(comparison)
print(comparison["distilled"].differences["accuracy"])
comparison.write_html("comparison.html")

# %% [markdown]
# ## Run the file

# %%
ids = np.zeros((1, 12), "int32")
found = words(["i need a visa today"]).numpy()
ids[:, : found.shape[1]] = found
runner = Interpreter("requests.tflite").get_signature_runner()
(probabilities,) = runner(token_ids=ids).values()
print(NAMES[probabilities.argmax()])
