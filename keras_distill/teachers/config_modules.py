"""Configurations without modules: Keras names the module of each class, which may move.

The registered name identifies a class. Stores of earlier versions have hashes that include the
modules; this file lists the former modules of this package, so that such stores still open.
"""

_PACKAGE = "keras_distill"
# Former modules of layers and models that a teacher can have. Do not change them when a class
# moves: they are in the hashes of users' stores.
_FORMER_MODULES = {
    "BertEncoder": "layers.bert_encoder",
    "ClassNames": "layers.class_names",
    "ComparePairs": "students.heads",
    "Distiller": "distiller",
    "Ensemble": "teachers.ensemble",
    "FirstPieces": "layers.first_pieces",
    "HubLayer": "teachers.hub",
    "MeanOfTokens": "students.padding",
    "MutualLearning": "teaching.mutual_learning",
    "NativeEnsemble": "teaching.native_ensemble",
    "PositionEmbedding": "students.positions",
    "RocketLaunching": "teaching.rocket_launching",
    "Specialists": "teachers.specialists",
    "StackPairs": "students.heads",
    "TaskTeachers": "teachers.task_teachers",
    "TextInputs": "teachers.text_inputs",
    "TokenMask": "students.padding",
    "WordPieceVocabulary": "text.vocabulary",
    "WordVocabulary": "text.vocabulary",
    "ZeroPadding": "students.padding",
}
# A `TextClassifier` was a plain Functional model, with the same configuration.
_FORMER_CLASSES = {
    "keras_distill>TextClassifier": ("keras.src.models.functional", "Functional", "Functional")
}


def without_modules(config):
    """A configuration in which a registered name alone identifies a class."""
    return _with_modules(config, lambda module, registered_name: None)


def with_former_modules(config):
    """A configuration as in earlier versions: each class with its former module."""
    return _with_modules(config, _former_module)


def _former_module(module, registered_name):
    package, _, name = registered_name.partition(">")
    known = package == _PACKAGE and name in _FORMER_MODULES
    return f"{_PACKAGE}.{_FORMER_MODULES[name]}" if known else module


def _with_modules(value, module_of):
    if isinstance(value, dict):
        parts = {key: _with_modules(part, module_of) for key, part in value.items()}
        if "module" in parts and isinstance(parts.get("registered_name"), str):
            former = _FORMER_CLASSES.get(parts["registered_name"], ())
            parts.update(zip(("module", "class_name", "registered_name"), former))
            module = module_of(parts.pop("module"), parts["registered_name"])
            if module is not None:
                parts["module"] = module
        return parts
    if isinstance(value, (list, tuple)):
        return [_with_modules(part, module_of) for part in value]
    return value
