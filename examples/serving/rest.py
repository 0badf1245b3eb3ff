"""Asks a served student by REST.

python examples/serving/rest.py MODEL TEXT [TEXT ...] [--server http://127.0.0.1:8501]
"""

import argparse

import requests


def body(texts):
    """The request's body: one instance for each text."""
    return {"instances": list(texts)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--server", default="http://127.0.0.1:8501")
    arguments = parser.parse_args()
    url = f"{arguments.server}/v1/models/{arguments.model}:predict"
    answer = requests.post(url, json=body(arguments.texts), timeout=10)
    answer.raise_for_status()
    for text, prediction in zip(arguments.texts, answer.json()["predictions"]):
        print(f"{prediction['label']} ({prediction['top_scores'][0]:.3f}): {text}")


if __name__ == "__main__":
    main()
