"""Every integer argument of a public function takes NumPy's integers, and refuses True."""

import dataclasses
import inspect
import json
import re

import keras
import numpy as np
import pytest
import small_bert
import small_gpt2
import tensorflow as tf

import keras_distill as kd

X = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
Y = np.arange(12) % 3
TEXTS = ["a good film", "a bad film", "the film was good"] * 4
IMAGE = (8, 8, 3)
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "film", "good"]


def dense(units=3):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,), name="x")
    hidden = keras.layers.Dense(4, name="hidden")(inputs)
    return keras.Model(inputs, keras.layers.Dense(units, name="logits")(hidden))


def convolutional():
    inputs = keras.Input(IMAGE)
    x = keras.layers.Conv2D(4, 1, name="first")(inputs)
    return keras.Model(inputs, keras.layers.Conv2D(4, 3, name="convolution")(x))


def data_free(path, seed):
    generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    distiller = kd.Distiller(student=dense(), teacher=dense(), alpha=0.0)
    learner = kd.teaching.DataFree(distiller, generator, seed=seed)
    return learner.seed


def record(**settings):
    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)
    return kd.teaching.record_statistics(dense(), dataset, ["hidden"], **settings)


def write_vectors(path, **settings):
    (path / "vectors.txt").write_text("film 1 2\n")
    return kd.text.load_vectors(path / "vectors.txt", kd.text.WordVocabulary(WORDS[5:]), **settings)


def batches_of(**settings):
    vocabulary = kd.text.WordVocabulary(WORDS[5:])
    return kd.text.batch_by_length(kd.text.from_lists(TEXTS, list(Y)), vocabulary, **settings)


def build_store(path, **settings):
    dataset = tf.data.Dataset.from_tensor_slices(X)
    folder = path / f"store_{len(list(path.iterdir()))}"
    return kd.TeacherStore.build(dataset, dense(), folder, verbose=0, **settings).attach(dataset)


def compare(path, **settings):
    models = {"one": dense(), "two": dense()}
    return kd.compare(models, (X, Y), verbose=0, **{"num_threads": (), **settings}).to_json()


def job(kind, teacher, **settings):
    made = kind("train", "output", teacher, **settings)
    made._check()
    return dataclasses.asdict(made)


def augment(function, *arguments, **settings):
    return function(TEXTS, *arguments, verbose=0, **settings)


def bert(**settings):
    return kd.teachers.text_classifier(
        small_bert.make_backbone(), preprocessor=small_bert.make_preprocessor(), **settings
    )


def stage(path, epochs):
    return kd.teaching.Stage("hint", epochs=epochs, loss="mse").epochs


def fit_stages(path, seed):
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    stages = [kd.teaching.Stage("one", epochs=1, loss=loss)]
    how = {"student": dense(), "teacher": dense(), "directory": path / "run"}
    kd.teaching.fit_stages(stages, data, **how, seed=seed, shuffle=False, verbose=0)
    return json.loads((path / "run" / "training.json").read_text())["seed"]


def tasks():
    return {"one": (X, Y)}


