"""Seeded damage to files: what a bad disk, a bad program or a bad person makes of them.

A mutation is a function of a file's bytes and a NumPy generator; it returns other bytes.
"""

import gzip
import io
import json
import zipfile

import numpy as np

# Sizes and counts that readers multiply, add to, or take for an index.
_INTEGERS = (0, 1, -1, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, -(2**31), 2**32 - 1, 2**62)
# Line ends of all kinds, quotes and separators, what turns the direction of writing, what a
# terminal obeys, what no text may have, and what is long.
_TEXTS = (
    *(
        "\0",
        "\n",
        "\r",
        "\r\n",
        "\x85",
        "\u2028",
        "\x0b",
        "\t",
        " ",
        "'",
        '"',
        '""',
        "\\",
        ",",
        ";",
    ),
    *(
        "\ufeff",
        "\u200b",
        "\u202e",
        "\xa0",
        "\x1b[31m",
        "\x1b]0;title\x07",
        "<script>",
        "&",
        "{{x}}",
    ),
    *("$\\frac{$", "%s", "NaN", "Infinity", "-1", "1e999", "0x10", "../..", "/dev/zero"),
    *("é", "e\u0301", "ß", "İ", "中文", "😀", "\U0010ffff", "\ud800", "\udcff"),
    *("a" * 100_000, "[" * 100_000, '{"a":' * 100_000, "9" * 5_000),
)
_VALUES = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, 1e308, -0.5, float("nan"), float("inf")),
    *("", "x", "\0", "\ud800", "\x1b[31m", "../../x", "/dev/zero", "x" * 100_000, "$\\frac{$"),
    *([], {}, [[]], [None], {"": None}, {"x": {"x": 1}}, [1, "1", 1.5], [0] * 10_000),
)
_DEEP = ("[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000)


def of_bytes(content, rng):
    """Changes a few places of a file of any kind."""
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        change = _choose(_CHANGES_OF_BYTES, rng)
        content = bytes(change(bytearray(content), rng))
    return content


def of_text(content, rng):
    """Changes characters and lines of a text in UTF-8, or the way in which it is written."""
    if rng.random() < 0.1:
        return of_bytes(content, rng)
    text = content.decode("utf-8", "surrogatepass")
    for _ in range(rng.choice([1, 1, 2, 4])):
        text = _choose(_CHANGES_OF_TEXT, rng)(text, rng)
    if rng.random() < 0.05:
        return text.encode(_choose(["utf-16", "utf-8-sig", "utf-32"], rng), "surrogatepass")
    return text.encode("utf-8", "surrogatepass")


def of_json(content, rng):
    """Changes values, keys and their types in JSON; sometimes its text."""
    if rng.random() < 0.3:
        return of_text(content, rng)
    value = json.loads(content)
    for _ in range(rng.choice([1, 1, 1, 3])):
        value = _change_value(value, rng)
    # ASCII: a lone surrogate stands there as its escape, which is JSON.
    text = json.dumps(value, indent=_choose([None, 1], rng))
    if rng.random() < 0.05:
        # json.dumps does not go as deep as this.
        text = text.replace("null", _choose(_DEEP, rng), 1)
    return text.encode()


def of_json_lines(content, rng):
    """Changes one line of JSON Lines as `of_json` does; sometimes the lines."""
    lines = content.splitlines(keepends=True)
    if rng.random() < 0.3 or not lines:
        return of_text(content, rng)
    place = rng.integers(len(lines))
    lines[place] = of_json(lines[place], rng).replace(b"\n", b" ") + b"\n"
    return b"".join(lines)


def of_zip(mutate_member):
    """A mutation of the members of a zip archive, whose checksums are made anew.

    Args:
        mutate_member: Function of a member's name that returns its mutation.
    """

    def mutate(content, rng):
        if rng.random() < 0.3:
            return of_bytes(content, rng)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        name = _choose(list(members), rng)
        action = rng.random()
        if action < 0.1:
            del members[name]
        elif action < 0.2:
            members[_choose([f"{name}x", "../x", "/x", "x\n", ""], rng)] = members.pop(name)
        else:
            members[name] = mutate_member(name)(members[name], rng)
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w") as archive:
            for member, data in members.items():
                archive.writestr(zipfile.ZipInfo(member), data)
        return written.getvalue()

    return mutate


def of_gzip(mutate):
    """A mutation of what is compressed; sometimes of the compressed bytes."""

    def changed(content, rng):
        if rng.random() < 0.5:
            return of_bytes(content, rng)
        return gzip.compress(mutate(gzip.decompress(content), rng), 1, mtime=0)

    return changed


def by_suffix(name):
    """The mutation that fits a file's name."""
    if name.endswith((".json", ".ipynb")):
        return of_json
    if name.endswith(".jsonl"):
        return of_json_lines
    if name.endswith((".txt", ".csv", ".tsv", ".config")):
        return of_text
    if name.endswith(".npy"):
        return _of_npy
    if name.endswith((".npz", ".keras")):
        return of_zip(by_suffix)
    return of_gzip(by_suffix(name[: -len(".gz")])) if name.endswith(".gz") else of_bytes


def _of_npy(content, rng):
    """Mostly the header, a Python literal, of which damage seldom hits a place of note."""
    if rng.random() < 0.5 or b"\n" not in content[10:]:
        return of_bytes(content, rng)
    end = content.index(b"\n", 10)
    header = content[10:end].decode("latin-1")
    shape = _choose(["(3,)", "(-1,)", "(2, 10**9)", "(99999999999,)", "()", "(2**70,)", "x"], rng)
    kind = _choose(["<f8", "|O", "<U9", "|S0", "<M8[s]", "|V7", ">i2", "|b1", "<c8", "x"], rng)
    before, after = header.split("'shape':", 1)[0], "}"
    header = _choose(
        [
            f"{before}'shape': {shape}, {after}",
            f"{{'descr': '{kind}', {header.split(', ', 1)[1]}",
            of_text(header.encode(), rng).decode("latin-1"),
        ],
        rng,
    )
    body = header.encode("latin-1")[:65_000] + b"\n"
    return content[:8] + len(body).to_bytes(2, "little") + body + content[end + 1 :]


def _choose(options, rng):
    return options[rng.integers(len(options))]


def _span(length, rng, longest=64):
    """A part of it, (start, end), mostly short."""
    start = int(rng.integers(length + 1))
    size = (
        int(rng.integers(1, longest + 1)) if rng.random() < 0.8 else int(rng.integers(length + 1))
    )
    return start, min(length, start + size)


def _flip(data, rng):
    for _ in range(rng.choice([1, 1, 2, 8])):
        if data:
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    return data


def _set_integer(data, rng):
    size, order = _choose([1, 2, 4, 4, 8], rng), _choose(["little", "little", "big"], rng)
    number = _choose(_INTEGERS, rng) % 256**size
    start = int(rng.integers(len(data) + 1)) // size * size
    data[start : start + size] = number.to_bytes(size, order)
    return data


def _cut_end(data, rng):
    return data[: rng.integers(len(data) + 1)]


def _remove(data, rng):
    start, end = _span(len(data), rng)
    return data[:start] + data[end:]


def _insert(data, rng):
    start, _ = _span(len(data), rng)
    return data[:start] + bytearray(rng.bytes(rng.integers(1, 65))) + data[start:]


def _repeat(data, rng):
    start, end = _span(len(data), rng)
    return data[:end] + data[start:end] * int(rng.choice([1, 1, 5])) + data[end:]


def _swap(data, rng):
    start, end = _span(len(data), rng)
    other = int(rng.integers(len(data) + 1))
    low, high = sorted((start, other))
    size = min(end - start, high - low, len(data) - high)
    data[low : low + size], data[high : high + size] = (
        data[high : high + size],
        data[low : low + size],
    )
    return data


def _zero(data, rng):
    start, end = _span(len(data), rng)
    data[start:end] = bytes(end - start)
    return data


def _empty(data, rng):
    return data[:0]


_CHANGES_OF_BYTES = (
    *(_flip, _flip, _flip, _set_integer, _set_integer, _set_integer, _cut_end, _remove, _insert),
    *(_repeat, _swap, _zero, _zero) * 2,
    _empty,
)


def _insert_text(text, rng):
    start, _ = _span(len(text), rng)
    return text[:start] + _choose(_TEXTS, rng) + text[start:]


def _replace_text(text, rng):
    start, end = _span(len(text), rng, longest=8)
    return text[:start] + _choose(_TEXTS, rng) + text[end:]


def _remove_text(text, rng):
    start, end = _span(len(text), rng, longest=8)
    return text[:start] + text[end:]


def _change_lines(text, rng):
    lines = text.split("\n")
    first, second = rng.integers(len(lines), size=2)
    action = rng.integers(5)
    if action == 0:
        del lines[first]
    elif action == 1:
        lines.insert(second, lines[first])
    elif action == 2:
        lines[first], lines[second] = lines[second], lines[first]
    elif action == 3:
        lines[first] = ""
    else:
        lines[first] += lines[second]
    return "\n".join(lines)


def _change_line_ends(text, rng):
    return text.replace("\n", _choose(["\r\n", "\r", "\n\n", "\u2028", "\x85", " "], rng))


def _cut_text(text, rng):
    return text[: rng.integers(len(text) + 1)]


_CHANGES_OF_TEXT = (
    *(_insert_text, _insert_text, _replace_text, _replace_text, _remove_text, _change_lines) * 2,
    *(_change_line_ends, _cut_text),
)


def _change_value(value, rng):
    """A copy with one value in it changed."""
    is_here = rng.random() < 0.25 or not value or not isinstance(value, (dict, list))
    if is_here and not (isinstance(value, (dict, list)) and value and rng.random() < 0.7):
        return _other_value(value, rng)
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = keys[rng.integers(len(keys))]
    if not is_here:
        changed = value.copy()
        changed[key] = _change_value(value[key], rng)
        return changed
    if isinstance(value, list):
        return _choose([value[:key] + value[key + 1 :], [*value, value[key]], value[::-1]], rng)
    other = {name: item for name, item in value.items() if name != key}
    if rng.random() < 0.3:
        other[f"{key}x"] = value[key]
    return other


def _other_value(value, rng):
    if isinstance(value, (int, float)) and rng.random() < 0.5:
        return _choose([-value, value + 1, value * 10**9, value / 2 if value < 1e300 else 0], rng)
    if isinstance(value, str) and rng.random() < 0.5:
        return _choose([_insert_text, _replace_text, _remove_text], rng)(value, rng)
    return _choose(_VALUES, rng)


def generator(seed, number):
    """The generator of one round: a round can be repeated without those before it."""
    return np.random.default_rng([seed, number])
