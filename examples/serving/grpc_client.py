"""Asks a served student by gRPC.

python examples/serving/grpc_client.py MODEL TEXT [TEXT ...] [--server 127.0.0.1:8500]
"""

import argparse

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc


def make_request(model, texts):
    """A `PredictRequest` for the endpoint that reads texts."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = "serving_default"
    request.inputs["text"].CopyFrom(tf.make_tensor_proto(list(texts), dtype=tf.string))
    return request


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--server", default="127.0.0.1:8500")
    arguments = parser.parse_args()
    with grpc.insecure_channel(arguments.server) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer = stub.Predict(make_request(arguments.model, arguments.texts), timeout=10)
    labels = tf.make_ndarray(answer.outputs["label"])
    scores = tf.make_ndarray(answer.outputs["top_scores"])[:, 0]
    for text, label, score in zip(arguments.texts, labels, scores):
        print(f"{label.decode()} ({score:.3f}): {text}")


if __name__ == "__main__":
    main()
