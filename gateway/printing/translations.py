"""A plan's words in another language: which line is current, which is stale, and a file that a translator fills."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from gateway.errors import ConfigError
from gateway.printing.words import tag
from gateway.schema.plan import Plan, Translation, sha256, texts

Standing = Literal["current", "stale", "missing"]


@dataclass(frozen=True)
class Rendered:
    """One text in another language. `text` is empty where nobody has translated it; a stale one is of other words."""

    text: str
    standing: Standing


def rendered(plan: Plan, language: str, translations: Iterable[Translation] = ()) -> dict[str, Rendered]:
    """Item -> its words in a language. What was translated for another version of the plan counts as well
    where it is of the same words; `translations` are those of other versions."""
    given = [
        item for one in (*plan.translations, *translations) if tag(one.language) == tag(language) for item in one.items
    ]
    found = {}
    for name, text in texts(plan).items():
        of_it = [item for item in given if item.item == name]
        current = [item.text for item in of_it if item.of_sha256 == sha256(text.encode())]
        if current:
            found[name] = Rendered(current[0], "current")
        else:
            found[name] = Rendered(of_it[0].text, "stale") if of_it else Rendered("", "missing")
    return found


def template(plan: Plan, language: str) -> dict[str, dict[str, str]]:
    """What a translator gets: each text with its words so far. A stale one stands there to be corrected."""
    now = rendered(plan, language)
    return {
        name: {"original": text, "standing": now[name].standing, "text": now[name].text}
        for name, text in texts(plan).items()
    }


def translated(
    plan: Plan, content: Mapping[str, Any], language: str, filled: Mapping[str, Any], translator: Any, on: date
) -> dict[str, Any]:
    """The plan's content with what a translator filled in; lines that the file does not hold stay as they were.

    A line is of the words that stand in the file beside it, so that a plan that changed meanwhile makes it stale.
    ConfigError names each line that cannot be used.
    """
    originals = texts(plan)
    before = next((one for one in content.get("translations") or () if tag(one["language"]) == tag(language)), None)
    kept = {item["item"]: item for item in (before["items"] if before else ()) if item["item"] in originals}
    wrong, done = [], {}
    for name, given in filled.items():
        line = given if isinstance(given, dict) else {"text": given}
        text, of = line.get("text"), line.get("original", originals.get(name))
        if name not in originals or not isinstance(text, str) or not isinstance(of, str):
            wrong.append(name)
        elif line.get("standing") == "stale" and name in kept and kept[name]["text"] == text.strip():
            continue  # nobody touched it: it stays of the words that it was made of
        elif text.strip():
            done[name] = {"item": name, "text": text.strip(), "of_sha256": sha256(of.encode())}
    if wrong:
        raise ConfigError(
            "translation-unusable",
            f"These lines are no texts of the plan, or have no words: {', '.join(wrong)}.",
            "`planbridge plan translate --template` writes a file with the lines that there are.",
        )
    if not done:
        raise ConfigError("translation-empty", "No line of this file is filled in.", "Write the words into `text`.")
    made = {"language": language, **(before or {}), "translator": translator, "on": on.isoformat()}
    made["items"] = list((kept | done).values())
    others = [one for one in content.get("translations") or () if one is not before]
    return {**content, "translations": [*others, made]}
