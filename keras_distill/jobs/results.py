"""The results of a job: the comparison in all its formats, and the paths of the files."""

import dataclasses
import json

from keras_distill._files.destination import check_destination
from keras_distill._files.destination import replaced_file
from keras_distill.evaluation import compare
from keras_distill.evaluation.compare import check_comparison
from keras_distill.evaluation.report import check_page
from keras_distill.jobs.teacher_knowledge import worse_sentence
from keras_distill.jobs.training import read_history

STUDENTS = ("alone", "distilled")


def compare_models(
    folder,
    teacher,
    students,
    *,
    test,
    make_card,
    notes=(),
    baseline=None,
    preprocessor=None,
    phone_preprocessor=None,
    **settings,
):
    """Compares teacher, students and exported files, and writes the reports.

    Args:
        folder: The job's folder.
        teacher: The teacher.
        students: Dict of the students, whose names are STUDENTS.
        test: The test set, in the form that `compare` takes.
        make_card: Function from the comparison to its `ModelCard`.
        notes: Sentences to print with the figures.
        baseline: A `LinearBaseline`, or None. The figures tell of it, too.
        preprocessor: Function from the test set's x to the students' inputs.
        phone_preprocessor: Function from the test set's x to the inputs of the phone's file.
        **settings: Other arguments of `compare`.

    Returns:
        The `Comparison`.
    """
    models = {"teacher": teacher, **students, **exported(folder)}
    comparison = compare(
        models,
        test,
        preprocessors=_preprocessors(preprocessor, phone_preprocessor),
        histories={name: read_history(folder, name) for name in students},
        **settings,
    )
    notes = (*comparison.notes, *notes, *_is_worse(comparison), *_against(baseline, comparison))
    comparison = dataclasses.replace(comparison, notes=notes)
    page, figures, table, card_file = _reports(folder)
    card = make_card(comparison)
    comparison.write_html(page, card.title, card)
    with replaced_file(card_file) as written:
        written.write_text(card.to_markdown() + "\n", encoding="utf-8")
    comparison.write_json(figures)
    comparison.write_markdown(table)
    return comparison


def _is_worse(comparison):
    taught, alone = (comparison[name]["accuracy"].value for name in ("teacher", "alone"))
    p_value = comparison["teacher"].mcnemar
    sentence = worse_sentence(taught, alone, comparison.num_examples, p_value)
    return (sentence,) if taught < alone else ()


def _against(baseline, comparison):
    """A sentence on the simplest baseline, if there is one."""
    if baseline is None:
        return ()
    points = 100 * (baseline.accuracy - comparison["phone"]["accuracy"].value)
    than = f"{abs(points):.1f} points {'more' if points > 0 else 'less'} than"
    is_equal = abs(points) < 0.05
    return (
        "The simplest baseline, TF-IDF with a linear model trained on the same labels, is right on "
        f"{100 * baseline.accuracy:.1f} % of the test texts: {'as many as' if is_equal else than} "
        f"the phone file. It has {baseline.num_parameters:,} parameters.",
    )


def check_results(folder, *, test, preprocessor=None, phone_preprocessor=None, **settings):
    """Raises the errors that `compare_models` raises before it opens a model.

    Args:
        folder, test, preprocessor, phone_preprocessor: As for `compare_models`.
        **settings: Other arguments of `check_comparison`.
    """
    page, *others = _reports(folder)
    check_page("output", page)
    for path in others:
        check_destination("output", path, "file")
    models = dict.fromkeys(("teacher", *STUDENTS, *exported(folder)))
    preprocessors = _preprocessors(preprocessor, phone_preprocessor)
    check_comparison(models, test, preprocessors=preprocessors, **settings)


def exported(folder):
    """The exported files of a job, by the names of the models in its comparison."""
    return {"phone": folder / "student.tflite", "server": folder / "serving"}


def _reports(folder):
    reports = [folder / f"report.{suffix}" for suffix in ("html", "json", "md")]
    return [*reports, folder / "model_card.md"]


def _preprocessors(preprocessor, phone_preprocessor):
    functions = {**dict.fromkeys(STUDENTS, preprocessor), "phone": phone_preprocessor}
    return {name: function for name, function in functions.items() if function is not None}


def files_of(folder):
    """The files of a job that its answer names."""
    return {**exported(folder), "alone": folder / "alone.keras", "report": _reports(folder)[0]}


def result_of(folder, comparison, summary, *, warnings, **more):
    """The answer in words, the comparison, and the paths of the files, as a dict."""
    files = {**exported(folder), "report": _reports(folder)[0]}
    return {
        "summary": summary,
        **json.loads(comparison.to_json()),
        "files": {name: str(path) for name, path in files.items()},
        "warnings": warnings,
        **more,
    }
