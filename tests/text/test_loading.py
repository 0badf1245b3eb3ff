"""Texts and labels from files, lists and TFDS."""

import csv
import functools
import gzip
import json

import numpy as np
import pytest

from keras_distill.text import from_lists
from keras_distill.text import read_lines
from keras_distill.text import read_table

read_csv, read_tsv, read_jsonl = (
    functools.partial(read_table, file_format=name) for name in ("csv", "tsv", "jsonl")
)


@pytest.fixture
def write(tmp_path):
    """Writes a file of the test's folder and returns its path."""

    def write_file(name, content):
        path = tmp_path / name
        content = content if isinstance(content, bytes) else content.encode("utf-8")
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write_file


def json_lines(*records):
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


class TestFormats:
    """What each format is, down to quotation marks and line ends."""

    @pytest.mark.parametrize("suffix", ["csv", "CSV.gz", "tsv", "tab", "jsonl", "ndjson.GZ"])
    def test_the_name_tells_the_format(self, tmp_path, suffix):
        content = {"c": "text,label\na,1\n", "t": "text\tlabel\na\t1\n"}.get(
            suffix[0].lower(), json_lines({"text": "a", "label": "1"})
        )
        path = tmp_path / f"table.2.{suffix}"
        content = content.encode()
        path.write_bytes(gzip.compress(content) if suffix.lower().endswith("gz") else content)
        examples = read_table(str(path))
        assert (examples.texts.tolist(), examples.class_names) == (["a"], ("1",))

    @pytest.mark.parametrize(
        ("name", "file_format"), [("a.txt", None), ("a", None), ("a.csv", "xlsx")]
    )
    def test_a_name_that_tells_no_format(self, write, name, file_format):
        message = "Give file_format, one of 'csv', 'tsv', 'jsonl', for a table.*Received: path="
        with pytest.raises(ValueError, match=message):
            read_table(write(name, "text,label\na,1\n"), file_format=file_format)

    @pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz"])
    def test_tsv(self, write, name):
        """Plain and compressed; columns in any order, others beside them."""
        path = write(name, "label\tid\ttext\npos\t1\tgood film\nneg\t2\tdull 电影\n")
        examples = read_tsv(path)
        assert examples.texts.tolist() == ["good film", "dull 电影"]
        assert examples.labels.tolist() == [1, 0]
        assert examples.labels.dtype == np.int32
        assert examples.class_names == ("neg", "pos")

    def test_tsv_has_no_quoting(self, write):
        """As in GLUE: one unbalanced quotation mark must not swallow the rest of the file."""
        path = write("a.tsv", 'text\tlabel\n"good\t1\nthe "dull" film\t0\n')
        assert read_tsv(path).texts.tolist() == ['"good', 'the "dull" film']

    def test_tsv_of_a_program_that_quotes(self, write):
        """The student learned marks that no text of the app has."""
        path = write("a.tsv", 'text\tlabel\n"a"\t1\n"say ""hi"""\t1\n"say ""ho"""\t1\n')
        with pytest.warns(UserWarning, match=r"a\.tsv, line 3 has a field in quotation") as told:
            assert read_tsv(path).texts.tolist()[1] == '"say ""hi"""'
        assert len(told) == 1
        read_tsv(write("a.tsv", 'text\tlabel\n"say "hi""\t1\n""\t1\n"a" or "b"\t1\n'))

    def test_csv_has_quoting(self, write):
        """Commas, line ends and doubled quotation marks inside of a quoted field."""
        path = write("a.csv", 'text,label\n"good, ""very""\ngood",1\ndull,0\n')
        assert read_csv(path).texts.tolist() == ['good, "very"\ngood', "dull"]

    def test_jsonl(self, write):
        """Labels are names, integers too."""
        path = write("a.jsonl.gz", json_lines({"q": "好", "y": 2}, {"q": "b", "y": 10}))
        examples = read_jsonl(path, text="q", label="y")
        assert examples.texts.tolist() == ["好", "b"]
        assert examples.class_names == ("2", "10")

    def test_windows_files(self, write):
        """Byte order mark, carriage returns, blank lines."""
        path = write("a.tsv", "\ufefftext\tlabel\r\n\r\na\tx\r\n\r\n")
        examples = read_tsv(path)
        assert examples.texts.tolist() == ["a"]
        assert examples.class_names == ("x",)

    def test_only_line_ends_end_lines(self, write):
        """str.splitlines() would also cut at these, which real texts contain."""
        texts = ["a\u2028b", "c\x85d", "e\x0bf", "g\rh"]
        path = write("a.tsv", "text\tlabel\n" + "".join(f"{text}\t1\n" for text in texts))
        assert read_tsv(path).texts.tolist() == texts

    def test_lines(self, write):
        """Unlabelled text."""
        examples = read_lines(write("a.txt", "one film\n\ntwo\tfilms"))
        assert examples.texts.tolist() == ["one film", "two\tfilms"]
        assert examples.labels is None
        assert examples.class_names is None

    def test_the_suffix_of_gzip_in_capitals(self, tmp_path):
        (tmp_path / "a.CSV.GZ").write_bytes(gzip.compress(b"text,label\na,1\n"))
        assert read_csv(tmp_path / "a.CSV.GZ").texts.tolist() == ["a"]

    def test_unlabelled_column(self, write):
        """label=None does not look for a label."""
        examples = read_csv(write("a.csv", "text\na\n"), label=None)
        assert examples.texts.tolist() == ["a"]
        assert examples.labels is None


