"""The printed plan: one sheet as HTML and as PDF/UA, read with parsers that know nothing of how they were made."""

import itertools
import re
import tomllib
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

import pytest

from gateway import access
from gateway.errors import ConfigError, Refused
from gateway.plans import GuardResult
from gateway.printing.content import Known, Standing, Visible, sheet
from gateway.printing.html import html
from gateway.printing.pdf import pdf
from gateway.printing.translations import rendered, template, translated
from gateway.printing.words import FOLDER, known, tag, words
from gateway.schema import codes
from gateway.schema.plan import Plan, sha256, shown, texts
from tests.pdfs import Pdf
from tests.test_plans import MOTHER, PARTNER, PRINCIPAL, RESULT, SCHOOL, STUDENT, TEACHER, entity, whole

LONG = "Donaudampfschifffahrtsgesellschaftskapitaenswitwenrentenbezug"
HOSTILE = "<script>alert('x')</script> & \"#{1+1}\" *bold* #import $x$ {{ 7*7 }} \\u{0}"
ARABIC = "مرحبا بالعالم"
HEBREW = "שלום עולם"
AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
VOID = {"meta", "br", "link", "img", "hr", "input"}


def plan(**more: Any) -> Plan:
    """A whole plan with something in every section."""
    content = whole()
    content["interests"] = [{"statement": "Trains.", "said_by": "student", "as_of": "2026-02-01"}]
    content["needs"].append({"domain": "mental_health", "statement": "Sleeps badly.", "evidence": []})
    content["goals"].append({"domain": "mental_health", "statement": "Sleeps at night.", "addresses": ["need-3"]})
    content["supports"][0] |= {"frequency": 3, "frequency_interval": "week", "duration_minutes": 30}
    content["supports"] += [
        {"name": "Lanterns", "kind": "mentoring", "setting": "community", "owner": PARTNER, "goals": ["goal-1"]},
        {"name": "Quiet hour", "kind": "health_service", "owner": TEACHER, "goals": ["goal-2"]},
    ]
    content["external_plans"] = [{"type": "section_504", "system": "sis", "external_id": "88-17"}]
    return Plan.model_validate(content | more)


NAMES = Known(
    {STUDENT: "Maud Pettifer", TEACHER: "Ferdinand Oakapple", MOTHER: "Dorothea Pettifer", PRINCIPAL: "Ada Quill"},
    {SCHOOL: "Fennel School"},
    {RESULT: ("Reading in winter", date(2026, 2, 1))},
)


def everything(section: str) -> bool:
    return True


def drawn(of: Plan, language: str = "en", visible: Visible = everything, **standing: Any) -> Any:
    given = {"mark": "draft", "shown_sha256": sha256(shown(of))} | standing
    return sheet(of, Standing(**given), NAMES, words(language), visible)


# --- a reader of HTML that knows nothing of templates ------------------------------------------------------------


@dataclass
class Page(HTMLParser):
    """What a browser makes of the file; it fails where tags are not closed in the order that they were opened."""

    elements: list[tuple[str, dict[str, str], str]] = field(default_factory=list)
    """Name, attributes, text."""

    def __post_init__(self) -> None:
        super().__init__()
        self.open: list[int] = []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, {k: v or "" for k, v in attributes}, ""))
        if name not in VOID:
            self.open.append(len(self.elements) - 1)

    def handle_endtag(self, name: str) -> None:
        assert self.elements[self.open.pop()][0] == name

    def handle_data(self, text: str) -> None:
        for n in self.open:
            tag, attributes, before = self.elements[n]
            self.elements[n] = (tag, attributes, before + text)

    def of(self, *names: str) -> list[tuple[dict[str, str], str]]:
        return [(attributes, " ".join(text.split())) for name, attributes, text in self.elements if name in names]

    def texts(self, *names: str) -> list[str]:
        return [text for _, text in self.of(*names)]


