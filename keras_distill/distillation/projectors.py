"""The projector that `projector="auto"` stands for: the regressor of FitNets."""

import keras


def auto_projector(teacher_shape, student_shape):
    """A linear map from the student's activation to the teacher's, or None if it needs none.

    If both are images and the student's is larger, the map is a convolution: its kernel of
    `student size - teacher size + 1` brings it to the teacher's size without padding. Else, if
    the widths differ, it is a Dense layer (a 1x1 convolution on images).

    Reference: Romero et al. 2015, https://arxiv.org/abs/1412.6550, section 2.2.

    Args:
        teacher_shape: Shape of the teacher's activation, None for sizes that are not known.
        student_shape: Shape of the student's activation.
    """
    width = teacher_shape[-1]
    if len(teacher_shape) == len(student_shape) == 4:
        sizes = (*teacher_shape[1:3], *student_shape[1:3])
        if None not in sizes:
            kernel = [student - teacher + 1 for teacher, student in zip(sizes[:2], sizes[2:])]
            if min(kernel) >= 1 and max(kernel) > 1:
                return keras.layers.Conv2D(
                    width, kernel, data_format="channels_last", name="projector"
                )
    if width != student_shape[-1]:
        return keras.layers.Dense(width, name="projector")
    return None
