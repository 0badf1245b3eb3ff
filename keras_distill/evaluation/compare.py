"""Compares models: quality, agreement with the teacher, size and speed."""

import warnings

import keras
import numpy as np

from keras_distill._arguments.checks import check_integer
from keras_distill.evaluation import model_runs
from keras_distill.evaluation.better_order import better_order
from keras_distill.evaluation.class_order import match_classes
from keras_distill.evaluation.comparison import Comparison
from keras_distill.evaluation.comparison import ModelFigures
from keras_distill.evaluation.costs import check_threads
from keras_distill.evaluation.costs import measure_costs
from keras_distill.evaluation.domains import check_are_known
from keras_distill.evaluation.domains import check_from_logits
from keras_distill.evaluation.domains import domains_of
from keras_distill.evaluation.held_out import by_length
from keras_distill.evaluation.held_out import read_held_out
from keras_distill.evaluation.held_out import take
from keras_distill.evaluation.pixel_range import check_pixel_range
from keras_distill.evaluation.sources import open_source
from keras_distill.evaluation.statistics import Bootstrap
from keras_distill.evaluation.statistics import Difference
from keras_distill.evaluation.statistics import Figure
from keras_distill.evaluation.statistics import interval
from keras_distill.evaluation.statistics import on_all
from keras_distill.evaluation.statistics import p_value
from keras_distill.evaluation.statistics import paired_interval
from keras_distill.evaluation.statistics import wilson
from keras_distill.evaluation.tasks import choice
from keras_distill.evaluation.tasks.classification import Classification
from keras_distill.evaluation.tasks.regression import Regression
from keras_distill.layers.class_names import check_class_names


