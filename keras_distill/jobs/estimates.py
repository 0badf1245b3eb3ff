"""Estimates the time of a job's stages from a few batches of untrained models."""

import time

import tensorflow as tf

from keras_distill.jobs.stages import duration

# Mostly the start of processes, which hardly depends on the data.
_EXPORT_SECONDS, _COMPARE_SECONDS = 25, 70


def stage_seconds(teacher, student, *, teacher_batches, answers, steps, test_batches):
    """Estimated seconds by stage, in the order in which the stages run.

    Args:
        teacher, student: Pairs of a model and a batch for it.
        teacher_batches: Batches that the teacher is trained on, 0 for a trained teacher.
        answers: Batches for which its outputs are stored.
        steps: Steps of each student.
        test_batches: Batches of the test set.
    """
    teacher, student = (_seconds_per_batch(*pair) for pair in (teacher, student))
    # A backward pass takes about twice as long as a forward pass.
    return {
        "train the teacher": 3 * teacher * teacher_batches,
        "store its answers": teacher * answers,
        "train the student alone": 3 * student * steps,
        "distil the student": 3 * student * steps,
        "export": _EXPORT_SECONDS,
        "compare": _COMPARE_SECONDS + teacher * test_batches,
    }


def describe_plan(work, notes):
    """Describes what a job would do, with sizes and times.

    Args:
        work: The job's data and settings: train, test and transfer_set, num_steps,
            num_duplicates, seconds().
        notes: Sentences about weaknesses of a ready teacher.

    Returns:
        A dict: summary, a text; num_train, num_test, num_transfer, num_duplicates, num_steps, and
        the estimated seconds of each stage.
    """
    seconds = work.seconds()
    lines = [str(work), *(f"Warning: {note}" for note in notes)]
    lines += [f"{name}: about {duration(s)}" for name, s in seconds.items()]
    lines.append(f"In all about {duration(sum(seconds.values()))}. Nothing was written.")
    return {
        "summary": "\n".join(lines),
        "num_train": len(work.train),
        "num_test": len(work.test),
        "num_transfer": len(work.transfer_set),
        "num_duplicates": work.num_duplicates,
        "num_steps": work.num_steps,
        "broken": list(work.broken),
        "seconds": seconds,
    }


def _seconds_per_batch(model, x):
    run = tf.function(lambda x: model(x, training=False), autograph=False)
    run(x)
    start = time.perf_counter()
    run(x)
    return time.perf_counter() - start