# By function: its integer arguments with values, and a call with them.
CASES = {
    "callbacks.Pruning": (
        {"frequency": 2},
        lambda path, **i: kd.callbacks.Pruning(0.5, **i).frequency,
    ),
    "TeacherStore.build": ({"top_k": 2, "shards": 2, "batch_size": 5}, build_store),
    "compare": ({"num_resamples": 10, "seed": 1}, compare),
    "losses.AttentionRelationKL": (
        {"num_relation_heads": 2},
        lambda path, **i: kd.losses.AttentionRelationKL(**i),
    ),
    "losses.CRD": (
        {"num_examples": 9, "feature_dim": 4, "num_negatives": 3, "seed": 0},
        lambda path, **i: kd.losses.CRD(**i),
    ),
    "losses.CorrelationCongruence": (
        {"order": 2},
        lambda path, **i: kd.losses.CorrelationCongruence(**i),
    ),
    "losses.GradientNorm": (
        {"num_projections": 1, "seed": 2},
        lambda path, **i: kd.losses.GradientNorm(**i),
    ),
    "losses.KnowledgeReview": (
        {"mid_channels": 4},
        lambda path, **i: kd.losses.KnowledgeReview(**i),
    ),
    "losses.MaskedGenerative": ({"seed": 2}, lambda path, **i: kd.losses.MaskedGenerative(**i)),
    "losses.NeuronSelectivity": ({"degree": 2}, lambda path, **i: kd.losses.NeuronSelectivity(**i)),
    "losses.RegionMSE": (
        {"image_size": (8, 8)},
        lambda path, **i: kd.losses.RegionMSE("xyxy", **i),
    ),
    "losses.Sobolev": (
        {"num_projections": 1, "seed": 2},
        lambda path, **i: kd.losses.Sobolev(**i),
    ),
    "losses.SoftDarkRank": ({"list_length": 3}, lambda path, **i: kd.losses.SoftDarkRank(**i)),
    "losses.paraphraser": ({"channels": 4}, lambda path, **i: kd.losses.paraphraser(**i)),
    "optimizers.WarmupLinearDecay": (
        {"num_steps": 10},
        lambda path, **i: kd.optimizers.WarmupLinearDecay(1.0, **i),
    ),
    "optimizers.finetuning_optimizer": (
        {"num_steps": 10},
        lambda path, **i: kd.optimizers.finetuning_optimizer(dense(), **i),
    ),
    "students.bilstm": (
        {"num_classes": 2, "embedding_dim": 4, "units": 3, "dense_units": 5, "sequence_length": 6},
        lambda path, **i: kd.students.bilstm(20, **i),
    ),
    "students.mlp": (
        {"num_classes": 2, "num_layers": 1, "hidden_dim": 4, "bottleneck_dim": 2},
        lambda path, **i: kd.students.mlp((3,), **i),
    ),
    "students.mlp of a size": (
        {"num_classes": 2, "num_layers": 1, "num_parameters": 50},
        lambda path, **i: kd.students.mlp((np.int64(3),), **i),
    ),
    "students.mobile_cnn": (
        {"num_classes": 2, "width": 4, "depths": (1, 2)},
        lambda path, **i: kd.students.mobile_cnn(np.array(IMAGE), **i),
    ),
    "students.moonshine": (
        {"groups": 2, "bottleneck": 2},
        lambda path, **i: kd.students.moonshine(convolutional(), **i),
    ),
    "students.net2net_deeper": (
        {"kernel_size": 3},
        lambda path, **i: kd.students.net2net_deeper(convolutional(), "first", name="new", **i),
    ),
    "students.net2net_wider": (
        {"width": 6, "seed": 1},
        lambda path, **i: kd.students.net2net_wider(dense(), "hidden", **i),
    ),
    "students.plain_cnn": (
        {"num_classes": 2, "num_layers": 2, "filters": 4, "num_stages": 1},
        lambda path, **i: kd.students.plain_cnn(IMAGE, **i),
    ),
    "students.plain_cnn of a size": (
        {"num_classes": 2, "num_layers": 2, "num_parameters": 900},
        lambda path, **i: kd.students.plain_cnn(IMAGE, **i),
    ),
    "students.text_cnn": (
        {"num_classes": 2, "embedding_dim": 4, "filters": 3, "kernel_sizes": (2, 3)}
        | {"sequence_length": 6},
        lambda path, **i: kd.students.text_cnn(20, **i),
    ),
    "text.WordPieceVocabulary": (
        {"sequence_length": 5},
        lambda path, **i: kd.text.WordPieceVocabulary(WORDS, **i),
    ),
    "text.WordVocabulary": (
        {"sequence_length": 5},
        lambda path, **i: kd.text.WordVocabulary(WORDS[5:], **i),
    ),
    "text.augment": (
        {"num_iterations": 2, "max_ngram": 2, "seed": 1, "num_workers": 1},
        lambda path, **i: augment(kd.text.augment, **i),
    ),
    "text.augment_with_nearest_words": (
        {"num_iterations": 2, "num_candidates": 1, "seed": 1, "num_workers": 1},
        lambda path, **i: augment(
            kd.text.augment_with_nearest_words, ["film", "good", "bad"], np.eye(3), **i
        ),
    ),
    "text.batch_by_length": (
        {"bucket_lengths": (2, 8), "tokens_per_batch": 16, "batch_size": 4, "seed": 3},
        lambda path, **i: batches_of(**i),
    ),
    "text.WordPieceVocabulary.learn": (
        {"vocabulary_size": 20, "min_count": 1},
        lambda path, **i: kd.text.WordPieceVocabulary.learn(TEXTS, **i),
    ),
    "text.WordVocabulary.learn": (
        {"vocabulary_size": 8, "min_count": 2},
        lambda path, **i: kd.text.WordVocabulary.learn(TEXTS, **i),
    ),
    "text.load_vectors": ({"seed": 1}, write_vectors),
    "teaching.DataFree": ({"seed": 1}, data_free),
    "teaching.Stage": ({"epochs": 2}, stage),
    "teaching.fit_stages": ({"seed": 1}, fit_stages),
    "data.join_tasks": (
        {"batch_size": 4},
        lambda path, **i: kd.data.join_tasks(tasks(), **i),
    ),
    "data.mix_tasks": (
        {"batch_size": 4, "num_batches": 2, "seed": 1},
        lambda path, **i: kd.data.mix_tasks(tasks(), **i),
    ),
    "teaching.record_statistics": (
        {"max_covariance_width": 2},
        lambda path, **i: record(**i).covariances["hidden"],
    ),
    "teaching.synthesize": (
        {"num_examples": 3, "num_steps": 2, "batch_size": 2, "seed": 1},
        lambda path, **i: kd.teaching.synthesize(dense(), record(), **i),
    ),
    "jobs.ImageJob": (
        {"image_size": (8, 8), "width": 8, "num_views": 2, "num_steps": 9, "teacher_epochs": 2}
        | {"num_threads": (1,), "seed": 1},
        lambda path, **i: job(kd.jobs.ImageJob, "teacher.keras", **i),
    ),
    "jobs.TextJob": (
        {"num_augmented": 2, "sequence_length": 9, "vocabulary_size": 90, "num_steps": 9}
        | {"teacher_epochs": 2, "num_threads": (1,), "seed": 1},
        lambda path, **i: job(kd.jobs.TextJob, "ensemble", **i),
    ),
    "data.RandomViews": (
        {"num_views": 2, "seed": 1},
        lambda path, **i: kd.data.RandomViews(
            lambda x, seed: x + tf.cast(seed[0], "float32"), **i
        ).all(tf.data.Dataset.from_tensor_slices(X)),
    ),
}
# These import KerasHub, or convert a model.
LONG = {
    "benchmark": (
        {"num_threads": 1, "num_runs": 2},
        lambda path, **i: kd.benchmark(exported(path), min_seconds=0, **i).num_runs,
    ),
    "compare on threads": (
        {"num_threads": (1, 2)},
        lambda path, **i: list(json.loads(compare(path, **i))),
    ),
    "export_tflite": (
        {"batch_size": 2, "sequence_length": 6},
        lambda path, **i: (
            kd.export_tflite(
                kd.students.text_cnn(20, 2, embedding_dim=4), path / "m.tflite", **i
            ).num_bytes
        ),
    ),
    "export_saved_model": (
        {"version": 3, "top_k": 2, "batch_sizes": (1, 4)},
        lambda path, **i: (
            kd.export_saved_model(
                dense(), path / f"m{len(list(path.iterdir()))}", class_names=["a", "b", "c"], **i
            ).name
        ),
    ),
    "students.from_teacher": (
        {"layers": (0,), "num_classes": 2, "hidden_dim": 8, "sequence_length": 6},
        lambda path, **i: kd.students.from_teacher(small_bert.make_backbone(), **i),
    ),
    "students.transformer": (
        {"num_classes": 2, "hidden_dim": 8, "num_layers": 1, "num_heads": 2}
        | {"intermediate_dim": 4, "embedding_dim": 4}
        | {"max_sequence_length": 9, "sequence_length": 6},
        lambda path, **i: kd.students.transformer(20, **i),
    ),
    "teachers.text_classifier": (
        {"num_classes": 2, "sequence_length": 16},
        lambda path, **i: bert(**i),
    ),
    "teachers.TextInputs": (
        {"sequence_length": 9},
        lambda path, **i: kd.teachers.TextInputs(
            small_bert.make_preprocessor(), ["token_ids", "padding_mask"], **i
        ),
    ),
    "text.WordPieceVocabulary.from_teacher": (
        {"sequence_length": 9},
        lambda path, **i: kd.text.WordPieceVocabulary.from_teacher(
            small_bert.make_preprocessor(), **i
        ),
    ),
    "data.generate_targets": (
        {"max_length": 9, "batch_size": 2},
        lambda path, **i: kd.data.generate_targets(small_gpt2.make_model(), ["a", "b"], **i),
    ),
}
# These take a second or more.
SLOW = {
    *("TeacherStore.build", "compare", "students.mobile_cnn", "teaching.fit_stages"),
    *("teaching.synthesize", "data.join_tasks", "text.batch_by_length"),
}
ALL = [
    *(
        pytest.param(*case, id=name, marks=[pytest.mark.long] * (name in SLOW))
        for name, case in CASES.items()
    ),
    *(pytest.param(*case, id=name, marks=pytest.mark.long) for name, case in LONG.items()),
]


