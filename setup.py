import pathlib

from setuptools import find_packages
from setuptools import setup

BEAM = ["apache-beam"]
DOCS = [
    "ipykernel",
    "jupytext",
    "mkdocs<2",  # mkdocs-material is for version 1.
    "mkdocs-material",
    "mkdocstrings[python]",
    "nbclient",
]
TEST = [
    *BEAM,
    *DOCS,
    "import-linter",
    "keras-tuner",  # The page on training.
    "onnx",  # The page on teachers of other frameworks.
    "onnxruntime",
    "optuna",  # The page on training.
    "openvino",  # A second reader of SavedModels.
    "pytest",
    "pytest-timeout",
    "pytest-xdist",
    "ruff",
    "safetensors",  # KerasHub reads Hugging Face folders with it.
    "selenium",  # The page of examples/web and the report in a browser.
    "tensorboard",
]

setup(
    name="keras-distill",
    version="0.1.0",
    description="Trains a small Keras model from a large one, and ships it to phones and servers.",
    long_description=pathlib.Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["keras_distill", "keras_distill.*", "keras_distill_cli"]),
    package_data={"keras_distill.evaluation.report": ["page.html", "page.css", "page.js"]},
    install_requires=[
        "ai-edge-litert",
        "filelock",
        "flatbuffers",
        # tensorflow-datasets imports it and does not ask for it.
        "importlib_resources",
        "jinja2",
        "keras>=3.15",
        "keras-nlp>=0.32",
        "litert-quantizer",
        "matplotlib",
        "pillow",
        "scikit-learn",
        # tensorflow-hub imports pkg_resources, which setuptools 82 no longer has.
        "setuptools<82",
        "tensorflow>=2.20",
        "tensorflow-datasets",
        "tensorflow-hub",
        "tensorflow-serving-api",
        # Only BERTs and vocabularies of word pieces need it; Windows has no package of it.
        'tensorflow-text; platform_system != "Windows"',
        "xxhash",
    ],
    entry_points={"console_scripts": ["keras-distill = keras_distill_cli.command:main"]},
    extras_require={
        "beam": BEAM,
        "docs": DOCS,
        "test": TEST,
        "dev": [*TEST],
    },
)
