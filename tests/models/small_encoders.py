"""A small random encoder of each family that KerasHub has for classifiers of texts."""

import io

import keras_hub
import sentencepiece
from small_bert import TOKENS

WORDS = ["the", "film", "is", "good", "bad", "cafe", "unwanted", "."]
_SIZES = {"num_layers": 1, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32}


def _pieces(special_tokens, **settings):
    """A SentencePiece model of whole words."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(WORDS)] * 2),
        model_writer=written,
        vocab_size=len(WORDS) + special_tokens,
        model_type="WORD",
        minloglevel=2,
        **settings,
    )
    return written.getvalue()


def _bert():
    return keras_hub.models.BertTokenizer(TOKENS, lowercase=True)


def _distil_bert():
    return keras_hub.models.DistilBertTokenizer(TOKENS, lowercase=True)


def _roberta():
    starts = [start for word in WORDS for start in (word, f"\u0120{word}")]  # \u0120 is a blank.
    ends = {start[:end]: start[end - 1] for start in starts for end in range(2, len(start) + 1)}
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *"".join(starts), *ends]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    merges = [f"{joined[:-1]} {letter}" for joined, letter in ends.items()]
    return keras_hub.models.RobertaTokenizer(vocabulary, merges)


def _deberta_v3():
    names = {"pad_piece": "[PAD]", "bos_piece": "[CLS]", "eos_piece": "[SEP]", "unk_piece": "[UNK]"}
    proto = _pieces(4, pad_id=0, bos_id=1, eos_id=2, unk_id=3, **names)
    return keras_hub.models.DebertaV3Tokenizer(proto)


def _xlm_roberta():
    return keras_hub.models.XLMRobertaTokenizer(_pieces(3, unk_id=0, bos_id=1, eos_id=2))


def _albert():
    names = {"pad_piece": "<pad>", "bos_piece": "[CLS]", "eos_piece": "[SEP]", "unk_piece": "<unk>"}
    numbers = {"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3}
    proto = _pieces(5, user_defined_symbols="[MASK]", **names, **numbers)
    return keras_hub.models.AlbertTokenizer(proto)


_TOKENIZERS = {
    "Bert": _bert,
    "Roberta": _roberta,
    "DebertaV3": _deberta_v3,
    "XLMRoberta": _xlm_roberta,
    "Albert": _albert,
    "DistilBert": _distil_bert,
}
FAMILIES = list(_TOKENIZERS)


def make_encoder(family, spare_rows=0):
    """A backbone and its preprocessor, with tokens for `WORDS`.

    Args:
        family: One of `FAMILIES`.
        spare_rows: Rows of the embedding that no token has.
    """
    tokenizer = _TOKENIZERS[family]()
    preprocessor = getattr(keras_hub.models, f"{family}TextClassifierPreprocessor")
    backbone = getattr(keras_hub.models, f"{family}Backbone")
    settings = {"embedding_dim": 8} if family == "Albert" else {}
    encoder = backbone(
        vocabulary_size=tokenizer.vocabulary_size() + spare_rows,
        max_sequence_length=32,
        **_SIZES,
        **settings,
    )
    return encoder, preprocessor(tokenizer, sequence_length=16)