class TestLabels:
    """Names to indices, numbers, tags, pairs."""

    def test_numbers_sort_by_value(self, write):
        """As strings "10" would come before "9"."""
        path = write("a.tsv", "text\tlabel\na\t10\nb\t9\nc\t-2\nd\tother\n")
        examples = read_tsv(path)
        assert examples.class_names == ("-2", "9", "10", "other")
        assert examples.labels.tolist() == [2, 1, 0, 3]

    def test_one_class_of_two_spellings(self, write):
        """What nobody sees around a label, and Unicode's two forms of an accent."""
        labels = ["café", "café ", "\u00a0café", "\ufeffcafé", "cafe\u0301", "other"]
        path = write("a.csv", "text,label\n" + "".join(f"x,{label}\n" for label in labels))
        examples = read_csv(path)
        assert examples.class_names == ("café", "other")
        assert examples.labels.tolist() == [0, 0, 0, 0, 0, 1]
        assert read_csv(path, class_names=("other", "cafe\u0301 ")).labels.tolist()[-1] == 0

    def test_minus_one_of_two_classes(self, write):
        path = write("a.csv", "text,label\na,-1\nb,1\n")
        assert read_csv(path).class_names == ("-1", "1")
        three = write("b.csv", "text,label\na,-1\nb,1\nc,0\n")
        assert read_csv(three, class_names=("-1", "0", "1")).labels.tolist() == [0, 2, 1]

    def test_class_names_of_training(self, write):
        """A dev file without one of the classes keeps the indices of training."""
        path = write("dev.tsv", "text\tlabel\na\tc\n")
        examples = read_tsv(path, class_names=["a", "b", "c"])
        assert examples.labels.tolist() == [2]
        assert examples.class_names == ("a", "b", "c")

    def test_regression(self, write):
        path = write("a.tsv", "text\tlabel\na\t5.000\nb\t-1e-1\n")
        examples = read_tsv(path, regression=True)
        np.testing.assert_allclose(examples.labels, [5, -0.1], rtol=1e-6)
        assert examples.labels.dtype == np.float32
        assert examples.class_names is None

    def test_pairs(self, write):
        path = write("a.tsv", "one\ttwo\tlabel\na b\tc\t1\nd\te\t0\n")
        examples = read_tsv(path, text=("one", "two"))
        assert examples.texts.tolist() == [["a b", "c"], ["d", "e"]]
        assert examples.labels.tolist() == [1, 0]

    def test_tags(self, write):
        """Only a space parts words: a no-break space is inside of one."""
        path = write("a.tsv", "text\ttags\nin New\u00a0York\tO B\nhere\tO\n")
        examples = read_tsv(path, label="tags", tags=True)
        assert examples.texts.tolist() == [["in", "New\u00a0York"], ["here"]]
        assert [tags.tolist() for tags in examples.labels] == [[1, 0], [1]]
        assert examples.labels[0].dtype == np.int32
        assert examples.class_names == ("B", "O")

    def test_tags_in_jsonl(self, write):
        """Lists of words and of tags."""
        path = write("a.jsonl", json_lines({"text": ["in", "Paris"], "label": ["O", "B"]}))
        examples = read_jsonl(path, tags=True)
        assert examples.texts.tolist() == [["in", "Paris"]]
        assert examples.labels[0].tolist() == [1, 0]