def exported(path):
    if not (path / "m.tflite").exists():
        kd.export_tflite(dense(), path / "m.tflite")
    return path / "m.tflite"


def of_numpy(value):
    return tuple(map(np.int64, value)) if isinstance(value, tuple) else np.int64(value)


def content(found):
    """What two results have in common if they were made with equal arguments."""
    if isinstance(found, tf.data.Dataset):
        return [content(part) for part in found]
    if isinstance(found, keras.Model):
        return str([(weight.shape, weight.dtype) for weight in found.weights])
    if hasattr(found, "get_config"):
        config = found.get_config()
        # JSON takes no integer of NumPy's.
        return re.sub(r'"name": "\w+"', "", json.dumps(config, default=type, sort_keys=True))
    parts = keras.tree.flatten(found)
    return [part.tolist() if hasattr(part, "tolist") else part for part in map(np.asarray, parts)]


@pytest.mark.parametrize(("integers", "call"), ALL)
def test_integers_of_numpy(integers, call, tmp_path):
    of_numpys = {name: of_numpy(value) for name, value in integers.items()}
    found = [content(call(tmp_path, **values)) for values in (integers, of_numpys)]
    assert found[0] == found[1]


@pytest.mark.parametrize(("integers", "call"), ALL)
def test_true_is_no_integer(integers, call, tmp_path):
    for name, value in integers.items():
        wrong = (True,) if isinstance(value, tuple) else True
        with pytest.raises(ValueError, match=rf"^{name}\b.* must be .*\. Received: {name}=\(?True"):
            call(tmp_path, **{**integers, name: wrong})


