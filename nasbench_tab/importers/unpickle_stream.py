"""Read a pickle of plain data that is far larger than the memory, item by item.

The official single files are one pickle with one dict of all architectures, many gigabytes once it is
unpacked. This reader interprets the operations itself. It makes dicts, lists, tuples, sets, strings,
bytes and numbers, and refuses every other operation and every other global by name and offset. Items of
that one dict are handed over as soon as they are complete, and forgotten.

Most of an official file is runs of pairs, a key and a float, in a few fixed layouts. They are decoded as
arrays; everything else takes the slow way, one operation after another.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from functools import cache
from reprlib import repr as short
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import FormatError, UnsafePickleError
from nasbench_tab.importers.bytestream import MOST_TEXT, ByteStream
from nasbench_tab.importers.unpickle_globals import DTYPE, GLOBALS, Global, checked_key
from nasbench_tab.importers.unpickle_memo import Memo

__all__ = ["stream_plain"]

_MARGIN = 2**12  # bytes that lie in the buffer before every operation, but at the end
_MOST_DEPTH = 64
_MOST_OPERATIONS = 2**20  # for one item; published ones take 15,000 to 50,000
_MOST_DIGITS = 255  # bytes of an integer
_RUN = 256  # pairs that are decoded at once

#: Takes the key and the value of one item.
Take = Callable[[object, object], None]


def stream_plain(stream: ByteStream, items: str | None = None, take: Take | None = None) -> Any:
    """Return the object of the pickle that starts here, and stop behind it.

    Args:
        stream: Where from.
        items: The outer dict's key whose dict is handed over item by item and comes out empty. Its own keys
            are integers, those of its items are not; no other dict stands before it.
        take: Called with each item's key and value, in the order of the file.

    Raises:
        UnsafePickleError: The pickle asks for an object or operation that plain data does not need.
        FormatError: It is truncated, damaged or beyond any bound, or ``take`` refused an item.
    """
    return _Machine(stream, items, take).run()


class _Machine:
    """The stack and the memo of one pickle, and an action for each operation."""

    def __init__(self, stream: ByteStream, items: str | None, take: Take | None) -> None:
        self._stream, self._items, self._take = stream, items, take
        self._stack: list[Any] = []
        self._frames: list[list[Any]] = []
        self._memo = Memo()
        self._items_frame: list[Any] | None = None
        self._left = _MOST_OPERATIONS
        self._turned_at = stream.offset
        self._texts: dict[bytes, str] = {}
        self._ready: list[tuple[Any, Any]] = []

    def run(self) -> Any:
        stream = self._stream
        stream.fill(1)
        if stream.data[stream.at : stream.at + 1] != b"\x80":
            self._refuse(stream.offset, "a pickle of protocol 2 or newer was expected")
        while True:
            ended = self._until_ready()
            ready, self._ready = self._ready, []
            for key, value in ready:  # what goes wrong here is no fault of the pickle
                if self._take is not None:
                    self._take(key, value)
            if ended:
                return self._stack[0]

    def _until_ready(self) -> bool:
        """Interpret operations until an item is ready; return whether it was the last operation."""
        stream, actions = self._stream, _ACTIONS
        start = stream.offset
        try:
            while not self._ready:
                if len(stream.data) - stream.at < _MARGIN:
                    stream.fill(_MARGIN)
                start = stream.offset
                code = stream.data[stream.at]
                stream.at += 1
                self._left -= 1
                if self._left < 0 or start - self._turned_at > 4 * MOST_TEXT:
                    self._refuse(start, "one item holds far more than an official one")
                if code == _STOP:
                    if self._frames or len(self._stack) != 1:
                        self._refuse(start, "it stops in the middle of an object")
                    return True
                action = actions.get(code)
                if action is None:
                    raise UnsafePickleError(
                        f"{stream.source}, offset {start}: the operation {_operation(code)} was not expected; "
                        "plain data does not need it. It was not loaded; get the file from its publisher again."
                    )
                action(self)
        except (IndexError, struct.error) as err:
            stream.fill(_MARGIN)
            if len(stream.data) - stream.at < 16:
                raise stream.truncated() from err
            raise self._damaged(start, err) from err
        except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as err:
            raise self._damaged(start, err) from err
        return False

    def _damaged(self, start: int, err: Exception) -> FormatError:
        return UnsafePickleError(
            f"{self._stream.source}, offset {start}: expected a pickle of plain data, got {err}. The file is "
            "damaged or of another format; get it from its publisher again."
        )

    def _refuse(self, start: int, problem: str) -> NoReturn:
        raise UnsafePickleError(
            f"{self._stream.source}, offset {start}: {problem}. The file is damaged or of another format; "
            "get it from its publisher again."
        )

    # Numbers and constants.

    def _number(self, form: struct.Struct) -> Any:
        (value,) = form.unpack_from(self._stream.data, self._stream.at)
        self._stream.at += form.size
        return value

    def proto(self) -> None:
        version = self._number(_U1)
        if not 2 <= version <= 5:
            raise ValueError(f"protocol {version}, where 2 to 5 can be read")

    def frame(self) -> None:
        self._number(_U8)  # only says how much a reader may fetch at once

    def long(self, form: struct.Struct) -> None:
        n = self._number(form)
        if not 0 <= n <= _MOST_DIGITS:
            raise ValueError(f"an integer of {n} bytes")
        self._stack.append(int.from_bytes(self._stream.take(n), "little", signed=True))

    # Strings, and runs of pairs.

    def text(self, form: struct.Struct) -> None:
        n = self._number(form)
        self._stack.append(str(self._stream.take(n), "utf-8"))

    def raw(self, form: struct.Struct) -> None:
        self._stack.append(self._stream.take(self._number(form)))

    def pairs(self, code: int) -> bool:
        """Decode the run of pairs that begins with the operation just read; False if there is none."""
        data, at = self._stream.data, self._stream.at - 1
        length = 0
        if code == _SHORT_TEXT:
            length = data[at + 1]
        elif code == _TEXT:
            (length,) = _U4.unpack_from(data, at + 1)
            if length > 64:
                return False
        put = data[at + _KEY[code] + length] if length else 0
        layout = _layout(code, length, put)
        if layout is None:
            return False
        stride, columns, ids = layout
        rows = min((len(data) - at) // stride, _RUN)
        if rows < 4 or data[at + stride] != code or data[at + stride - 9] != _FLOAT:
            return False
        block = np.frombuffer(data, np.uint8, rows * stride, at).reshape(rows, stride)
        same = (block[:, columns] == block[0, columns]).all(axis=1)
        n = rows if same.all() else int(same.argmin())
        if n < 4:
            return False
        block = block[:n]
        keys: list[Any]
        if length:
            head = _KEY[code]
            raw, texts = block[:, head : head + length].tobytes(), self._texts
            if ids:
                numbers = _integers(block[:, head + length + 1 : head + length + 1 + ids])
                expected = self._memo.next
                if expected is None or numbers != list(range(expected, expected + n)):
                    return False
            pieces = [raw[i : i + length] for i in range(0, n * length, length)]
            try:
                keys = [texts[piece] for piece in pieces]
            except KeyError:
                if len(texts) > 2**16:
                    texts.clear()
                texts.update((piece, str(piece, "utf-8")) for piece in pieces)
                keys = [texts[piece] for piece in pieces]
            self._memo.put_all(keys)
        else:
            keys = _integers(block[:, 1 : _KEY[code]])
            if code in (_GET1, _GET4):
                keys = [self._memo.get(number) for number in keys]
        pairs: list[Any] = [None] * (2 * n)
        pairs[::2] = keys
        pairs[1::2] = np.ascontiguousarray(block[:, -8:]).view(">f8")[:, 0].tolist()
        self._stack += pairs
        self._stream.at += n * stride - 1
        self._left -= 2 * n
        return True

    # Containers.

    def mark(self) -> None:
        if len(self._frames) >= _MOST_DEPTH:
            raise ValueError(f"more than {_MOST_DEPTH} levels of containers")
        inside: list[Any] = []
        if self._is_items(self._stack, len(self._stack) - 1):
            self._items_frame = inside
        self._frames.append(self._stack)
        self._stack = inside

    def _since_mark(self) -> list[Any]:
        if not self._frames:
            raise ValueError("the end of a container that was not begun")
        items, self._stack = self._stack, self._frames.pop()
        return items

    def _is_items(self, stack: list[Any], place: int) -> bool:
        """Return whether the value at ``place`` of the stack is the dict whose items are handed over."""
        if (
            self._items is None
            or place < 1
            or type(stack[place]) is not dict
            or type(stack[place - 1]) is not str
            or stack[place - 1] != self._items
        ):
            return False
        if self._frames:
            # Behind another dict it could be inside that one: a dict of one key needs no mark.
            outer = len(self._frames) == 1 == len(self._frames[0]) and place % 2 == 1
            return outer and not any(type(value) is dict for value in stack[1:place:2])
        return place == 2 and type(stack[0]) is dict

    def tuple_of(self, n: int) -> None:
        if len(self._stack) < n:
            raise ValueError(f"a tuple of {n} without its elements")
        made = tuple(self._stack[len(self._stack) - n :])
        del self._stack[len(self._stack) - n :]
        self._stack.append(made)

    def tuple_since_mark(self) -> None:
        items = self._since_mark()
        self._stack.append(tuple(items))

    def append(self) -> None:
        value = self._stack.pop()
        self._target(list).append(value)

    def appends(self) -> None:
        items = self._since_mark()
        self._target(list).extend(items)

    def _target(self, kind: type) -> Any:
        target = self._stack[-1]
        if type(target) is not kind:
            raise ValueError(f"a {type(target).__name__}, where a {kind.__name__} is filled")
        return target

    def set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._fill([key, value])

    def set_items(self) -> None:
        self._fill(self._since_mark())

    def _fill(self, items: list[Any]) -> None:
        target = self._target(dict)
        if len(items) % 2:
            raise ValueError("a key without a value")
        keys = items[::2]
        if not set(map(type, keys)) <= {str, int}:
            for key in keys:
                checked_key(key)
        if self._is_items(self._stack, len(self._stack) - 1):
            self._items_frame = None
            for i in range(0, len(items), 2):
                self._hand_over(items[i], items[i + 1])
            return
        target.update(zip(keys, items[1::2], strict=True))
        if self._stack is self._items_frame:
            # An item is complete when the next one is filled. A dict of one key is filled without a mark,
            # so a key that is no number may as well be inside the item before.
            while len(self._stack) >= 4 and all(type(key) is int for key in self._stack[::2]):
                key, value = self._stack[:2]
                del self._stack[:2]
                self._hand_over(key, value)

    def _hand_over(self, key: Any, value: Any) -> None:
        self._memo.turn()
        self._left, self._turned_at = _MOST_OPERATIONS, self._stream.offset
        self._ready.append((key, value))

    def add_items(self) -> None:
        items = self._since_mark()
        self._target(set).update(map(checked_key, items))

    def frozen(self) -> None:
        items = self._since_mark()
        self._stack.append(frozenset(map(checked_key, items)))

    # Memo.

    def put(self, form: struct.Struct | None) -> None:
        number = None if form is None else self._number(form)
        self._memo.put(self._stack[-1], number)

    def get(self, form: struct.Struct) -> None:
        self._stack.append(self._memo.get(self._number(form)))

    # Globals.

    def named(self) -> None:
        data, at = self._stream.data, self._stream.at
        ends = data.find(b"\n", at, at + 512)
        last = data.find(b"\n", ends + 1, ends + 512) if ends >= 0 else -1
        if last < 0:
            raise ValueError("the name of an object without its end")
        names = str(data[at:last], "utf-8").split("\n")
        self._find(names[0], names[1])
        self._stream.at = last + 1

    def stack_named(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if type(name) is not str or type(module) is not str:
            raise ValueError("an object whose name is no string")
        self._find(module, name)

    def _find(self, module: str, name: str) -> None:
        found = GLOBALS.get((module, name))
        if found is None:
            allowed = ", ".join(f"{m}.{n}" for m, n in GLOBALS)
            raise UnsafePickleError(
                f"{self._stream.source}, offset {self._stream.offset}: it asks for {short(f'{module}.{name}')}, "
                f"which plain data does not need (allowed: {allowed}). It was not loaded. A file with network "
                "weights is not read; otherwise get it from its publisher again."
            )
        self._stack.append(found)

    def reduce(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if type(function) is not Global or type(arguments) is not tuple:
            raise ValueError("a call of something that is no function")
        # What is made anew of an argument takes no byte of the file, so a call costs its length.
        self._left -= sum(len(value) for value in arguments if type(value) in (str, list))
        self._stack.append(function.call(*arguments))

    def build(self) -> None:
        state = self._stack.pop()
        if type(self._stack[-1]) is not DTYPE:
            raise ValueError("a state for something that has none")
        self._stack[-1].__setstate__(state)


def _integers(columns: NDArray[np.uint8]) -> list[int]:
    """Return rows of little-endian bytes as integers."""
    width = columns.shape[1]
    numbers: list[int] = np.ascontiguousarray(columns).view(f"<u{width}")[:, 0].tolist()
    return numbers


_U1, _U2, _I4, _U4, _U8 = (struct.Struct(form) for form in ("<B", "<H", "<i", "<I", "<Q"))
_F8 = struct.Struct(">d")
_STOP, _FLOAT, _TEXT, _SHORT_TEXT, _GET1, _GET4 = b".GX\x8chj"

#: Bytes of a pair's key before its text, or before its float.
_KEY = {ord("K"): 2, ord("M"): 3, _GET1: 2, _GET4: 5, _SHORT_TEXT: 2, _TEXT: 5}
#: Bytes of the number with which a text is put into the memo.
_PUT = {0x94: 0, ord("q"): 1, ord("r"): 4}


@cache
def _layout(code: int, length: int, put: int) -> tuple[int, NDArray[np.intp], int] | None:
    """Return a pair's bytes, which of them are equal in all pairs of a run, and its memo number's bytes."""
    key = _KEY[code]
    if not length:
        return None if code in (_TEXT, _SHORT_TEXT) else (key + 9, np.array([0, key]), 0)
    if put not in _PUT:
        return None
    ids = _PUT[put]
    end = key + length + 1 + ids
    return end + 9, np.array([*range(key), key + length, end]), ids


def _operation(code: int) -> str:
    names = {ord(known.code): known.name for known in pickletools.opcodes}
    return names.get(code, f"{code:#04x}")


def _push(make: Callable[[], Any]) -> Callable[[_Machine], None]:
    return lambda machine: machine._stack.append(make())


def _push_number(form: struct.Struct) -> Callable[[_Machine], None]:
    return lambda machine: machine._stack.append(machine._number(form))


def _run_or(code: int, otherwise: Callable[[_Machine], None]) -> Callable[[_Machine], None]:
    def act(machine: _Machine) -> None:
        if not machine.pairs(code):
            otherwise(machine)

    return act


_ACTIONS: dict[int, Callable[[_Machine], None]] = {
    0x80: _Machine.proto,
    0x95: _Machine.frame,
    ord("("): _Machine.mark,
    ord("N"): _push(lambda: None),
    0x88: _push(lambda: True),
    0x89: _push(lambda: False),
    ord("J"): _push_number(_I4),
    ord("K"): _run_or(ord("K"), _push_number(_U1)),
    ord("M"): _run_or(ord("M"), _push_number(_U2)),
    0x8A: lambda machine: machine.long(_U1),
    0x8B: lambda machine: machine.long(_I4),
    _FLOAT: _push_number(_F8),
    _SHORT_TEXT: _run_or(_SHORT_TEXT, lambda machine: machine.text(_U1)),
    _TEXT: _run_or(_TEXT, lambda machine: machine.text(_U4)),
    0x8D: lambda machine: machine.text(_U8),
    ord("C"): lambda machine: machine.raw(_U1),
    ord("B"): lambda machine: machine.raw(_U4),
    0x8E: lambda machine: machine.raw(_U8),
    ord(")"): _push(tuple),
    0x85: lambda machine: machine.tuple_of(1),
    0x86: lambda machine: machine.tuple_of(2),
    0x87: lambda machine: machine.tuple_of(3),
    ord("t"): _Machine.tuple_since_mark,
    ord("]"): _push(list),
    ord("a"): _Machine.append,
    ord("e"): _Machine.appends,
    ord("}"): _push(dict),
    ord("s"): _Machine.set_item,
    ord("u"): _Machine.set_items,
    0x8F: _push(set),
    0x90: _Machine.add_items,
    0x91: _Machine.frozen,
    ord("q"): lambda machine: machine.put(_U1),
    ord("r"): lambda machine: machine.put(_U4),
    0x94: lambda machine: machine.put(None),
    _GET1: _run_or(_GET1, lambda machine: machine.get(_U1)),
    _GET4: _run_or(_GET4, lambda machine: machine.get(_U4)),
    ord("c"): _Machine.named,
    0x93: _Machine.stack_named,
    ord("R"): _Machine.reduce,
    ord("b"): _Machine.build,
}