class TestBadFiles:
    """One error with path, line and remedy."""

    def test_no_such_file(self, tmp_path):
        with pytest.raises(ValueError, match=r"none\.tsv cannot be read: .*No such file"):
            read_tsv(tmp_path / "none.tsv")

    def test_folder(self, tmp_path):
        with pytest.raises(ValueError, match=r"cannot be read: .*Give the path of a readable"):
            read_lines(tmp_path)

    def test_not_gzip(self, tmp_path):
        path = tmp_path / "a.tsv.gz"
        path.write_text("text\tlabel\na\t1\n")
        with pytest.raises(ValueError, match="cannot be read: Not a gzipped file"):
            read_tsv(path)

    def test_truncated_gzip(self, tmp_path):
        """What was read before the end is not taken for the whole."""
        path = tmp_path / "a.tsv.gz"
        path.write_bytes(gzip.compress(b"text\tlabel\n" + b"a\t1\n" * 100)[:-12])
        with pytest.raises(ValueError, match=r"cannot be read.*Compressed file ended"):
            read_tsv(path)

    @pytest.mark.parametrize("read", [read_tsv, read_csv, read_jsonl, read_lines])
    @pytest.mark.parametrize("content", ["", "\n\n"])
    def test_empty_file(self, write, read, content):
        with pytest.raises(ValueError, match=r"a\.txt is empty"):
            read(write("a.txt", content))

    @pytest.mark.parametrize("read", [read_tsv, read_csv])
    def test_only_a_header(self, write, read):
        with pytest.raises(ValueError, match="has no line after the header"):
            read(write("a.txt", "text\n"), label=None)

    def test_missing_column(self, write):
        path = write("a.tsv", "sentence\tlabel\na\t1\n")
        with pytest.raises(ValueError, match=r"no column 'text'. Its columns are \['sentence', '"):
            read_tsv(path)

    def test_missing_key(self, write):
        path = write("a.jsonl", json_lines({"text": "a", "label": 1}, {"text": "b"}))
        with pytest.raises(ValueError, match=r"line 2 has no key 'label'. Its keys are \['text'\]"):
            read_jsonl(path)

    @pytest.mark.parametrize(("line", "count"), [("b", 1), ("b\t1\t2", 3)])
    def test_number_of_fields(self, write, line, count):
        path = write("a.tsv", f"text\tlabel\na\t1\n\n{line}\n")
        with pytest.raises(ValueError, match=f"a.tsv, line 4 has {count} fields, the header 2"):
            read_tsv(path)

    @pytest.mark.parametrize("again", ["text,label", "\ufefftext,label", "label,text"], ids=ascii)
    def test_header_again(self, write, again):
        """Of tables that were put behind each other; it was an example of the class 'label'."""
        table = f"text,label\na,1\n{again}\nb,2\n"
        for read, text in ((read_csv, table), (read_tsv, table.replace(",", "\t"))):
            path = write("a.txt", text)
            with pytest.raises(ValueError, match=r"a\.txt, line 3 is a header again"):
                read(path)
        assert len(read_csv(write("a.csv", "text\ntext\n"), label=None)) == 1

    @pytest.mark.parametrize("read", [read_csv, read_tsv, read_jsonl, read_lines])
    def test_line_ends_of_old_macs(self, write, read):
        """All lines of an unlabelled file were one text."""
        path = write("a.txt", "text,label\ra,1\rb,2\r")
        with pytest.raises(ValueError, match=r"a\.txt must have a line end, LF.*CR alone"):
            read(path)

    def test_csv_line_numbers(self, write):
        """A record's line is its first in the file, after records of several lines."""
        path = write("a.csv", 'text,label\n"a\nb\nc",1\nd\n')
        with pytest.raises(ValueError, match="line 5 has 1 fields, the header 2"):
            read_csv(path)

    def test_unclosed_quotation_mark(self, write):
        """Without strictness, csv makes the rest of the file one field."""
        path = write("a.csv", 'text,label\na,1\n"b,0\nc,1\n')
        with pytest.raises(ValueError, match=r"a\.csv, line 3 is no CSV"):
            read_csv(path)

    def test_field_beyond_the_limit_of_csv(self, write):
        """Texts of any length are read; other readers of the program keep their limit."""
        before = csv.field_size_limit()
        path = write("a.csv", "text,label\n" + "a" * 200_000 + ",1\nb,2\n")
        assert [len(text) for text in read_csv(path).texts] == [200_000, 1]
        assert csv.field_size_limit() == before
        path = write("a.csv", 'text,label\nb,2\n"' + "a" * 200_000 + "\n")
        with pytest.raises(ValueError, match=r"a\.csv, line 3 is no CSV: unexpected end"):
            read_csv(path)
        assert csv.field_size_limit() == before

    def test_one_column_for_two(self, write):
        """A text that is its own label made a class of each text."""
        tsv, table = write("a.tsv", "text\tlabel\na\t1\n"), write("a.csv", "text,label\na,1\n")
        lines = write("a.jsonl", json_lines({"text": "a", "label": "1"}))
        for read, path in ((read_tsv, tsv), (read_csv, table), (read_jsonl, lines)):
            for columns in (("text", "text"), (("text", "label"), "label"), (("text",) * 2, None)):
                with pytest.raises(ValueError, match=r"different columns. Received: 'text', '"):
                    read(path, *columns)

    @pytest.mark.parametrize(
        ("read", "first"),
        [
            (read_tsv, "text\tlabel"),
            (read_csv, "text,label"),
            (read_jsonl, json_lines({"text": "a", "label": 1}).strip()),
            (read_lines, "a"),
        ],
    )
    def test_not_utf8(self, write, read, first):
        path = write("a.txt", first.encode() + b"\ncaf\xe9\n")
        with pytest.raises(ValueError, match=r"a\.txt, line 2 is not UTF-8: byte 4 .* 0xe9"):
            read(path)

    @pytest.mark.parametrize("text", [3, None, ["a", "b", "c"]], ids=repr)
    def test_text_no_string(self, write, text):
        path = write("a.jsonl", json_lines({"text": "a", "label": 1}, {"text": text, "label": 1}))
        with pytest.raises(ValueError, match=r"a\.jsonl, line 2: text must be a string"):
            read_jsonl(path)

    @pytest.mark.parametrize("line", ['{"text": ', '["a", 1]'])
    def test_no_json_object(self, write, line):
        path = write("a.jsonl", json_lines({"text": "a", "label": 1}) + line)
        with pytest.raises(ValueError, match="line 2: every line must be a JSON object"):
            read_jsonl(path)

    def test_unseen_label(self, write):
        path = write("dev.tsv", "text\tlabel\na\tpos\nb\tneutral\n")
        with pytest.raises(ValueError, match=r"dev\.tsv, line 3: the label 'neutral' is none"):
            read_tsv(path, class_names=("neg", "pos"))

    def test_unseen_tag(self, write):
        path = write("dev.tsv", "text\tlabel\nin Paris\tO B-film\n")
        with pytest.raises(ValueError, match=r"dev\.tsv, line 2: the label 'B-film' is none"):
            read_tsv(path, class_names=("B-place", "O"), tags=True)

    def test_missing_label(self, write):
        path = write("a.tsv", "text\tlabel\na\t1\nb\t\n")
        with pytest.raises(ValueError, match=r"a\.tsv, line 3 has no label"):
            read_tsv(path)
        path = write("a.jsonl", json_lines({"text": "a", "label": None}))
        with pytest.raises(ValueError, match=r"a\.jsonl, line 1 has no label"):
            read_jsonl(path)

    def test_label_no_class(self, write):
        """0.5 and 0.50 would be one class in JSON and two in TSV."""
        path = write("a.jsonl", json_lines({"text": "a", "label": 0.5}))
        with pytest.raises(ValueError, match=r"line 1: a class label must be .*regression=True"):
            read_jsonl(path)

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            (["a", "A"], r"line 2: the label 'a' differs from 'A' \(.*line 3\) in capitals"),
            (["a b", "a\u00a0b"], r"line 3: the label 'a\\xa0b' differs from 'a b'"),
            (["1", "2", "1.0"], r"line 4: the label '1.0' differs from '1'"),
            (["a", "b\u2028c"], r"line 3: a class label must be a name on one line.*'\\u2028'"),
            (["a", '"b\nc"'], r"line 3: a class label must be a name on one line.*'\\n'"),
            (["a", "\u200b"], "line 3 has no label"),
            (["a", "nan"], "line 3: .*missing value"),
            (["a", r"\N"], "line 3: .*missing value"),
            (["a", "#VALUE!"], "line 3: .*missing value"),
            (["don't", "don\u2019t"], r"line 3: the label 'don\\u2019t' differs from \"don't\""),
            (["0", "1", "-1"], "line 4: the label '-1' can be a class, or the sign of a text"),
            (["0.0", "1.0", "-1.0"], "line 4: the label '-1.0' can be a class"),
        ],
        ids=ascii,
    )
    def test_two_classes_or_none(self, write, labels, message):
        path = write("a.csv", "text,label\n" + "".join(f"x,{label}\n" for label in labels))
        with pytest.raises(ValueError, match=message):
            read_csv(path)

    @pytest.mark.parametrize("read", [read_csv, read_tsv])
    def test_repeated_column(self, write, read):
        """The first one won."""
        table = "text,label,label\na,b,c\n"
        path = write("a.txt", table if read is read_csv else table.replace(",", "\t"))
        with pytest.raises(ValueError, match=r"has the column 'label' more than once"):
            read(path)
        assert read(path, label=None).texts.tolist() == ["a"]

    def test_repeated_key(self, write):
        """The last one won."""
        path = write("a.jsonl", '{"text": "a", "label": 1, "id": 1, "id": 2, "label": 0}')
        with pytest.raises(ValueError, match="line 1 has the key 'label' more than once"):
            read_jsonl(path)
        assert read_jsonl(path, label=None).texts.tolist() == ["a"]

    @pytest.mark.parametrize("value", ['"a \\ud83d"', '"a \\u0000b"'])
    def test_what_no_text_has(self, write, value):
        """Half an emoji cannot be written; NUL is the end of a text to TensorFlow's lower()."""
        path = write("a.jsonl", f'{{"text": {value}, "label": 1}}')
        with pytest.raises(ValueError, match=r"a\.jsonl, line 1: text has .* which no text has"):
            read_jsonl(path)

    @pytest.mark.parametrize("value", ["[" * 100_000 + "]" * 100_000, "1" * 5000])
    def test_json_without_end(self, write, value):
        path = write("a.jsonl", f'{{"text": "a", "label": {value}}}')
        with pytest.raises(ValueError, match=r"a\.jsonl, line 1: every line must be a JSON obj"):
            read_jsonl(path)

    @pytest.mark.parametrize("label", ["good", "nan", "inf", "1e39", "1_0"])
    def test_label_no_number(self, write, label):
        path = write("a.tsv", f"text\tlabel\na\t1.5\nb\t{label}\n")
        with pytest.raises(ValueError, match="line 3: a regression label must be a finite"):
            read_tsv(path, regression=True)

    def test_a_tag_with_a_control_character(self, write):
        path = write("a.tsv", "words\ttags\nin Paris\tO B\x85place\n")
        with pytest.raises(ValueError, match=r"a line end or another control character"):
            read_tsv(path, label="tags", text="words", tags=True)

    def test_tags_not_one_for_each_word(self, write):
        path = write("a.tsv", "text\tlabel\nin Paris\tO\n")
        with pytest.raises(ValueError, match=r"a\.tsv, line 2 has 2 words and 1 tags"):
            read_tsv(path, tags=True)


