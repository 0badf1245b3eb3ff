"""Texts that a teacher writes: each prompt's own, and the teacher stays as it was."""

import keras_hub
import numpy as np
import pytest
from small_gpt2 import END
from small_gpt2 import make_model
from small_gpt2 import make_preprocessor

from keras_distill.data import generate_targets

PROMPTS = ["a", "bc", "hg", "ff", "ad"]


@pytest.fixture(scope="module")
def teacher():
    return make_model(16, num_layers=2, seed=3)


def greedy(model, prompt, max_length):
    """The most likely next token, one at a time, by whole passes."""
    tokenizer = model.preprocessor.tokenizer
    end = tokenizer.end_token_id  # Of the beginning, too.
    ids = [end, *np.asarray(tokenizer(prompt))]
    while len(ids) < max_length:
        x = {"token_ids": np.array([ids]), "padding_mask": np.ones((1, len(ids)), bool)}
        token = int(np.argmax(model(x)[0, -1]))
        if token == end:
            break
        ids.append(token)
    return tokenizer.detokenize([int(i) for i in ids[1:]])


@pytest.mark.long
def test_texts_are_the_greedy_ones(teacher):
    """KerasHub samples unless told otherwise, and a last batch is filled up."""
    texts = generate_targets(teacher, PROMPTS, batch_size=2)
    assert texts == [greedy(teacher, prompt, 12) for prompt in PROMPTS]
    assert len(set(texts)) > 2
    assert generate_targets(teacher, PROMPTS) == texts


@pytest.mark.long
def test_max_length_and_beams(teacher):
    """Both go to KerasHub: as long as said, and never less likely than greedy ones."""
    short = generate_targets(teacher, PROMPTS[:2], max_length=6)
    assert short == [greedy(teacher, prompt, 6) for prompt in PROMPTS[:2]]
    beams = generate_targets(teacher, PROMPTS[:2], max_length=6, sampler="beam")
    assert [text[: len(prompt)] for text, prompt in zip(beams, PROMPTS)] == PROMPTS[:2]


@pytest.mark.parametrize("fails", [False, True])
def test_the_teacher_stays_as_it_is(teacher, fails, monkeypatch):
    """Its sampler is the user's, also after an error in the middle."""
    before = teacher.sampler, teacher.generate_function
    used = []

    def generate(prompts, max_length):
        used.append(teacher.sampler)
        if fails:
            raise RuntimeError("no memory")
        return prompts

    monkeypatch.setattr(teacher, "generate", generate)
    if fails:
        with pytest.raises(RuntimeError, match="no memory"):
            generate_targets(teacher, PROMPTS)
    else:
        assert generate_targets(teacher, PROMPTS) == PROMPTS
    assert isinstance(used[0], keras_hub.samplers.GreedySampler)
    assert (teacher.sampler, teacher.generate_function) == before


class TestBadInput:
    @pytest.mark.parametrize("teacher", [None, len])
    def test_no_language_model(self, teacher):
        """A backbone, say, has logits and cannot write."""
        with pytest.raises(ValueError, match=r"teacher must be a KerasHub causal model.*Received"):
            generate_targets(teacher, PROMPTS)

    def test_no_preprocessor(self):
        """KerasHub would take the strings for ids."""
        model = make_model(preprocessor=make_preprocessor())
        model.preprocessor = None
        with pytest.raises(ValueError, match=r"causal model with a preprocessor.*Received: teach"):
            generate_targets(model, PROMPTS)

    def test_end_is_padding(self):
        """KerasHub sees the end in the padding, and hands the prompts back as they are."""
        tokenizer = keras_hub.models.GPT2Tokenizer({END: 0, "a": 1, "b": 2, "ab": 3}, ["a b"])
        preprocessor = keras_hub.models.GPT2CausalLMPreprocessor(tokenizer, sequence_length=12)
        with pytest.raises(ValueError, match=r"must have an end token that is not its padding. Re"):
            generate_targets(make_model(preprocessor=preprocessor), PROMPTS)

    @pytest.mark.parametrize("prompts", ["ab", [], None, [1, 2], [b"ab"], np.array(["a"])])
    def test_prompts(self, teacher, prompts):
        """A string is a list of letters."""
        with pytest.raises(ValueError, match=r"prompts must be a list of at least one string. Rec"):
            generate_targets(teacher, prompts)

    def test_batch_size(self, teacher):
        """0 would never end."""
        with pytest.raises(ValueError, match=r"batch_size must be an integer of 1 or more. Receiv"):
            generate_targets(teacher, PROMPTS, batch_size=0)
