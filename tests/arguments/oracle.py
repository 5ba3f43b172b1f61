#!/usr/bin/env python3
"""An oracle for the rules on arguments: what a rule is, and which calls it admits.

It was written from the description of the rules, before the gate, and shares no code with it. Reads lines of JSON
from standard input and writes a line for each:

    {"rules": {PATH: VALUE, ...}, "run": {"repository": "acme/catalog", ...}, "arguments": "TEXT OF JSON"}

`rules` are those of one tool. `run` has the values of the placeholders, of which any can be missing. `arguments` is the
text as the client wrote it, or null if the call has none. The answer is "admitted", "rejected", or "invalid rule".
"""

import json
import re
import sys
import unicodedata
from decimal import Decimal, InvalidOperation

PLACEHOLDERS = ("repository", "repository_owner", "repository_name", "ref_name", "event")
MAX_NUMBER = Decimal(2) ** 53
MAX_DIGITS = 15


class InvalidRule(Exception):
    """A rule that cannot be read."""


class Rejected(Exception):
    """A call that the rules do not admit."""


class Absent:
    """What stands at a path that a call does not have."""


ABSENT = Absent()


# --- Rules


class Place:
    """A place in the arguments: what may stand there, and the places below it."""

    def __init__(self):
        self.below = {}
        self.allowed = None  # None: only on the way. "any", or a list of tests.
        self.is_required = False

    def needs_something(self):
        """Whether a call must have something here or below."""
        return self.is_required or any(place.needs_something() for place in self.below.values())


def read_rules(rules, run):
    root = Place()
    for name, value in rules.items():
        is_optional = name.endswith("?")
        path = (name[:-1] if is_optional else name).split(".")
        if not all(path) or any("?" in part for part in path):
            raise InvalidRule(name)
        place = root
        for part in path:
            place = place.below.setdefault(part, Place())
        if place.allowed is not None:
            raise InvalidRule(f"{name} is named twice")
        place.allowed = read_value(value, run)
        place.is_required = not is_optional and place.allowed != "any"
    check_nothing_below_lists(root)
    return root


def check_nothing_below_lists(place):
    if isinstance(place.allowed, list) and place.below:
        raise InvalidRule("a path below listed values")
    for inner in place.below.values():
        check_nothing_below_lists(inner)


def read_value(value, run):
    if value == "*" and isinstance(value, str):
        return "any"
    values = value if isinstance(value, list) else [value]
    if not values:
        raise InvalidRule("an empty list")
    return [read_one(value, run) for value in values]


def read_one(value, run):
    """A test of a scalar."""
    if isinstance(value, bool):
        return lambda given: isinstance(given, bool) and given == value
    if isinstance(value, Decimal):
        if not is_exact(value):
            raise InvalidRule("a number that programs read differently")
        return lambda given: isinstance(given, Decimal) and is_exact(given) and given == value
    if not isinstance(value, str):
        raise InvalidRule("no string, number, or boolean")
    if value == "*" or value.startswith("!"):
        raise InvalidRule(value)
    return text_test(value, run)


def text_test(pattern, run):
    expression = ""
    is_known = True
    rest = pattern
    while rest:
        if rest[0] in "{}":
            found = re.match(r"\{([a-z_]+)\}", rest)
            if not found or found[1] not in PLACEHOLDERS:
                raise InvalidRule(pattern)
            known = run.get(found[1])
            is_known = is_known and known is not None
            expression += re.escape(known or "")
            rest = rest[found.end() :]
        elif rest[0] == "*":
            expression += r"(?:ANY)*"
            rest = rest[1:]
        else:
            expression += re.escape(rest[0])
            rest = rest[1:]
    # No class of `re` has exactly the control characters.
    controls = "".join(re.escape(chr(c)) for c in range(0x110000) if c < 0xA0 and unicodedata.category(chr(c)) == "Cc")
    compiled = re.compile(expression.replace("(?:ANY)", f"[^{controls}]"), re.DOTALL)
    return lambda given: is_known and isinstance(given, str) and compiled.fullmatch(given) is not None


def is_exact(number):
    """Whether every program reads a number as the same one."""
    digits = "".join(map(str, number.as_tuple().digits)).strip("0")
    return abs(number) <= MAX_NUMBER and len(digits) <= MAX_DIGITS


# --- Calls


def admit(root, arguments):
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise Rejected("no object")
    admit_object(root, arguments, is_open=False)


def admit_object(place, given, is_open):
    for key, value in given.items():
        inner = place.below.get(key)
        if inner is not None:
            admit_value(inner, value)
        elif not is_open:
            raise Rejected(f"{key} is not named")
        elif any(folded(key) == folded(name) for name in place.below):
            raise Rejected(f"{key} looks like a name")
    for name, inner in place.below.items():
        if name not in given and inner.needs_something():
            raise Rejected(f"{name} is missing")


def admit_value(place, given):
    if isinstance(place.allowed, list):
        admit_listed(place.allowed, given)
    elif place.below:
        admit_way(place, given)
    # Otherwise, any value.


def admit_listed(tests, given):
    values = given if isinstance(given, list) else [given]
    if not values:
        raise Rejected("an empty array")
    for value in values:
        if value is None or isinstance(value, (dict, list)):
            raise Rejected("null, an object, or an array in an array")
        if not any(test(value) for test in tests):
            raise Rejected("another value")


def admit_way(place, given):
    """A value above places that a rule names."""
    is_open = place.allowed == "any"
    if isinstance(given, dict):
        admit_object(place, given, is_open)
    elif isinstance(given, list):
        if not given or not all(isinstance(element, dict) for element in given):
            raise Rejected("an array on the way without objects, or with other elements")
        for element in given:
            admit_object(place, element, is_open)
    elif not is_open or place_needs_below(place):
        raise Rejected("no object on the way")


def place_needs_below(place):
    return any(inner.needs_something() for inner in place.below.values())


def folded(key):
    """A key as the most lenient parser compares it: up to a NUL, letters and digits only, without case."""
    key = key.split("\0")[0]
    return "".join(c for c in key if c.isalnum()).upper().lower()


# --- The program


def read_json(text):
    def unique(pairs):
        if len({key for key, _ in pairs}) != len(pairs):
            raise ValueError("a repeated key")
        return dict(pairs)

    return json.loads(text, parse_int=Decimal, parse_float=Decimal, object_pairs_hook=unique)


def answer(case):
    try:
        root = read_rules(case["rules"], case.get("run", {}))
    except (InvalidRule, InvalidOperation):
        return "invalid rule"
    try:
        text = case.get("arguments")
        admit(root, None if text is None else read_json(text))
    except (Rejected, ValueError, InvalidOperation):
        return "rejected"
    return "admitted"


def main():
    for line in sys.stdin:
        print(json.dumps(answer(read_json(line))), flush=True)


if __name__ == "__main__":
    main()
