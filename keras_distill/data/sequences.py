"""Sequence-level distillation: the texts that a teacher writes, for a student to learn from."""

import contextlib

from keras_distill._arguments.checks import check_integer


def generate_targets(teacher, prompts, *, max_length=None, sampler="greedy", batch_size=32):
    """Generates a language model's most likely texts, as training data for a student.

    ```
    target = argmax_text p_teacher(text | prompt)        approximately, by the sampler
    loss   = -log p_student(target | prompt)             the student's usual loss, on these texts
    ```

    The student then learns from them with its own `fit`, without the teacher; or in a
    `Distiller`, which adds the teacher's distribution of each token.

    Args:
        teacher: A KerasHub causal model with a preprocessor, such as
            `keras_hub.models.GPT2CausalLM`. Its sampler is not changed.
        prompts: List of the beginnings of texts, strings.
        max_length: Length at which a text is cut, in tokens with the prompt. None means the
            length of the preprocessor. Leave room: the student would learn that a cut text ends
            where it was cut.
        sampler: Name of a KerasHub sampler or a `keras_hub.samplers.Sampler`: "greedy" for the
            most likely next token, "beam" or a `BeamSampler(num_beams=5)` for a search that is
            slower and finds likelier texts, "random" for samples. Defaults to "greedy".
        batch_size: Number of texts that are generated at once. Defaults to 32.

    Returns:
        List of texts, each with its prompt, in the order of the prompts.

    Raises:
        ValueError: If the teacher cannot generate texts, its end token is its padding, or there
            are no prompts.

    Example:

    ```python
    texts = kd.data.generate_targets(teacher, prompts, sampler="beam")
    student.fit(texts)
    ```

    Reference: Kim & Rush 2016, https://arxiv.org/abs/1606.07947, section 3.2. Deviations: the
    paper translates, so a prompt is the whole source sentence, which has no loss; here the student
    also learns the prompts, because KerasHub's preprocessor gives all tokens the weight 1. The
    paper searches with 5 beams.
    """
    if not hasattr(teacher, "generate") or getattr(teacher, "preprocessor", None) is None:
        raise ValueError(
            "teacher must be a KerasHub causal model with a preprocessor, such as "
            "keras_hub.models.GPT2CausalLM(backbone, preprocessor=...). "
            f"Received: teacher={teacher!r}"
        )
    tokenizer = teacher.preprocessor.tokenizer
    if tokenizer.end_token_id == tokenizer.pad_token_id:
        # KerasHub also looks for the end token in the padding.
        raise ValueError(
            "The teacher's tokenizer must have an end token that is not its padding. Received: "
            f"end_token_id={tokenizer.end_token_id}, pad_token_id={tokenizer.pad_token_id}. "
            "KerasHub would write nothing; number the end token last in the vocabulary."
        )
    is_list = isinstance(prompts, (list, tuple)) and len(prompts) > 0
    if not (is_list and all(isinstance(prompt, str) for prompt in prompts)):
        raise ValueError(
            f"prompts must be a list of at least one string. Received: {str(prompts)[:80]!r}"
        )
    max_length = check_integer("max_length", max_length, optional=True)
    batch_size = min(check_integer("batch_size", batch_size), len(prompts))
    texts = []
    with _sampling(teacher, sampler):
        for start in range(0, len(prompts), batch_size):
            batch = list(prompts[start : start + batch_size])
            # With the same size for all batches, KerasHub traces its function once.
            filled = batch + batch[:1] * (batch_size - len(batch))
            texts += teacher.generate(filled, max_length=max_length)[: len(batch)]
    return texts


@contextlib.contextmanager
def _sampling(model, sampler):
    import keras_hub

    before = model.sampler, model.generate_function
    model.sampler, model.generate_function = keras_hub.samplers.get(sampler), None
    try:
        yield
    finally:
        model.sampler, model.generate_function = before