class TestBadArguments:
    @pytest.mark.parametrize("text", [(), ("a",), ("a", "b", "c")], ids=repr)
    def test_columns(self, text):
        with pytest.raises(ValueError, match="text must be the name of one column, or of two"):
            read_tsv("any.tsv", text=text)

    def test_pairs_have_no_tags(self):
        with pytest.raises(ValueError, match="pairs, which have no tags"):
            read_tsv("any.tsv", text=("a", "b"), tags=True)

    @pytest.mark.parametrize("class_names", ["ab", [0, 1], ["a", "a"]], ids=repr)
    def test_class_names(self, class_names):
        with pytest.raises(ValueError, match="class_names must be different strings"):
            from_lists(["a"], ["a"], class_names)

    def test_regression_has_no_classes(self, write):
        path = write("a.tsv", "text\tlabel\na\t1\n")
        with pytest.raises(ValueError, match="regression has no classes, so class_names must not"):
            read_tsv(path, class_names=("1",), regression=True)


class TestLists:
    def test_names(self):
        """An integer is a name: without a 1, 2 is the second class and not the third."""
        examples = from_lists(["a", "b"], np.array([2, 0]))
        assert examples.class_names == ("0", "2")
        assert examples.labels.tolist() == [1, 0]

    def test_pairs(self):
        examples = from_lists([("a", "b"), ["c", "d"]], ["x", "y"])
        assert examples.texts.tolist() == [["a", "b"], ["c", "d"]]

    def test_array_of_pairs(self):
        """What `augment` returns."""
        examples = from_lists(np.array([["a", "b"], ["c", "d"]], dtype=object))
        assert examples.texts.shape == (2, 2)

    def test_one_pair_of_words_to_tag(self):
        """Lists of two words are no pairs if there are tags."""
        examples = from_lists([["in", "Paris"]], [[0, 1]], tags=True)
        assert examples.texts.shape == (1,)
        assert examples.texts[0] == ["in", "Paris"]
        assert examples.class_names == ("0", "1")

    def test_arrays_of_words_and_tags(self):
        words, tags = np.array(["in", "Paris"]), np.array([1, 0])
        examples = from_lists([words, words[:1]], [tags, tags[:1]], tags=True)
        assert examples.texts.tolist() == [["in", "Paris"], ["in"]]
        assert [indices.tolist() for indices in examples.labels] == [[1, 0], [1]]

    @pytest.mark.parametrize("labels", [[0.5, 1.0], np.array([0.5, 1.0], np.float16)])
    def test_floats_are_regression(self, labels):
        assert from_lists(["a", "b"], labels).labels.tolist() == [0.5, 1.0]

    @pytest.mark.parametrize("texts", [[], "a film"])
    def test_no_texts(self, texts):
        with pytest.raises(ValueError, match="texts must be a list with a text in it"):
            from_lists(texts)

    @pytest.mark.parametrize("text", [None, 3, b"bytes", float("nan")], ids=repr)
    def test_text_no_string(self, text):
        with pytest.raises(ValueError, match=r"texts\[1\]: text must be a string"):
            from_lists(["a", text], [0, 1])

    def test_bytes_are_to_be_decoded(self):
        with pytest.raises(ValueError, match=r"of type bytes\. Decode it from UTF-8"):
            from_lists([b"a"])

    @pytest.mark.parametrize("pair", [("a",), ("a", "b", "c"), "a"], ids=repr)
    def test_broken_pair(self, pair):
        with pytest.raises(ValueError, match=r"texts\[1\]: the texts are pairs"):
            from_lists([("a", "b"), pair])

    def test_text_among_lists_of_words(self):
        with pytest.raises(ValueError, match=r"texts\[0\]: every word of text must be a string"):
            from_lists([["a", None]], [["O", "O"]], tags=True)

    def test_number_of_labels(self):
        with pytest.raises(ValueError, match="Received: 2 texts, 1 labels"):
            from_lists(["a", "b"], [0])

    def test_missing_label(self):
        with pytest.raises(ValueError, match=r"texts\[1\] has no label"):
            from_lists(["a", "b"], ["x", None])


