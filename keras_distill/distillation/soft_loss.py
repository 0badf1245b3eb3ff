"""The soft loss over all outputs of a student: which loss, which teacher output, which domain."""

from typing import Any
from typing import NamedTuple

import keras
from keras import ops

from keras_distill._arguments.schedules import POSITIVE
from keras_distill._keras import output_domain
from keras_distill._keras.masks import fit_weights
from keras_distill._keras.masks import keras_mask
from keras_distill.distillation.loss_domains import check_soft_takes_logits
from keras_distill.distillation.other_names import remedy
from keras_distill.distillation.outputs import output_heads
from keras_distill.distillation.outputs import per_output
from keras_distill.distillation.outputs import teacher_like_student
from keras_distill.losses.base import parts_of
from keras_distill.losses.base import take
from keras_distill.losses.keras_losses import asked
from keras_distill.losses.keras_losses import get
from keras_distill.losses.outputs.output_loss import OutputLoss
from keras_distill.losses.outputs.soft_targets import SoftTargetKL
from keras_distill.losses.outputs.temperature import TemperatureLoss


def checked_soft_loss(soft_loss):
    """Returns the losses, made from names and functions too; raises `ValueError` for others.

    Args:
        soft_loss: A loss, its name or function, None, or a nest of these with at least one loss.
    """
    soft_loss = keras.tree.map_structure(get, soft_loss)
    if soft_loss is not None and all(loss is None for loss in keras.tree.flatten(soft_loss)):
        raise ValueError(
            "soft_loss must have a loss for at least one output. Received: "
            f"soft_loss={soft_loss!r}. Leave it out for the default, or give alpha=1.0 for no "
            "soft loss at all."
        )
    for loss in keras.tree.flatten(soft_loss):
        if loss is None:
            continue
        if not isinstance(loss, keras.losses.Loss):
            raise ValueError(
                "soft_loss must be a keras.losses.Loss, the name or function of one, or a dict or "
                "list of them, such as "
                f"keras_distill.losses.SoftTargetKL(temperature=4.0). Received: {loss!r}"
                f"{remedy(loss)}"
            )
        if asked(loss).on_input_gradients:
            raise ValueError(
                f"soft_loss compares outputs, and {type(loss).__name__} input gradients. Give it "
                "in a keras_distill.Objective."
            )
        if parts_of(loss):
            raise ValueError(
                f"soft_loss has no place for the layers and variables of {type(loss).__name__}: "
                "they would neither train nor be saved. Give it in a keras_distill.Objective with "
                'teacher_layer="output" and student_layer="output".'
            )
        take("soft_loss", loss)
    return soft_loss


def temperatures(soft_loss):
    """Lists `(name, temperature, range)` of the losses that have one."""
    losses = [loss for loss in keras.tree.flatten(soft_loss) if isinstance(loss, TemperatureLoss)]
    return [("temperature", loss.temperature, POSITIVE) for loss in losses]


def heads_with_loss(soft_loss, student):
    """Names of the outputs with a soft loss, if there are several; empty without a graph."""
    outputs = getattr(student, "output", None)
    if not isinstance(outputs, (dict, list, tuple)):
        return []
    heads = output_heads(outputs, getattr(student, "output_names", None))
    if soft_loss is None:
        return heads
    losses = per_output("soft_loss", soft_loss, outputs, getattr(student, "output_names", None))
    return [head for head, loss in zip(heads, losses) if loss is not None]


