"""GPT-2 of KerasHub, small, with a vocabulary of letters."""

import keras
import keras_hub

END = "<|endoftext|>"
LETTERS = "abcdefgh"


def make_preprocessor(sequence_length=12):
    # KerasHub pads with 0, and wants at least one merge.
    tokens = ["!", *LETTERS, "Ġ", "Ġa", END]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = keras_hub.models.GPT2Tokenizer(vocabulary=vocabulary, merges=["Ġ a"])
    return keras_hub.models.GPT2CausalLMPreprocessor(tokenizer, sequence_length=sequence_length)


def make_model(width=8, num_layers=1, seed=0, preprocessor=None):
    keras.utils.set_random_seed(seed)
    preprocessor = preprocessor or make_preprocessor()
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=preprocessor.tokenizer.vocabulary_size(),
        num_layers=num_layers,
        num_heads=2,
        hidden_dim=width,
        intermediate_dim=2 * width,
        dropout=0.0,
        max_sequence_length=preprocessor.sequence_length,
    )
    model = keras_hub.models.GPT2CausalLM(backbone, preprocessor=preprocessor)
    # Those of a new model all but vanish, and with them what a token says of the next.
    model.set_weights([5 * weight for weight in model.get_weights()])
    return model