def page(content: bytes) -> Page:
    read = Page()
    read.feed(content.decode())
    read.close()
    assert read.open == []
    return read


# --- what both say ------------------------------------------------------------------------------------------------


def test_the_page_can_be_read_by_a_machine_that_reads_aloud() -> None:
    read = page(html(drawn(plan()), "letter"))
    assert read.of("html")[0][0] == {"lang": "en", "dir": "ltr"}
    assert read.texts("title") == ["DRAFT: Student success plan"]
    levels = [int(name[1]) for name, _, _ in read.elements if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert {name for name, _, _ in read.elements}.isdisjoint({"script", "img", "link", "iframe", "object"})
    assert not [
        a for _, attributes, _ in read.elements for a in attributes if a.startswith("on") or a in ("href", "src")
    ]
    assert [a["scope"] for a, _ in read.of("th")] == ["col"] * 3 + ["row"] * 2
    assert all(text for text in read.texts("h1", "h2", "h3", "dt", "dd", "li"))


def test_everything_that_was_decided_is_on_the_page() -> None:
    said = page(html(drawn(plan()), "letter")).texts("body")[0]
    for part in (
        "Student: Maud Pettifer",
        "Coordinator: Ferdinand Oakapple",
        "From March 9, 2026",
        "Explains mazes to others.",
        "Trains. (said by: the student, February 1, 2026)",
        "Reading in winter (February 1, 2026)",
        "words a minute: 61 (February 20, 2026)",
        "words a minute: at least 90 by June 1, 2026",
        "3 times a week, 30 minutes each time. Ferdinand Oakapple is responsible.",
        "Odalys Fernweh (Lantern Club) is responsible.",
        "Section 504 plan, in force",
        "The family agrees.",
        "Tell Ferdinand Oakapple or the school's office",
        sha256(shown(plan())),
    ):
        assert part in re.sub(r"(Student|Coordinator) ", r"\1: ", said), part
    assert "88-17" not in said, "a pointer to another plan is not for the print"


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, relative luminance."""

    def luminance(color: str) -> float:
        digits = color * 2 if len(color) == 3 else color
        parts = [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_color_can_be_read_on_every_ground() -> None:
    style = page(html(drawn(plan()), "a4")).texts("style")[0]
    inks = set(re.findall(r"(?<!-)color: #(\w+);", style)) - {"e6e6e6"}  # the mark behind the text is a ground
    assert inks
    for ground in ("fff", "e6e6e6"):
        assert all(contrast(ink, ground) >= 4.5 for ink in inks)


@pytest.mark.parametrize(("paper", "size"), [("letter", "letter"), ("a4", "A4")])
def test_paper(paper: Literal["letter", "a4"], size: str) -> None:
    assert f"size: {size};" in page(html(drawn(plan()), paper)).texts("style")[0]
    made = Pdf(pdf(drawn(plan()), paper, AT))
    [box] = {tuple(map(float, re.findall(rb"[\d.]+", b))) for b in re.findall(rb"/MediaBox ?\[(.*?)\]", made.content)}
    assert box[2:] == pytest.approx({"letter": (612, 792), "a4": (595.28, 841.89)}[paper], abs=0.1)


def test_the_pdf_is_tagged_and_says_the_same() -> None:
    of = drawn(plan())
    made = Pdf(pdf(of, "letter", AT))
    assert b"/Marked true" in made.root and b"/Lang(en)" in made.root and b"/DisplayDocTitle true" in made.root
    assert "<pdfuaid:part>1</pdfuaid:part>" in made.metadata
    assert "DRAFT: Student success plan" in made.metadata
    read = page(html(of, "letter"))
    headings = [tag.name for tag in made.tags if re.fullmatch("H[1-6]", tag.name)]
    assert headings == [name.upper() for name, _, _ in read.elements if re.fullmatch("h[1-6]", name)]
    cells = [tag for tag in made.tags if tag.name == "TH"]
    assert len(cells) == 3 and all("/Scope/Column" in tag.attributes for tag in cells)
    heard = "".join(found.text for found in made.words if not found.artifact)
    squeezed = re.sub(r"[\s•:\u200b]", "", heard)
    for line in read.texts("h1", "h2", "h3", "dt", "dd", "li", "td", "th", "p"):
        if "SHA-256" not in line and line != "DRAFT":
            assert re.sub(r"[\s:]", "", line) in squeezed, line
    assert made.content == pdf(of, "letter", AT), "the same sheet is the same file"


def test_every_page_of_a_draft_says_so_and_names_what_was_shown() -> None:
    goals = [{"domain": "academic", "statement": f"Step {n}.", "addresses": ["need-1"]} for n in range(60)]
    of = plan(goals=goals, supports=[])
    made = Pdf(pdf(drawn(of), "letter", AT))
    assert len(made.pages) > 3
    for n in range(len(made.pages)):
        assert "DRAFT" in made.text(n) and sha256(shown(of)) in made.text(n)
        assert f"Page {n + 1} of {len(made.pages)}" in made.text(n)
    assert all(f"Goal {n}: Step {n - 1}." in made.text() for n in range(1, 61))
    in_force = drawn(of, mark="", version=2, version_sha256="f" * 64, finalized_on=date(2026, 3, 1))
    assert "DRAFT" not in Pdf(pdf(in_force, "letter", AT)).text()
    read = page(html(in_force, "letter"))
    assert "Version 2, finalized on March 1, 2026" in read.texts("dd") and "f" * 64 in read.texts("footer")[0]
    assert read.of("h1") and not [a for a, _ in read.of("div", "p") if a.get("class") in ("mark", "alert")]


def test_a_draft_says_in_words_what_is_missing() -> None:
    report = [
        GuardResult("G1", False, "", ("/strengths", "/needs/0/evidence/0", "/goals/1/targets")),
        GuardResult("G2b", True, "", ()),
        GuardResult("G9", False, "", ("/something/new/4",)),
    ]
    said = page(html(drawn(plan(strengths=[]), report=report), "letter")).texts("li")
    assert said[:4] == [
        "A strength of the student",
        "Need 1: what it rests on",
        "Goal 2: a target and its day",
        "Something else, which the school can name: /something/new/4",
    ]


@pytest.mark.parametrize("text", [HOSTILE, LONG, f"{ARABIC} (2026) {HEBREW} abc", "one\ntwo\x00\x1b[31m\u202e three"])
def test_what_people_write_is_words_and_nothing_else(text: str) -> None:
    content = {"strengths": [{"statement": text}], "team": [{"who": PARTNER | {"name": text}, "role": "partner"}]}
    of = drawn(plan(title=text, **content))
    read = page(html(of, "letter"))
    names = [name for name, _, _ in read.elements]
    assert "script" not in names and "b" not in names
    shown_as = " ".join(re.sub(r"[\x00-\x09\x0b-\x1f\u202e]", "", text).split())
    assert read.texts("h1") == [shown_as.replace("onetwo", "one two")] or "\n" in text
    assert {shown_as} <= {*read.texts("li", "th")} or "\n" in text
    heard = Pdf(pdf(of, "letter", AT)).text().replace("\u200b", "")
    if text in (LONG, HOSTILE):
        assert heard.count(text.replace(" ", "")) or text in heard
    assert not {"\x00", "\x1b", "\u202e"} & set(heard + html(of, "letter").decode())


def test_words_in_another_language_are_named_as_such() -> None:
    statement = f"{ARABIC}\nNo estoy de acuerdo."
    held = {
        "held_on": "2026-02-27", "participants": [{"who": MOTHER}], "outcome": "disagreed", "language": "ara",
        "family_statement": statement, "interpreter_used": True,
    }  # fmt: skip
    read = page(html(drawn(plan(consultations=[held])), "letter"))
    [(attributes, text)] = [found for found in read.of("span") if found[0].get("lang") == "ar"]
    assert attributes["dir"] == "auto" and text == " ".join(statement.split()).replace(f"{ARABIC} No", f"{ARABIC}No")
    assert [text for a, text in read.of("p") if a.get("class") == "alert"][1].startswith("The family disagrees")
    assert "Arabic, with an interpreter" in read.texts("dd")
    tags = Pdf(pdf(drawn(plan(consultations=[held])), "letter", AT)).tags
    assert "ar" in {one.lang for one in tags}


def test_an_empty_plan_can_be_printed() -> None:
    of = Plan.model_validate({"student": STUDENT, "school": entity(77), "period_start": "2026-03-09"})
    read = page(html(drawn(of), "letter"))
    assert read.texts("p").count("Nothing is written here yet.") == 7
    assert {"nobody yet", "a school that is not on the roster"} <= {*read.texts("dd")}
    assert len(Pdf(pdf(drawn(of), "a4", AT)).pages) >= 1


def test_a_character_without_a_picture_is_refused_and_not_repeated() -> None:
    with pytest.raises(Refused) as refused:
        pdf(drawn(plan(title="漢字 Maud")), "letter", AT)
    assert refused.value.code == "print-no-font" and "Maud" not in str(refused.value) and "漢" not in str(refused.value)
    assert refused.value.__cause__ is None and refused.value.__suppress_context__
    assert "漢字" in html(drawn(plan(title="漢字 Maud")), "letter").decode()
    with pytest.raises(ConfigError) as wrong:
        pdf(drawn(plan()), "letter", AT, Path("/nowhere/at/all"))
    assert wrong.value.code == "fonts-missing"


# --- who sees what ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hidden", "gone", "stays"),
    [
        ("health", ("Sleeps badly.", "Sleeps at night.", "Quiet hour"), ("Reads slowly.", "Lanterns")),
        ("goals", ("Reads 90 words", "Goal 1"), ("Reads slowly.", "Reading hour")),
        ("strengths", ("Explains mazes", "Trains."), ("Reads slowly.",)),
        ("outside_supports", ("Lanterns",), ("Reading hour",)),
        ("consultation", ("The family agrees",), ("Reads slowly.",)),
        ("program_status", ("Section 504 plan",), ("Reads slowly.",)),
    ],
)
def test_a_section_is_left_out_and_the_page_says_so(hidden: str, gone: tuple[str, ...], stays: tuple[str, ...]) -> None:
    of = drawn(plan(), visible=lambda section: section != hidden)
    assert of.left_out == (hidden,)
    written = html(of, "letter").decode()
    printed = Pdf(pdf(of, "letter", AT)).text()
    for text in (written, printed):
        assert not [part for part in gone if part in text]
        assert all(part in text for part in stays)
    said = str(words("en").file["codes"]["section"][hidden])
    assert f"Left out of this copy: {said}." in written and "parts of it are left out" in written


def test_what_a_hidden_item_lacks_is_not_told() -> None:
    report = [GuardResult("G1", False, "", ("/goals/1/targets", "/goals/0/targets"))]
    of = drawn(plan(), visible=lambda section: section != "health", report=report)
    said = page(html(of, "letter")).texts("li")
    assert said[:2] == ["Something in a part that is left out of this copy", "Goal 1: a target and its day"]


def test_nothing_is_said_to_be_left_out_that_was_never_there() -> None:
    of = Plan.model_validate({"student": STUDENT, "school": SCHOOL, "period_start": "2026-03-09"})
    assert drawn(of, visible=lambda section: False).left_out == ()


# --- languages ----------------------------------------------------------------------------------------------------


def leaves(node: Any, way: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(node, dict):
        for name, part in node.items():
            yield from leaves(part, (*way, name))
    else:
        yield way, node


def read_language(name: str) -> dict[tuple[str, ...], Any]:
    return dict(leaves(tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))))


@pytest.mark.parametrize("language", [name for name in known() if name != "en"])
def test_every_language_says_everything(language: str) -> None:
    english, other = read_language("en"), read_language(language)
    assert set(english) == set(other)
    for way, text in english.items():
        if isinstance(text, str):
            assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", other[way])), way
            assert other[way].strip() == other[way] != ""
    assert len(other["dates", "months"]) == 12
    same = {way for way, text in english.items() if way[0] == "text" and text == other[way]}
    assert all(not re.search(r"[a-z]{3}", re.sub(r"\{\w+\}", "", english[way])) for way in same), same


CODES = {
    "section": access.Section,
    "domain": codes.Domain,
    "tier": codes.Tier,
    "said_by": codes.SaidBy,
    "kind": codes.SupportKind,
    "setting": codes.Setting,
    "method": codes.DeliveryMethod,
    "interval": codes.Interval,
    "per": codes.DurationInterval,
    "support_status": codes.SupportStatus,
    "achievement": codes.Achievement,
    "lifecycle": codes.Lifecycle,
    "role": codes.TeamRole | codes.ParticipantRole,
    "mode": codes.Mode,
    "outcome": codes.Outcome,
    "channel": codes.Channel,
    "attempt_result": codes.AttemptResult,
    "external_plan": codes.ExternalPlanType,
    "external_status": codes.ExternalPlanStatus,
    "decision": codes.ReviewDecision,
}


@pytest.mark.parametrize("language", known())
def test_every_code_has_a_word(language: str) -> None:
    for name, kind in CODES.items():
        parts = typing.get_args(kind) if not isinstance(typing.get_args(kind)[0], str) else (kind,)
        wanted = {code for part in parts for code in typing.get_args(part)}
        assert wanted == set(words(language).file["codes"][name]), name
    every = {f"target.{comparator}" for comparator in typing.get_args(codes.Comparator)}
    assert every <= set(words(language).file["text"])


def test_a_language_more_is_one_file_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in FOLDER.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    arabic = (tmp_path / "en.toml").read_text().replace('direction = "ltr"', 'direction = "rtl"')
    (tmp_path / "ar.toml").write_text(arabic.replace('"DRAFT"', f'"{ARABIC}"'))
    monkeypatch.setattr("gateway.printing.words.FOLDER", tmp_path)
    assert known() == ["ar", "en", "es"]
    of = drawn(plan(), "ara")
    read = page(html(of, "letter"))
    assert read.of("html")[0][0] == {"lang": "ar", "dir": "rtl"} and read.texts("title")[0].startswith(ARABIC)
    made = Pdf(pdf(of, "letter", AT))
    assert b"/Lang(ar)" in made.root and b"/Direction/R2L" in made.root


def test_dates_numbers_and_tags_are_those_of_the_language() -> None:
    english, spanish = words("en"), words("spa")
    assert (english.date(date(2026, 3, 9)), spanish.date(date(2026, 3, 9))) == ("March 9, 2026", "9 de marzo de 2026")
    assert [english.number(n) for n in (1234567, 0.5, 12.0, -3)] == ["1,234,567", "0.5", "12", "-3"]
    assert [tag(n) for n in ("spa", "es", "ara", "hmn", "es_US", "zho")] == ["es", "es", "ar", "hmn", "es-US", "zh"]
    with pytest.raises(ConfigError) as wrong:
        words("tlh")
    assert wrong.value.code == "print-language-unknown" and "en, es" in wrong.value.fix


# --- translations -------------------------------------------------------------------------------------------------


def in_spanish(of: Plan, **lines: str) -> dict[str, Any]:
    filled = {name: f"[es] {text}" for name, text in texts(of).items()} | lines
    return translated(of, of.model_dump(mode="json"), "spa", filled, {"name": "Inés", "side": "partner"}, AT.date())


def test_lines_without_a_current_translation_are_marked_and_named_as_english() -> None:
    of = Plan.model_validate(in_spanish(plan()))
    assert drawn(of, "es").marked == 0
    content = of.model_dump(mode="json")
    content["goals"][0]["statement"] = "Reads 95 words a minute."
    lines = [line for line in content["translations"][0]["items"] if line["item"] != "support-2"]
    content["translations"][0]["items"] = lines
    of = Plan.model_validate(content)
    made = drawn(of, "es")
    assert made.marked == 2
    read = page(html(made, "letter"))
    assert sorted(text for a, text in read.of("strong") if a.get("class") == "note") == [
        "[El texto cambió después de traducirse: aparece en inglés]",
        "[Sin traducir: aparece en inglés]",
    ]
    english = [text for a, text in read.of("span") if a.get("lang") == "en"]
    assert {"Reads 95 words a minute.", "Lanterns"} <= set(english) and "Explains mazes to others." not in english
    assert "[es] Explains mazes to others." in read.texts("li")
    assert "Traducido al español por Inés el 2 de marzo de 2026." in read.texts("p")
    tongues = [one.lang for one in Pdf(pdf(made, "letter", AT)).tags]
    assert tongues.count("en") >= 2
    assert drawn(of, "en").marked == 0
    assert page(html(drawn(plan(), "es"), "letter")).texts("h1") == ["Plan de éxito del estudiante"]


def test_a_translation_of_the_same_words_serves_another_version() -> None:
    later = Plan.model_validate(in_spanish(plan()))
    assert drawn(plan(), "es").marked == len(texts(plan())) - 1, "the usual title has words of its own"
    assert drawn(plan(), "es", translations=later.translations).marked == 0


def test_a_template_is_filled_and_taken_in() -> None:
    of = plan()
    made = template(of, "spa")
    assert list(made) == list(texts(of)) and {line["standing"] for line in made.values()} == {"missing"}
    made["goal-1"]["text"] = "Lee 90 palabras."
    content = translated(of, of.model_dump(mode="json"), "spa", made, TEACHER, AT.date())
    assert [item["item"] for item in content["translations"][0]["items"]] == ["goal-1"]
    # The plan changes while the translator works: what comes in is of the words in the file.
    changed = {**content, "goals": [{**content["goals"][0], "statement": "Other."}, content["goals"][1]]}
    now = Plan.model_validate(changed)
    assert rendered(now, "spa")["goal-1"].standing == "stale"
    late = translated(now, changed, "spa", made, TEACHER, AT.date())
    assert rendered(Plan.model_validate(late), "es")["goal-1"].standing == "stale"
    # A stale line that nobody touched stays stale; a line that the file does not hold stays as it was.
    again = template(now, "spa")
    assert (again["goal-1"]["standing"], again["goal-1"]["text"]) == ("stale", "Lee 90 palabras.")
    again["support-1"]["text"] = "Hora de lectura"
    kept = Plan.model_validate(translated(now, changed, "spa", again, TEACHER, AT.date()))
    assert [rendered(kept, "spa")[name].standing for name in ("goal-1", "support-1")] == ["stale", "current"]
    more = translated(kept, kept.model_dump(mode="json"), "spa", {"need-1": "Lee despacio."}, TEACHER, AT.date())
    assert len(more["translations"]) == 1 and len(more["translations"][0]["items"]) == 3


@pytest.mark.parametrize(
    ("filled", "code"),
    [
        ({"goal-9": "x"}, "translation-unusable"),
        ({"goal-1": 3}, "translation-unusable"),
        ({"goal-1": {"text": "x", "original": 3}}, "translation-unusable"),
        ({"goal-1": " "}, "translation-empty"),
        ({}, "translation-empty"),
    ],
)
def test_what_is_no_translation_is_refused(filled: dict[str, Any], code: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        translated(plan(), plan().model_dump(mode="json"), "spa", filled, TEACHER, AT.date())
    assert wrong.value.code == code