INTEGERS = re.compile(
    r"(num|max|min)_(?!difference|relative|column|bytes|seconds|ms)\w+|(\w+_)?(size|length|dim|"
    r"units|epochs|channels|width|steps)|seed|depths?|filters|order|groups|heads|bottleneck|degree|"
    r"frequency|shards|top_k|bucket_lengths|batch_sizes|kernel_sizes|image_size|tokens_per_batch"
)
# Results, which nobody makes, and classes that only their functions make.
RESULTS = {
    *("ActivationStatistics", "Comparison", "LatencyReport", "TFLiteDescription", "TFLiteReport"),
    *("TextMetadata", "Vocabulary"),
    # This needs Apache Beam, and checks as `TeacherStore.build` does.
    "label_with_beam",
}


def public_functions():
    """Yields pairs of a name, with its room, and a function or class."""
    seen = set()
    rooms = [getattr(kd, name) for name in kd.__all__ if inspect.ismodule(getattr(kd, name))]
    for module in [kd, *rooms]:
        room = module.__name__.removeprefix("keras_distill").strip(".")
        for name in getattr(module, "__all__", ()):
            made = getattr(module, name)
            if callable(made) and name not in RESULTS and id(made) not in seen:
                seen.add(id(made))
                yield f"{room}.{name}".strip("."), made
    yield "TeacherStore.build", kd.TeacherStore.build


def test_every_public_integer_is_tried():
    tried = {}
    for name, (integers, _) in (CASES | LONG).items():
        tried.setdefault(name.split(" ")[0].split(".", 1)[-1], set()).update(integers)
    missing = []
    for name, made in public_functions():
        names = set(filter(INTEGERS.fullmatch, inspect.signature(made).parameters))
        missing += [(name, n) for n in names - tried.get(name.split(".", 1)[-1], set())]
    assert missing == []
