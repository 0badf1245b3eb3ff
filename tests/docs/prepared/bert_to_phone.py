"""Film reviews of few words, and the TF-Hub modules in the cache, small and random."""

import hashlib

import hub_modules

REPLACED = {
    "epochs=3": "epochs=1",
    "num_steps = 2000": "num_steps = 10",
    "num_threads=(1, 2)": "num_threads=()",
}
FILMS = ("film", "story", "cast", "music", "end", "plot", "scene", "book")
WORDS = {"good": ("good", "fine"), "bad": ("bad", "dull"), "neither": ("long", "short")}
HANDLE = "https://tfhub.dev/tensorflow/bert_en_uncased_{}"


def write_reviews(folder):
    rows = [
        (f"the {film} is {word} .", label)
        for film in FILMS
        for label, words in WORDS.items()
        for word in words
    ]
    for name, part in {"train.tsv": rows[:36], "test.tsv": rows[36:]}.items():
        lines = ["text\tlabel", *map("\t".join, part)]
        (folder / name).write_text("\n".join(lines) + "\n")
    more = [f"{text} {word}" for text, label in rows[:36] for word in WORDS[label]]
    (folder / "more.txt").write_text("\n".join(more) + "\n")


def prepare(folder, monkeypatch):
    write_reviews(folder)
    cache = folder / "cache"
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(cache))
    modules = {
        "L-12_H-768_A-12/4": hub_modules.save_encoder,
        "preprocess/3": hub_modules.save_preprocessor,
    }
    for name, save in modules.items():
        save(cache / hashlib.sha1(HANDLE.format(name).encode()).hexdigest())


def check(folder, names, printed):
    assert "token_ids: int32 [1, 32]" in printed
    assert names["probabilities"].shape == (3,)
