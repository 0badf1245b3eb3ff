"""The end of a job: the comparison in all its forms, and where the files are."""

import json

from keras_distill.evaluation import compare
from keras_distill.jobs.training import read_history


def compare_models(folder, teacher, students, *, test, title, preprocessor=None, **settings):
    """Compares teacher, students and exported files, and writes the reports.

    Args:
        folder: The job's folder.
        teacher: The teacher.
        students: Dict of the students, "alone" and "distilled".
        test: The test set, as `compare` takes it.
        title: Heading of the page.
        preprocessor: What turns the test set's x into what students and the phone's file read.
        **settings: Those of `compare`.

    Returns:
        The `Comparison`.
    """
    models = {
        "teacher": teacher,
        **students,
        "phone": folder / "student.tflite",
        "server": folder / "serving",
    }
    readers = () if preprocessor is None else (*students, "phone")
    comparison = compare(
        models,
        test,
        preprocessors=dict.fromkeys(readers, preprocessor),
        histories={name: read_history(folder, name) for name in students},
        **settings,
    )
    comparison.write_html(folder / "report.html", title)
    comparison.write_json(folder / "report.json")
    comparison.write_markdown(folder / "report.md")
    return comparison


def result_of(folder, comparison, **more):
    """The comparison and where the files are, as a dict; "summary" is a text of it."""
    files = {
        "phone": folder / "student.tflite",
        "server": folder / "serving",
        "report": folder / "report.html",
    }
    lines = [f"{name}: {path}" for name, path in files.items()]
    return {
        "summary": "\n".join([str(comparison), "", *lines]),
        **json.loads(comparison.to_json()),
        "files": {name: str(path) for name, path in files.items()},
        **more,
    }
