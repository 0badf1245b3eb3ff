"""Film reviews of few words, those of the page about phones."""

import importlib.util
import pathlib

REPLACED = {"epochs=3": "epochs=1", "num_threads=(1, 2)": "num_threads=()"}


def prepare(folder, monkeypatch):
    path = pathlib.Path(__file__).with_name("bert_to_phone.py")
    spec = importlib.util.spec_from_file_location("bert_to_phone", path)
    bert_to_phone = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bert_to_phone)
    bert_to_phone.write_reviews(folder)


def check(folder, names, printed):
    assert (folder / "models/reviews/1/assets.extra/tf_serving_warmup_requests").exists()
    assert (folder / "models/reviews/2/saved_model.pb").exists()
    assert "docker run" in printed
    assert names["request"].IsInitialized()
