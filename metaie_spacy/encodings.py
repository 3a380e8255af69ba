"""Files of any encoding as lines in UTF-8: what a byte order mark or the user says; nothing is guessed.

A file that says nothing is UTF-8. A line of it may be damaged, which is its reader's business; a file that is in
another encoding throughout is refused as a whole, so that nothing reads half of it.
"""

import codecs
import re
import unicodedata
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Iterable, Iterator

MARKS = (  # a mark of UTF-32 begins like one of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
WIDE = {"utf-32-le": 4, "utf-32-be": 4, "utf-16-le": 2, "utf-16-be": 2}  # bytes of a character
NO_ENCODING_OF_FILES = ("charmap", "idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape")
HEAD, CHUNK = 4096, 1 << 16  # bytes: that tell UTF-16, and that are decoded at a time
CONTROLS = re.compile("[\x80-\x84\x86-\x9f]")  # what ISO 8859 has where Windows has letters and quotation marks


def check_encoding(name: str) -> str:
    """The name that Python has for a text encoding, such as "cp1252" for "windows-1252".

    RAISES (ValueError): there is none of this name; the message has one like it.
    """
    try:
        b"a".decode(name, "ignore")
        found = codecs.lookup(name).name.replace("_", "-")
    except (LookupError, ValueError):
        found = ""
    if not found or found in NO_ENCODING_OF_FILES:
        raise ValueError(
            f"There is no encoding '{name}' of texts. Did you mean {_like(name)}? "
            "Others are utf-16-le, utf-16-be, latin-1, shift_jis, gb18030, koi8-r."
        )
    return found


def numbered_lines(path: str | Path, encoding: str | None = None) -> Iterator[tuple[int, bytes]]:
    """The lines of a file as `utf8_lines` gives them, counted from 1. RAISES (OSError): it cannot be opened."""
    with Path(path).open("rb") as file:
        yield from enumerate(utf8_lines(file, str(path), encoding), 1)


def read_text(path: str | Path, encoding: str | None = None) -> str:
    """A whole file as text, its line ends as "\\n".

    RAISES (ValueError): a line cannot be read; the message names file, line and cure. (OSError): there is no file.
    """
    lines = []
    for number, line in numbered_lines(path, encoding):
        fault = _fault(line)
        if fault or b"\0" in line:
            raise ValueError(_message(str(path), number, line, fault))
        lines.append(line)
    return b"".join(lines).replace(b"\r\n", b"\n").decode("utf8")


def utf8_lines(file: BinaryIO, name: str, encoding: str | None = None) -> Iterator[bytes]:
    """The lines of a stream in UTF-8 with their ends, one by one, without a byte order mark.

    A mark says how the stream is encoded, else `encoding` does, else it is UTF-8; then lines come as they are, also
    one that is damaged, such as one with a NUL.

    name (str): what messages call it. encoding (str | None): of a stream without a mark.
    RAISES (ValueError): there is no such encoding, or the stream is in another one; the message names the line.
    """
    own = check_encoding(encoding) if encoding is not None else "utf-8"
    first = file.readline()
    mark, marked = next((pair for pair in MARKS if first.startswith(pair[0])), (b"", ""))
    first = first[len(mark) :]
    codec = marked or ("utf-8" if own == "utf-8-sig" else own)
    if codec in ("utf-16", "utf-32"):
        likely = _wide(first + file.readline()) or f"{codec}-le"
        raise ValueError(
            f"{name}, line 1: there is no byte order mark, which {codec} needs. "
            f"Say the order of the bytes too: --encoding {likely}."
        )
    if codec == "utf-8":
        yield from _own(first, file, name)
    elif not marked and _is_single(codec):
        yield from _single(first, file, name, codec)
    else:
        yield from _decoded(chain([first], _chunks(file)), name, codec, is_marked=bool(marked))


def _own(first: bytes, file: BinaryIO, name: str) -> Iterator[bytes]:
    """Lines of a stream that should be UTF-8. RAISES (ValueError): more of its lines are none than are."""
    count = _Count(file)
    fault = None
    head = b""
    for number, line in enumerate(_lines(first, file), 1):
        if len(head) < HEAD:
            head += line[:HEAD]
            _check_order(head, name, number, "utf-8")
        if not count.is_settled and not line.isascii():
            count.add(line)
            if count.bad and fault is None:
                fault = number, line
            if fault and count.tells(lambda good, bad: bad > good):
                raise ValueError(_message(name, *fault, _fault(fault[1])))
        yield line


def _single(first: bytes, file: BinaryIO, name: str, codec: str) -> Iterator[bytes]:
    """Lines of a stream with a byte a character. RAISES (ValueError): it has other characters, or is UTF-8."""
    count = _Count(file)
    head = b""
    for number, line in enumerate(_lines(first, file), 1):
        if len(head) < HEAD:
            head += line[:HEAD]
            _check_order(head, name, number, codec)
        if line.isascii():
            yield line
            continue
        if not count.is_settled:
            count.add(line)
            if count.tells(lambda good, bad: good > bad):
                raise ValueError(f"{name}, line {number}: this is UTF-8, not {codec}. Leave --encoding out.")
        try:
            text = line.decode(codec)
        except UnicodeDecodeError as error:
            raise ValueError(_misnamed(name, number, codec, error)) from None
        if codec.startswith("iso8859") and (control := CONTROLS.search(text)):
            raise ValueError(
                f"{name}, line {number}: byte 0x{ord(control[0]):02X} is no character of {codec}. "
                "Name the code page of Windows instead, such as --encoding cp1252."
            )
        yield text.encode("utf8")


def _decoded(chunks: Iterable[bytes], name: str, codec: str, *, is_marked: bool) -> Iterator[bytes]:
    """Lines of a stream of any encoding. RAISES (ValueError): it is not in this one, or is cut inside a character."""
    decoder = codecs.getincrementaldecoder(codec)()
    parts: list[str] = []
    number, head, is_begun = 1, b"", False
    for chunk in chain(chunks, [b""]):  # the last one ends it
        if not is_marked and len(head) < HEAD:
            head += chunk[:HEAD]
            _check_order(head, name, 1, codec)
        try:
            text = decoder.decode(chunk, final=not chunk)
            text.encode("utf8")
        except UnicodeDecodeError as error:
            number += error.object[: error.start].decode(codec, "replace").count("\n")
            raise ValueError(_misnamed(name, number, codec, error)) from None
        except UnicodeEncodeError:
            raise ValueError(_misnamed(name, number, codec, None)) from None
        if text and not is_begun:
            text, is_begun = text.removeprefix("\ufeff"), True
        *whole, rest = text.split("\n")
        for line in whole:
            yield ("".join([*parts, line]) + "\n").encode("utf8")
            parts = []
            number += 1
        if rest:
            parts.append(rest)
    if parts:
        yield "".join(parts).encode("utf8")


class _Count:
    """How many lines beyond ASCII are UTF-8 and how many are not, first of those read, then of all that follow.

    A byte 0xFE or 0xFF is in no UTF-8 and hardly in a text: it tells damage, not another encoding.
    """

    def __init__(self, file: BinaryIO):
        self.file, self.good, self.bad, self.is_settled = file, 0, 0, False

    def add(self, line: bytes) -> None:
        if _fault(line) is None:
            self.good += 1
        elif _fault(line.translate(None, b"\xfe\xff")) is not None:
            self.bad += 1

    def tells(self, prevails) -> bool:
        """Whether this prevails; of a file, all that follows is counted too, once."""
        if not prevails(self.good, self.bad):
            return False
        if self.file.seekable():
            place = self.file.tell()
            for line in self.file:
                if not line.isascii():
                    self.add(line)
            self.file.seek(place)
            self.is_settled = True
        return prevails(self.good, self.bad)


def _lines(first: bytes, file: BinaryIO) -> Iterator[bytes]:
    if first:
        yield first
    while line := file.readline():
        yield line


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    read = getattr(file, "read1", file.read)  # of a pipe what is there, without waiting for more
    while chunk := read(CHUNK):
        yield chunk


def _is_single(codec: str) -> bool:
    """Whether a character is a byte, and the first half is ASCII."""
    low, high = (bytes(half).decode(codec, "replace") for half in (range(128), range(128, 256)))
    return low.isascii() and len(low) == len(high) == 128 and high.count("\ufffd") < 64


def _fault(line: bytes) -> UnicodeDecodeError | None:
    try:
        line.decode("utf8")
    except UnicodeDecodeError as error:
        return error
    return None


def _wide(head: bytes) -> str:
    """Which of `WIDE` the beginning of a file without a mark is; "": none.

    Its characters then are all assigned ones, no controls, and some of them ASCII: spaces and line ends at least.
    """
    zeros = head.count(0)
    if not zeros or zeros * 32 < len(head):
        return ""
    signs = head.translate(None, b"\0\t\r\n")
    if zeros * 4 < len(head) and _fault(head) is None and all(byte >= 32 for byte in signs):
        return ""  # a text with a few NULs in it
    scores = {}
    for codec in WIDE:
        try:
            text = codecs.getincrementaldecoder(codec)().decode(head)
        except UnicodeDecodeError:
            continue
        if all(char in "\t\r\n" or unicodedata.category(char) not in ("Cc", "Cn", "Co", "Cs") for char in text):
            scores[codec] = sum(map(str.isascii, text))
    best = max(scores, key=scores.__getitem__, default="")
    return best if scores.get(best) else ""


def _check_order(head: bytes, name: str, number: int, codec: str) -> None:
    """RAISES (ValueError): a stream without a mark begins as UTF-16 or UTF-32 but is read as another, or vice versa."""
    likely = _wide(head)
    if likely not in ("", codec):
        raise ValueError(
            f"{name}, line {number}: it has NUL bytes where {likely} without a byte order mark has them, and is no "
            f"{codec.upper()}. Give --encoding {likely} where the command takes it, or convert it to UTF-8."
        )
    if codec in WIDE and b"\0" not in head and sum(32 <= byte < 127 for byte in head) * 4 > len(head) * 3:
        raise ValueError(_misnamed(name, number, codec, None))


def _message(name: str, number: int, line: bytes, fault: UnicodeDecodeError | None) -> str:
    """What is wrong with a line of a file that should be UTF-8."""
    if b"\0" in line:
        why = "it has NUL bytes, as UTF-16 without a byte order mark does"
        cure = "--encoding utf-16-le or utf-16-be"
    else:
        assert fault is not None
        why = f"not UTF-8 ({fault.reason} at byte {fault.start}, 0x{line[fault.start]:02X})"
        cure = "its encoding, such as --encoding cp1252,"
    return f"{name}, line {number}: {why}. Convert it to UTF-8, or give {cure} where the command takes it."


def _misnamed(name: str, number: int, codec: str, fault: UnicodeDecodeError | None) -> str:
    why = f" ({fault.reason})" if fault else ""
    cure = "Give the --encoding that it is in, or convert it to UTF-8."
    return f"{name}, line {number}: not {codec.upper()}{why}. {cure}"


def _like(name: str) -> str:
    """The encoding whose name is most like this one."""
    from difflib import get_close_matches
    from encodings.aliases import aliases

    squeezed = {re.sub("[^a-z0-9]", "", known): real for known, real in aliases.items()}
    squeezed |= {re.sub("[^a-z0-9]", "", real): real for real in aliases.values()}
    close = get_close_matches(re.sub("[^a-z0-9]", "", name.lower()), squeezed, 1, 0.5)
    found = squeezed[close[0]] if close else "cp1252"
    try:
        b"a".decode(found, "ignore")
    except LookupError:
        return "cp1252"
    return found.replace("_", "-") if found.startswith(("utf", "iso")) else found