class TestRealFiles:
    """The data beside the repository, each kind once."""

    def test_sentences(self, shared):
        train = read_tsv(shared / "data/text/sst2/train_phrases.tsv.gz")
        dev = read_tsv(shared / "data/text/sst2/dev.tsv.gz", class_names=train.class_names)
        assert (len(train), len(dev)) == (67349, 872)
        assert train.class_names == ("0", "1")
        assert dev.labels.mean() == pytest.approx(444 / 872)

    def test_pairs(self, shared):
        examples = read_tsv(shared / "data/text/mrpc/train.tsv.gz", text=("sentence1", "sentence2"))
        assert examples.texts.shape == (3667, 2)

    def test_regression(self, shared):
        examples = read_tsv(
            shared / "data/text/stsb/dev.tsv.gz", text=("sentence1", "sentence2"), regression=True
        )
        assert (examples.labels.min(), examples.labels.max()) == (0, 5)

    def test_tags(self, shared):
        folder = shared / "data/text/wnut17"
        train = read_tsv(folder / "train.tsv.gz", text="tokens", label="tags", tags=True)
        test = read_tsv(folder / "test.tsv.gz", "tokens", "tags", train.class_names, tags=True)
        assert (len(train), len(test)) == (3394, 1287)
        assert len(train.class_names) == 13
        assert train.class_names[-1] == "O"

    def test_intents_and_slots(self, shared):
        path = shared / "data/text/snips/train.tsv.gz"
        assert len(read_tsv(path).class_names) == 7
        assert len(read_tsv(path, label="slots", tags=True)) == 13084

    def test_chinese(self, shared):
        examples = read_tsv(shared / "data/text/zh_chnsenticorp/test.tsv.gz")
        assert examples.texts[0].startswith("这个宾馆")
        assert set(examples.labels.tolist()) == {0, 1}
