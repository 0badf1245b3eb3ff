"""Run by MediaPipe's own environment: classifies what a .npz file or a JSON file holds.

    python mediapipe_client.py text MODEL INPUTS.json
    python mediapipe_client.py image MODEL INPUTS.npz

Prints a line of JSON: for each input the scores in the order of the labels.
"""

import json
import sys


def main(kind, model, inputs):
    if kind == "text":
        from mediapipe.tasks.python import text

        classifier = text.TextClassifier.create_from_model_path(model)
        with open(inputs, encoding="utf-8") as file:
            examples = json.load(file)
    else:
        import mediapipe
        import numpy as np
        from mediapipe.tasks.python import vision

        classifier = vision.ImageClassifier.create_from_model_path(model)
        with np.load(inputs) as arrays:
            examples = [
                mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image)
                for image in arrays["images"]
            ]
    with classifier:
        results = [classifier.classify(example).classifications[0] for example in examples]
    print(json.dumps([{c.category_name: c.score for c in r.categories} for r in results]))


if __name__ == "__main__":
    main(*sys.argv[1:])
