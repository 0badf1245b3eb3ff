"""New texts of a job, made from its labelled ones, for the teacher to answer."""

import unicodedata

from keras_distill.text import augment


def make_new_texts(texts, num_rounds, are_words, seed):
    """Runs `augment` on words, or on characters if spaces do not separate words.

    Characters are replaced twice as often, but never masked: MediaPipe's tokenizer cuts "[MASK]"
    into brackets and letters, none of which says that something is missing.

    Args:
        texts: Strings; those without words are left out.
        num_rounds: Rounds of `augment`.
        are_words: Whether spaces separate words.
        seed: Seed of the draws.
    """
    texts = [text for text in texts if text.split()]
    if are_words:
        return augment(texts, num_rounds, seed=seed)
    settings = {"split": characters, "join": "", "mask_rate": 0.0, "replace_rate": 0.2}
    return augment(texts, num_rounds, seed=seed, **settings)


def characters(text):
    """Splits a text into characters with their marks; Latin words and numbers stay whole.

    A Thai vowel sign, for instance, has no meaning behind another character.
    """
    units = []
    for character in text:
        is_mark = unicodedata.category(character).startswith("M")
        if units and (is_mark or (_is_latin(character) and _is_latin(units[-1][-1]))):
            units[-1] += character
        else:
            units.append(character)
    return units


def _is_latin(character):
    return character.isascii() and character.isalnum()
