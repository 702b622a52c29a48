"""Standard streams that take every text, whatever the locale and whatever the caller has closed."""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path


def prepare_streams() -> None:
    """A closed stream becomes the null device: else the next file that is opened would be it.

    A character that a stream cannot encode is written as an escape.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - stays open
            setattr(sys, name, stream)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def plain(text: str) -> str:
    """Without characters that would control the terminal."""
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)


def discard_output() -> None:
    """What standard output did not take is not tried again, and not complained of, at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def escape_controls(text: str, escape: Callable[[str], str]) -> str:
    """JSON, or YAML with quoted strings: what would control the terminal becomes an escape."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else escape(char) for char in text)


def json_escape(char: str) -> str:
    """UTF-16 of it, as JSON has it."""
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def yaml_escape(char: str) -> str:
    """Its code point: for YAML half a surrogate pair is a character."""
    return f"\\U{ord(char):08x}"


def is_utf8() -> bool:
    """Whether standard output takes every character as it is."""
    return sys.stdout.encoding.lower().replace("-", "") == "utf8"
