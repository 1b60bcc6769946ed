"""What a PDF of ours holds, read without the library that wrote it: its tags, its words, the language of each."""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Words:
    """One run of text. `artifact` runs are decoration: a screen reader leaves them out."""

    page: int
    text: str
    lang: str
    artifact: bool


@dataclass(frozen=True)
class Tag:
    """One element of the structure tree, in reading order."""

    name: str
    depth: int
    lang: str
    attributes: str


@dataclass(frozen=True)
class Pdf:
    content: bytes

    @cached_property
    def objects(self) -> dict[int, bytes]:
        return {int(n): body for n, body in re.findall(rb"\n(\d+) 0 obj\n(.*?)\nendobj", self.content, re.S)}

    @cached_property
    def root(self) -> bytes:
        [number] = re.findall(rb"/Root (\d+) 0 R", self.content)
        return self.objects[int(number)]

    @cached_property
    def metadata(self) -> str:
        return self.stream(self.reference(self.root, b"Metadata")).decode()

    @property
    def pages(self) -> list[int]:
        tree = self.objects[self.reference(self.root, b"Pages")]
        return [int(n) for n in re.findall(rb"(\d+) 0 R", tree.split(b"/Kids[")[1].split(b"]")[0])]

    def reference(self, body: bytes, name: bytes) -> int:
        found = re.search(rb"/" + name + rb" (\d+) 0 R", body)
        assert found, (name, body[:300])
        return int(found[1])

    def stream(self, number: int) -> bytes:
        head, _, rest = self.objects[number].partition(b"stream\n")
        raw = rest.rpartition(b"\nendstream")[0]
        return zlib.decompress(raw) if b"/FlateDecode" in head else raw

    @cached_property
    def tags(self) -> list[Tag]:
        [top] = [body for body in self.objects.values() if b"/Type/StructTreeRoot" in body]
        return list(self._tags(top, 0))

    def _tags(self, body: bytes, depth: int) -> Iterator[Tag]:
        name = re.search(rb"/S/(\w+)", body)
        if name:
            lang, more = re.search(rb"/Lang\((.*?)\)", body), re.search(rb"/A(\[.*?\]>>|<<.*?>>)", body)
            yield Tag(name[1].decode(), depth, lang[1].decode() if lang else "", more[1].decode() if more else "")
        children = re.search(rb"/K ?(\[.*?\](?=/|>>)|\d+ 0 R)", body, re.S)
        for number in re.findall(rb"(\d+) 0 R", children[1]) if children else ():
            child = self.objects[int(number)]
            if b"/S/" in child:
                yield from self._tags(child, depth + 1)

    @cached_property
    def words(self) -> list[Words]:
        return [found for page in range(len(self.pages)) for found in self._words(page)]

    def text(self, page: int | None = None) -> str:
        return "".join(found.text for found in self.words if page in (None, found.page))

    def _words(self, page: int) -> Iterator[Words]:
        body = self.objects[self.pages[page]]
        named = body if b"/Font" in body else self.objects[self.reference(body, b"Resources")]
        fonts = {name: self._letters(int(n)) for name, n in re.findall(rb"/(f\d+) (\d+) 0 R", self._whole(named))}
        lang, artifact, letters = "", False, {}
        token = (
            rb"(/Artifact|/Span)(<<.*?>>|/\S+)? ?BDC|/(f\d+) [\d.]+ Tf|"
            rb"(\((?:\\.|[^\\()]|\((?:\\.|[^\\()])*\))*\)|<[0-9A-F]*>) ?(?:Tj)?"
        )
        for found in re.finditer(token, self.stream(self.reference(body, b"Contents")), re.S):
            begun, about, font, said = found.groups()
            if begun:
                tongue = re.search(rb"/Lang\((.*?)\)", about or b"")
                lang, artifact = tongue[1].decode() if tongue else "", begun == b"/Artifact"
            elif font:
                letters = fonts[font]
            elif said:
                glyphs = _bytes(said)
                text = "".join(letters.get(glyphs[n : n + 2], "?") for n in range(0, len(glyphs), 2))
                yield Words(page, text, lang, artifact)

    def _whole(self, body: bytes) -> bytes:
        """A dictionary with those it refers to for its fonts."""
        found = re.search(rb"/Font (\d+) 0 R", body)
        return self.objects[int(found[1])] if found else body

    def _letters(self, font: int) -> dict[bytes, str]:
        table = self.stream(self.reference(self.objects[font], b"ToUnicode")).decode()
        found = {}
        for part in re.findall(r"beginbfchar(.*?)endbfchar", table, re.S):
            for glyph, text in re.findall(r"<(\w+)>\s*<(\w+)>", part):
                found[bytes.fromhex(glyph)] = bytes.fromhex(text).decode("utf-16-be")
        for part in re.findall(r"beginbfrange(.*?)endbfrange", table, re.S):
            for first, last, text in re.findall(r"<(\w+)>\s*<(\w+)>\s*<(\w+)>", part):
                for n in range(int(first, 16), int(last, 16) + 1):
                    found[n.to_bytes(2, "big")] = chr(int(text, 16) + n - int(first, 16))
        return found


ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


def _bytes(literal: bytes) -> bytes:
    """The bytes of a PDF string."""
    if literal.startswith(b"<"):
        return bytes.fromhex(literal[1:-1].decode())
    return re.sub(rb"\\([0-7]{1,3}|.)", lambda found: _escaped(found[1]), literal[1:-1], flags=re.S)


def _escaped(sign: bytes) -> bytes:
    return bytes([int(sign, 8)]) if sign.isdigit() else ESCAPES.get(sign, sign)
