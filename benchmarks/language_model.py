"""Token-level and sequence-level distillation of a small GPT-2: what each is worth.

    python benchmarks/language_model.py FOLDER_OF_CLINC150 [--seeds 3] [--epochs 3]

The folder has train.tsv.gz and dev.tsv.gz, with a column "text": 15,000 and 3,000 questions to an
assistant. The texts are cut into 500 kinds of byte pairs, learnt from them. One teacher; one
student, which takes the same number of steps by each method:

    alone                  on the texts
    token-level            on the texts and the teacher's distribution of each next token
    sequence-level         on what the teacher writes, greedily, after the first three words of each
    both                   on what the teacher writes, and its distributions there

Prints for each method and seed the bits per token of the dev texts, and of 500 of them how many
the student finishes greedily, from the first three words, exactly as the teacher does.
"""

import argparse
import gzip
import json
import math
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras_hub
import numpy as np
import tokenizers

import keras_distill as kd
from keras_distill.data.sequences import generate_targets

LENGTH = 32
END = "<|endoftext|>"
METHODS = {
    "alone": ("texts", 1.0),
    "token-level": ("texts", 0.5),
    "sequence-level": ("written", 1.0),
    "both": ("written", 0.5),
}


def read_texts(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [line.split("\t")[0] for line in file.read().splitlines()[1:]]


def preprocessor_of(texts):
    """One with byte pairs that were learnt from the texts."""
    learnt = tokenizers.Tokenizer(tokenizers.models.BPE())
    learnt.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=[END],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    learnt.train_from_iterator(texts, trainer)
    model = json.loads(learnt.to_str())["model"]
    # KerasHub pads with 0, which must not be the end of a text.
    vocabulary = {token: (index - 1) % 500 for token, index in model["vocab"].items()}
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    tokenizer = keras_hub.models.GPT2Tokenizer(vocabulary=vocabulary, merges=merges)
    return keras_hub.models.GPT2CausalLMPreprocessor(tokenizer, sequence_length=LENGTH)


def language_model(preprocessor, num_layers, width):
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=preprocessor.tokenizer.vocabulary_size(),
        num_layers=num_layers,
        num_heads=width // 16,
        hidden_dim=width,
        intermediate_dim=4 * width,
        dropout=0.0,
        max_sequence_length=LENGTH,
    )
    return keras_hub.models.GPT2CausalLM(backbone, preprocessor=preprocessor)


def train(student, teacher, data, alpha, epochs, seed):
    x, y, sample_weight = data
    keras.utils.set_random_seed(seed)
    steps = math.ceil(len(y) / 64) * epochs
    distiller = kd.Distiller(student=student, teacher=teacher, alpha=alpha, temperature=1.0)
    distiller.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, steps)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    distiller.fit(x, y, sample_weight=sample_weight, batch_size=64, epochs=epochs, verbose=0)


def bits_per_token(model, data):
    x, y, sample_weight = data
    # predict() of a KerasHub model expects texts.
    rows = keras.tree.map_structure(lambda values: values.reshape(-1, 250, LENGTH), x)
    logits = [model({name: rows[name][i] for name in rows}) for i in range(len(y) // 250)]
    log_p = keras.ops.log_softmax(keras.ops.concatenate(logits), axis=-1)
    log_p = np.take_along_axis(np.asarray(log_p), np.asarray(y)[..., None], axis=-1)[..., 0]
    return -log_p[np.asarray(sample_weight)].mean() / np.log(2)


def arrays(data):
    return keras.tree.map_structure(np.asarray, data)


def prompts_of(texts):
    return [" ".join(text.split()[:3]) for text in texts]


def written_by(model, texts):
    return generate_targets(model, prompts_of(texts), max_length=LENGTH, batch_size=250)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--teacher_epochs", type=int, default=8)
    arguments = parser.parse_args()

    texts, dev = (read_texts(arguments.folder / f"{part}.tsv.gz") for part in ("train", "dev"))
    preprocessor = preprocessor_of(texts)
    dev_data, some = arrays(preprocessor(dev)), dev[:: len(dev) // 500][:500]
    data = {"texts": arrays(preprocessor(texts))}
    keras.utils.set_random_seed(0)
    teacher = language_model(preprocessor, num_layers=2, width=64)
    train(teacher, None, data["texts"], 1.0, arguments.teacher_epochs, seed=0)
    print(f"teacher: {bits_per_token(teacher, dev_data):.3f} bits per token", flush=True)
    written = written_by(teacher, texts)
    print(f"{len(set(written))} different texts written, such as {written[:3]}", flush=True)
    data["written"] = arrays(preprocessor(written))
    by_teacher = written_by(teacher, some)

    print("| | bits per token | mean | finished as the teacher does | mean |", flush=True)
    for method, (of, alpha) in METHODS.items():
        bits, same = [], []
        for seed in range(arguments.seeds):
            keras.utils.set_random_seed(seed)
            student = language_model(preprocessor, num_layers=1, width=32)
            train(student, teacher, data[of], alpha, arguments.epochs, seed)
            bits.append(bits_per_token(student, dev_data))
            same.append(np.mean([a == b for a, b in zip(written_by(student, some), by_teacher)]))
        columns = ", ".join(f"{b:.3f}" for b in bits), f"{np.mean(bits):.3f}"
        columns += ", ".join(f"{s:.3f}" for s in same), f"{np.mean(same):.3f}"
        print(f"| {method} | {' | '.join(columns)} |", flush=True)


if __name__ == "__main__":
    main()
