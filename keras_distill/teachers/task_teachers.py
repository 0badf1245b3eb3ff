"""One teacher for each task of a student with several heads."""

import keras

from keras_distill._keras.output_domain import output_domains
from keras_distill.teachers.several import SeveralTeachers


@keras.saving.register_keras_serializable(package="keras_distill")
class TaskTeachers(SeveralTeachers):
    """The outputs of several teachers, one for each head of the student.

    Every teacher reads every example, also those of other tasks, for which
    `data.mix_tasks` gives its output the weight 0. If that is too slow, build a
    `TeacherStore` for each task: `mix_tasks` then carries the outputs, and no teacher runs.

    Args:
        teachers: Dict from the name of a head, an output of the student, to a model or
            function from inputs to that head's targets: logits, probabilities or numbers.
        preprocessors: Dict from the name of a head to a function from the inputs to that
            teacher's; teachers without a function read the inputs unchanged.
        name: Name of the model.

    Call arguments:
        inputs: Inputs of the teachers or their preprocessors.

    Returns:
        Dict of the teachers' outputs by head.

    Raises:
        ValueError: If teachers is not a dict of models or functions, or preprocessors names a
            head that has no teacher.

    Example:

    >>> import numpy as np
    >>> teachers = TaskTeachers({"mood": lambda x: -x, "topic": lambda x: x[:, :1]})
    >>> {head: z.numpy().tolist() for head, z in teachers(np.array([[1.0, 2.0]])).items()}
    {'mood': [[-1.0, -2.0]], 'topic': [[1.0]]}

    Reference: Clark et al. 2019 (BAM), https://arxiv.org/abs/1907.04829.
    """

    _fixed = (*SeveralTeachers._fixed, "heads")

    def __init__(self, teachers, preprocessors=None, name="task_teachers"):
        if not isinstance(teachers, dict):
            raise ValueError(
                "teachers must be a dict from the name of a head to its teacher. "
                f"Received: teachers={teachers!r}"
            )
        preprocessors = preprocessors or {}
        if unknown := set(preprocessors) - set(teachers):
            raise ValueError(
                f"preprocessors names heads that have no teacher: {sorted(unknown)}. "
                f"The heads are {list(teachers)}."
            )
        self.heads = list(teachers)
        super().__init__(teachers.values(), [preprocessors.get(h) for h in teachers], name)

    @property
    def output_domains(self):
        """The domain of each head's teacher, in the order of the flattened outputs."""
        domains = dict(zip(self.heads, map(output_domains, self.teachers)))
        # A function has one output, whose domain is unknown.
        return [domain for head in sorted(self.heads) for domain in domains[head] or [None]]

    def call(self, inputs, training=False):
        return dict(zip(self.heads, self.outputs_of_each(inputs)))

    def get_config(self):
        config = super().get_config()
        return {
            **config,
            "teachers": dict(zip(self.heads, config["teachers"])),
            "preprocessors": dict(zip(self.heads, config["preprocessors"])),
        }