class OutputPair(NamedTuple):
    """One output of the student, the teacher's for it, and the loss between them."""

    name: str
    loss: Any
    teacher: Any
    student: Any
    teacher_domain: str | None
    student_domain: str | None
    sample_weight: Any
    labels: Any = None
    head: str = ""

    def value(self, step, **given):
        """The reduced loss at an optimizer step; `given` is more of the batch, for the loss."""
        loss = asked(self.loss).for_batch(labels=self.labels, step=step, **given)
        if isinstance(loss, OutputLoss):
            settings = [f"{side}_from_logits" for side, _, _ in self._sides()]
            loss = loss.with_settings(**dict(zip(settings, self._from_logits(loss))))
        rank = loss.values_rank or len(self.student.shape) - 1
        weights = fit_weights(self.sample_weight, rank)
        # The loss may compute in another dtype than the other terms of the sum.
        return ops.cast(loss(self.teacher, self.student, weights), keras.config.floatx())

    def logits(self):
        """Both outputs as logits, converted if they are known to be probabilities."""
        loss = self.loss if isinstance(self.loss, OutputLoss) else SoftTargetKL()
        return [
            values if is_logits else loss.logits_of(values)
            for is_logits, (_, values, _) in zip(self._from_logits(loss), self._sides())
        ]

    def entry_weights(self):
        """Weight of each entry, `(batch, ...)`, including its mask; None if all are equal."""
        mask = keras_mask(self.student)
        if mask is None and self.sample_weight is None:
            return None
        shape = ops.shape(self.student)[:-1]
        weights = ops.ones(shape) if mask is None else ops.cast(mask, keras.config.floatx())
        if self.sample_weight is None:
            return weights
        return weights * ops.cast(fit_weights(self.sample_weight, len(shape)), weights.dtype)

    def check_values(self):
        """Checks the domains by the values of a real batch."""
        if isinstance(self.loss, OutputLoss):
            weights = self.entry_weights()
            for side, values, domain in self._sides():
                # The cast is needed because NumPy has no bfloat16.
                values = ops.convert_to_numpy(ops.cast(values, "float32"))
                if weights is not None:
                    # Entries of weight 0 may be placeholders from another domain.
                    values = values[ops.convert_to_numpy(weights) != 0]
                output_domain.check_values(self.loss, side, self.name, domain, values)

    def _from_logits(self, loss):
        return [
            output_domain.from_logits(loss, side, self.name, domain)
            for side, _, domain in self._sides()
        ]

    def _sides(self):
        return (
            ("teacher", self.teacher, self.teacher_domain),
            ("student", self.student, self.student_domain),
        )


def output_pairs(loss, models, outputs, sample_weight=None, output_names=None, labels=None):
    """Pairs the outputs of both models that have a soft loss.

    Args:
        loss: One loss for all outputs, or a dict or list of losses.
        models: Teacher and student.
        outputs: The outputs of teacher and student.
        sample_weight: One for all outputs, or a dict or list like the outputs, or None.
        output_names: Names of the student's outputs if they are in a list, or None.
        labels: Labels of the student's outputs, in a dict or list like the outputs, or None.
    """
    teacher, student = outputs
    paths = [path for path, _ in keras.tree.flatten_with_path(student)]
    teacher_domains, student_domains = (output_domain.output_domains(model) for model in models)
    leaves = keras.tree.flatten(teacher)
    if len(teacher_domains or []) != len(leaves):
        # A batch may carry only some of the teacher's outputs; matched by position, they mix up.
        teacher_domains = [None] * len(leaves)
    domain_by_id = {id(leaf): domain for leaf, domain in zip(leaves, teacher_domains)}
    matched = teacher_like_student(teacher, student, output_names)
    losses = [asked(leaf) for leaf in keras.tree.flatten(loss) if leaf is not None]
    if not any("labels" in leaf.needs for leaf in losses):
        labels = None  # A custom hard loss may read labels of any structure.
    pairs = map(
        OutputPair,
        ["output" + "".join(f"[{key}]" for key in path) for path in paths],
        per_output("soft_loss", loss, student, output_names),
        matched,
        keras.tree.flatten(student),
        [domain_by_id.get(id(tensor)) for tensor in matched],
        student_domains or [None] * len(paths),
        per_output("sample_weight", sample_weight, student, output_names),
        per_output("y", labels, student, output_names),
        output_heads(student, output_names),
    )
    pairs = [pair for pair in pairs if pair.loss is not None]
    for pair in pairs:
        domains = pair.teacher_domain, pair.student_domain
        check_soft_takes_logits(pair.loss, pair.name, *domains)
    return pairs