def compare(
    models,
    data,
    *,
    teacher=None,
    baseline=None,
    preprocessors=None,
    class_names=None,
    task=None,
    from_logits=None,
    histories=None,
    num_threads=(1, 2),
    timed=None,
    num_resamples=1000,
    seed=0,
    verbose=1,
):
    """Compares models on examples that none of them has seen.

    Each model runs once over the data. The measures depend on the labels:

    - classes: accuracy, macro_f1, F1 by class, nll (nats), brier (0 to 2), ece (expected
      calibration error, 15 bins), auc (two classes) or top_5_accuracy (more than five);
    - tags of words: the same for words, and span_f1 of BIO tags;
    - numbers: mae and spearman;
    - none: only the teacher's measures.

    With a teacher there are also agreement, the share of examples with the same class, and
    fidelity, KL(teacher || student) in nats; for numbers teacher_mae. Every figure has a 95 %
    interval over examples (sentences for tags), and its difference from the baseline on the same
    examples has one: for shares of examples in closed form, for other figures by the bootstrap.
    Accuracy also has McNemar's exact test. Intervals cover the choice of examples, not other
    seeds of the training.

    Args:
        models: Dict from name to model: a `keras.Model`, another function from a batch of x to
            logits, probabilities or numbers, a `TeacherStore`, or a path: a .keras or
            .tflite file, the folder of a SavedModel or of a store. A .keras file is loaded
            in Keras's safe mode; a SavedModel can run code: compare only models
            that you trust.
        data: `text.Examples`, arrays `(x, y)`, or a batched `tf.data.Dataset` of `(x, y)`;
            `(x,)` without labels. With `DistillationInputs`, the teacher reads its part and all
            other models read the student's. Labels are class indices (-1 for no label), names of
            classes, one-hot rows, numbers of a float dtype, or tags. With a float dtype, whole
            numbers are classes if models have several outputs, and so are 0 and 1 if a model ends
            in a sigmoid; for other models with one output, `task` must tell what 0 and 1 mean.
        teacher: Name of the teacher among the models. None means "teacher", if there is one.
        baseline: Name of the model that the others are tested against. None means "alone", if
            there is one.
        preprocessors: Dict from a model's name to a function from x to that model's inputs,
            such as a vocabulary if x is texts.
        class_names: Names of the classes, for models and labels without names, in the order of
            these models' outputs. None means the order of the data's names.
            Models that name their classes (SavedModels and .tflite files with labels, .keras
            files of jobs, `layers.ClassNames`) are matched by these names. The data may lack
            classes.
        task: The models' task, "classification" or "regression". None: labels and outputs
            decide.
        from_logits: Dict from names of models to whether their outputs are logits, True, or
            probabilities, False. It is needed for functions with one output whose values all lie
            from 0 to 1, and replaces what a model's last layer shows.
        histories: Dict from name to the result of `fit`, for the learning curves of the page.
        num_threads: Numbers of threads for the latencies; an empty tuple skips them.
        timed: Names of the models to time. None means all.
        num_resamples: Number of bootstrap resamples.
        seed: Seed of the resamples.
        verbose: 1 shows progress, 0 nothing. Defaults to 1.

    Returns:
        A `Comparison`, which prints as a table and writes JSON, Markdown and an HTML page.

    Raises:
        ValueError: If an argument does not fit, or the models do not fit together.

    Example:

    ```python
    comparison = kd.compare(
        {"teacher": teacher, "alone": alone, "distilled": student, "phone": "student.tflite"},
        kd.text.read_table("test.tsv", class_names=train.class_names),
        preprocessors={"alone": vocabulary, "distilled": vocabulary, "phone": vocabulary},
    )
    print(comparison)
    comparison.write_html("comparison.html")
    ```
    """
    held_out, teacher, baseline, preprocessors = check_comparison(
        models,
        data,
        teacher=teacher,
        baseline=baseline,
        preprocessors=preprocessors,
        class_names=class_names,
        task=task,
        num_threads=num_threads,
    )
    num_threads = check_threads(num_threads)
    timed = _check_timed(timed, models)
    num_resamples = check_integer("num_resamples", num_resamples)
    seed = check_integer("seed", seed, minimum=0)
    declared = check_from_logits(from_logits, models, task)
    is_tagging = isinstance(held_out.labels, list)
    if declared and task is None and not is_tagging:
        # Who declares logits or probabilities compares classifiers.
        task = Classification.name
        choice.check_task(task, held_out, class_names)
    sources = {name: open_source(name, model) for name, model in models.items()}
    order = match_classes(
        {name: source.class_names for name, source in sources.items()},
        held_out.class_names,
        class_names,
        has_labels=held_out.labels is not None,
    )
    views = {name: held_out.teacher if name == teacher else held_out.student for name in sources}
    num_words = [len(row) for row in held_out.labels] if is_tagging else None
    raw, changes = {}, {}
    for name, source in sources.items():
        _check_text(name, source, views[name], preprocessors[name])
        check_pixel_range(name, source, views[name], preprocessors[name])
    for name, source in sources.items():
        if verbose:
            print(name)
        raw[name] = model_runs.run(
            name, source, views[name], preprocessors[name], num_words, verbose=verbose
        )
        changes[name] = model_runs.change_between_runs(
            source, views[name], preprocessors[name], num_words, raw[name]
        )
    labels = order.labels(held_out.labels)
    domains = domains_of(raw, sources, declared)
    task, kept = choice.choose_task(labels, order.names, raw, domains, task)
    if not isinstance(task, Regression):
        check_are_known(raw, domains)
    # Outputs are converted one model after the other, so that memory never holds all of them twice.
    answers = {}
    for name in sources:
        values = raw.pop(name)
        values = values if kept is None else values[kept]
        answers[name] = task.answers(values, domains[name])
    choice.check_classes(answers, task, order.names)
    answers = {name: order.arrange(name, values) for name, values in answers.items()}
    notes = _notes(task, answers, order.presumed, changes)
    if isinstance(task, Classification):
        notes += _note_on_signs(labels)
    for note in notes:
        warnings.warn(note, stacklevel=2)
    costs = {}
    for name, source in sources.items():
        threads = num_threads if name in timed else ()
        if verbose and threads:
            print(f"Timing {name}")
        middle = by_length(views[name])[len(held_out) // 2]
        x = preprocessors[name](take(views[name], np.array([middle])))
        costs[name] = measure_costs(source, x, threads)
    bootstrap = Bootstrap(len(held_out) if kept is None else len(kept), num_resamples, seed)
    figures, differences = _measure(task, answers, teacher, baseline, bootstrap)
    return Comparison(
        task=task,
        models={
            name: ModelFigures(
                kind=sources[name].kind,
                figures=figures[name],
                differences=differences.get(name, {}),
                mcnemar=_mcnemar(task, answers, baseline, name),
                class_f1=_class_f1(task, answers[name]),
                cost=costs[name],
            )
            for name in sources
        },
        teacher=teacher,
        baseline=baseline,
        num_examples=bootstrap.num_examples,
        class_names=order.names,
        answers=answers,
        examples=held_out.student,
        places=kept,
        histories=dict(histories or {}),
        notes=notes,
    )


def check_comparison(
    models,
    data,
    *,
    teacher=None,
    baseline=None,
    preprocessors=None,
    class_names=None,
    task=None,
    num_threads=(1, 2),
):
    """Raises the errors that `compare` raises before it opens a model.

    Args:
        models: Dict whose keys are the models' names; its values are ignored.
        data, teacher, baseline, preprocessors, class_names, task, num_threads: As for
            `compare`.

    Returns:
        The `HeldOut` data, the names of teacher and baseline, and a function for each model.
    """
    teacher = _named("teacher", teacher, models)
    baseline = _named("baseline", baseline, models, default="alone")
    preprocessors = _check_preprocessors(preprocessors, models)
    check_threads(num_threads)
    held_out = read_held_out(data)
    choice.check_task(task, held_out, class_names)
    if class_names is not None:
        check_class_names(class_names)
    return held_out, teacher, baseline, preprocessors


def _measure(task, answers, teacher, baseline, bootstrap):
    """Figures and differences from the baseline: dicts by model and measure."""
    measures = {}
    for name, values in answers.items():
        of_model = [] if task.labels is None else task.measures(values)
        if teacher is not None and name != teacher:
            of_model = of_model + task.teacher_measures(answers[teacher], values)
        measures |= {(name, measure.name): measure for measure in of_model}
    statistics = {key: measure.statistic for key, measure in measures.items()}
    values = {key: on_all(s, bootstrap.num_examples) for key, s in statistics.items()}
    resampled = bootstrap.resample(statistics)
    figures = {name: {} for name in answers}
    differences = {name: {} for name in answers if baseline is not None and name != baseline}
    for (name, measure), value in values.items():
        spread, is_right = resampled[name, measure], measures[name, measure].is_right
        is_closed = is_right is not None
        around = wilson(is_right.sum(), len(is_right)) if is_closed else interval(spread)
        figures[name][measures[name, measure]] = Figure(float(value), *around)
        if name in differences and (baseline, measure) in values:
            delta = spread - resampled[baseline, measure]
            around = interval(delta)
            if is_closed:
                around = paired_interval(is_right, measures[baseline, measure].is_right)
            differences[name][measure] = Difference(
                float(value - values[baseline, measure]), *around, p_value(delta)
            )
    return figures, differences


def _notes(task, answers, presumed, changes):
    """Notes on doubtful figures: wrong labels, or outputs that change from run to run."""
    notes = [
        f"{name} draws random numbers: its outputs for the same examples differ by {change:.2g} "
        "from one run to the next, and so do its figures. Turn off what draws them, such as a "
        "dropout that is called with training=True."
        for name, change in changes.items()
        if change is not None
    ]
    for name in presumed if isinstance(task, Classification) and task.labels is not None else ():
        if (found := better_order(task.labels, np.exp(answers[name]))) is not None:
            notes.append(
                f"{name} is right on {found[0]:.1%} of the examples, and would be on "
                f"{found[1]:.1%} with its classes in another order. Nothing names them: give "
                "class_names (--classes), in the order of its outputs."
            )
    return tuple(notes)


def _note_on_signs(labels):
    """A note on labels that are -1 and 1 alone, of which all that count are then of class 1."""
    if labels is None or isinstance(labels, list) or set(np.unique(labels)) != {-1, 1}:
        return ()
    return (
        f"data has the labels -1 and 1 alone, and -1 is no label: {np.sum(labels < 0):,} of "
        f"{len(labels):,} examples are left out. If -1 is a class, give the labels 0 and 1.",
    )


def _mcnemar(task, answers, baseline, name):
    can_test = isinstance(task, Classification) and task.labels is not None
    if baseline is None or name == baseline or not can_test:
        return None
    return task.mcnemar(answers[baseline], answers[name])


def _class_f1(task, answers):
    if not isinstance(task, Classification) or task.labels is None:
        return None
    return on_all(task.class_f1(answers), len(answers))


def _named(argument, name, models, default=None):
    if not isinstance(models, dict) or not all(isinstance(key, str) for key in models or [0]):
        raise ValueError(
            "models must be a dict from names to models, such as {'teacher': teacher, 'student': "
            f"student}}. Received: models of type {type(models).__name__}"
        )
    if name is None:
        default = default or argument
        return default if default in models else None
    if name not in models:
        raise ValueError(
            f"{argument} must be the name of one of the models, {list(models)}. Received: {name!r}"
        )
    return name


def _check_timed(timed, models):
    if timed is None:
        return tuple(models)
    if not isinstance(timed, (list, tuple)) or not set(timed) <= set(models):
        raise ValueError(
            f"timed must be a tuple of names of the models, {list(models)}. Received: "
            f"timed={timed!r}"
        )
    return tuple(timed)


def _check_preprocessors(preprocessors, models):
    preprocessors = dict(preprocessors or {})
    unknown = sorted(set(preprocessors) - set(models))
    if unknown or not all(map(callable, preprocessors.values())):
        raise ValueError(
            "preprocessors must be a dict from names of the models to functions of a batch of x. "
            f"Received: {preprocessors}; the models are {list(models)}"
        )
    return {name: preprocessors.get(name, _as_it_is) for name in models}


def _as_it_is(x):
    return x


def _check_text(name, source, columns, preprocessor):
    has_text = any(column.is_text for column in keras.tree.flatten(columns))
    if has_text and source.reads_text is False and preprocessor is _as_it_is:
        raise ValueError(
            f"models[{name!r}] reads numbers, and data has texts. Give preprocessors={{{name!r}: "
            "vocabulary}, the function that turned texts into its inputs in training."
        )
