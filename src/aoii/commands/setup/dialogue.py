"""Asks on the terminal: a question with its options and proposal, again until the answer is right."""

import getpass
import sys
from collections.abc import Sequence

from aoii.commands.file_changes import HIDDEN
from aoii.commands.setup.answers import wrong
from aoii.commands.setup.questions import GENERATE, Present, Question, questions
from aoii.commands.setup.texts import Texts


def is_possible() -> bool:
    """Whether there is a terminal to ask on."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask_language(proposal: str) -> str:
    """Have the language chosen, and say in it what follows."""
    question = next(questions({}, Present({}, language=proposal)))
    language = _ask(question, Texts(proposal), proposal)
    print(f"\n{Texts(language).said('welcome')}")
    return language


def ask_all(present: Present, known: dict[str, str], language: str) -> dict[str, str]:
    """Ask every question but that of the language; `known` answers of a file or a round before are the proposals.

    Raises:
        EOFError: The terminal gives no more answers.
    """
    answers = {"language": language}
    for question in questions(answers, present):
        if question.key not in answers:
            answers[question.key] = _ask(question, Texts(language), known.get(question.key, question.proposal))
    return answers


def choose(texts: Texts, heading: str, options: Sequence[str]) -> str:
    """Have one of some options chosen; the first is proposed."""
    question = Question("choose", "choice", options[0], options=options)
    return _ask(question, texts, options[0], heading)


def _ask(question: Question, texts: Texts, proposal: str, heading: str = "") -> str:
    print(f"\n{heading or texts.question(question)}")
    for number, option in enumerate(question.options, 1):
        print(f"  {number}  {texts.option(question.key, option)}")
    is_secret = question.form == "secret"
    shown = HIDDEN if is_secret and proposal not in ("", GENERATE) else proposal
    prompt = f"[{shown}] > " if shown else "> "
    while True:
        given = (getpass.getpass(prompt) if is_secret else input(prompt).strip()) or proposal
        answer = given if is_secret else chosen(question, given)
        fault = wrong(question, answer)
        if fault is None:
            return answer
        print(f"  {texts.wrong(fault)}")


def chosen(question: Question, given: str) -> str:
    """The answer with each number of an option replaced by the option."""
    if not question.options:
        return given
    words = [word.strip() for word in given.split(",")] if question.form != "choice" else [given]
    names = [question.options[int(one) - 1] if _is_number(one, len(question.options)) else one for one in words]
    return ",".join(filter(None, names))


def _is_number(word: str, limit: int) -> bool:
    return word.isascii() and word.isdecimal() and 1 <= int(word) <= limit
