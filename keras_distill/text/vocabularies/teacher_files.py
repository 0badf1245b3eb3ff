"""Reads the vocabulary of a BERT teacher from its tokenizer or its files."""

import pathlib

from keras_distill._files.json_files import read_json_object
from keras_distill.text.vocabularies.base import read_tokens

# Vocabulary files of Hugging Face and TF 1, of a SavedModel, and of a KerasHub preset.
_VOCABULARY_FILES = ("vocab.txt", "assets/vocab.txt", "assets/tokenizer/vocabulary.txt")


def read_vocabulary(source):
    """Returns the file or None, the tokens, and the settings "lowercase" and "strip_accents".

    Args:
        source: As for `WordPieceVocabulary.from_teacher`.
    """
    tokenizer = getattr(source, "tokenizer", source)
    if hasattr(tokenizer, "get_vocabulary") and hasattr(tokenizer, "suffix_indicator"):
        return None, tokenizer.get_vocabulary(), tokenizer.get_config()
    folder = getattr(source, "folder", source)
    if not isinstance(folder, (str, pathlib.Path)):
        raise ValueError(
            "source must be a KerasHub WordPiece tokenizer or preprocessor, a HubLayer with a "
            f"folder, or the path of a vocabulary. Received: source={source!r}"
        )
    path = pathlib.Path(folder)
    if path.is_dir():
        files = [path / name for name in _VOCABULARY_FILES if (path / name).is_file()]
        if not files:
            raise ValueError(
                f"source must have a vocabulary, as one of {_VOCABULARY_FILES}. "
                f"Received: the folder {path}. Give the path of the vocabulary file."
            )
        path = files[0]
    return path, read_tokens(path), _read_casing(path.parent)


def _read_casing(folder):
    hugging_face, keras_hub = folder / "tokenizer_config.json", folder / "../../tokenizer.json"
    if hugging_face.is_file():
        config = read_json_object(hugging_face)
        return {
            "lowercase": config.get("do_lower_case"),
            "strip_accents": config.get("strip_accents"),
        }
    if folder.name == "tokenizer" and keras_hub.is_file():
        config = read_json_object(keras_hub).get("config")
        if not isinstance(config, dict):
            raise ValueError(
                f"{keras_hub} must have a tokenizer's settings under 'config'. Received: "
                f"config={config!r:.80}. The file is damaged, or that of another KerasHub."
            )
        return config
    return {}
