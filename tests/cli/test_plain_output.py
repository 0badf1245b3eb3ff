import contextlib
import io
import sys

import keras
import numpy as np

from keras_distill_cli.plain_output import PlainOutput


def test_a_bar_is_one_line():
    stream = io.StringIO()
    with contextlib.redirect_stdout(PlainOutput(stream)):
        bar = keras.utils.Progbar(3, interval=0)
        for _ in range(3):
            bar.add(1)
        print("done")
    bar, done, end = stream.getvalue().split("\n")
    assert bar.startswith("3/3 ━")
    assert (done, end) == ("done", "")


def test_of_fit(capsys):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with contextlib.redirect_stdout(PlainOutput(sys.stdout)):
        model.fit(np.ones((8, 2)), np.ones((8, 1)), batch_size=1, epochs=2)
    first, bar, second, last, end = capsys.readouterr().out.split("\n")
    assert (first, second, end) == ("Epoch 1/2", "Epoch 2/2", "")
    assert "8/8" in bar
    assert "loss: " in last


def test_pieces_of_lines():
    """As they come, and at the end what has no end."""
    stream = io.StringIO()
    output = PlainOutput(stream)
    for piece in ("a\x1b[1mb", "c\n", "old", "\b\b\b", "\rnew\r\n", "", "last\r"):
        output.write(piece)
    assert stream.getvalue() == "abc\nnew\n"
    output.close()
    output.close()
    assert stream.getvalue() == "abc\nnew\nlast"
