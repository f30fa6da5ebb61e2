"""Thirty tasks for the forge: what is asked, a right text, ways of getting it wrong, and inputs.

A way of getting it wrong is a piece of the right text and what stands in its place: the slips that people and models make.
`shown` inputs become the caller's examples, `tests` those that ALFRED writes in the drill, `hidden` are the bench's own and
never enter a forge. Results are those of the right text, which is ours and runs in this process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ToolTask:
    """`parameters` are "name: type" texts; inputs are tuples of arguments, or a bare argument where there is one."""

    name: str
    task: str
    parameters: Sequence[str]
    returns: str
    contract: str
    source: str
    slips: Sequence[tuple[str, str]]
    shown: Sequence[Any]
    tests: Sequence[Any]
    hidden: Sequence[Any]
    raises: str = ""


def _task(
    signature: str,
    task: str,
    contract: str,
    body: str,
    slips: Sequence[tuple[str, str]],
    shown: Sequence[Any],
    tests: Sequence[Any],
    hidden: Sequence[Any],
    raises: str = "",
) -> ToolTask:
    head, returns = signature.split(" -> ")
    name, given = head.rstrip(")").split("(", 1)
    lines = body.split("\n")
    imports = [line for line in lines if line.startswith("import ")]
    rest = "\n".join(f"    {line}" for line in lines if not line.startswith("import "))
    parameters = given.split("; ")
    names = ", ".join(parameter.split(": ")[0] for parameter in parameters)
    source = "".join(f"{line}\n" for line in imports) + f"\ndef {name}({names}):\n{rest}\n"
    return ToolTask(name, task, parameters, returns, contract, source, slips, shown, tests, hidden, raises)


TASKS: Sequence[ToolTask] = (
    _task(
        "slugify(text: str) -> str",
        "turn a title into a slug for an address",
        "The runs of ASCII letters and digits, in lower case, joined by one hyphen each. Empty where there are none.",
        'import re\nreturn "-".join(re.findall("[a-z0-9]+", text.lower()))',
        [('"-".join(re.findall("[a-z0-9]+", text.lower()))', 'text.lower().replace(" ", "-")'), (".lower()", "")],
        ["Hello World", "A--B"],
        ["", "  x  y ", "C3 PO!", "a_b", "ONE", "!!"],
        ["-a-", "x\ty", "Q&A 2", "é", "a.b.c", "A1b2", " "],
    ),
    _task(
        "fibonacci(n: int) -> int",
        "the n-th Fibonacci number",
        "F(0) = 0, F(1) = 1, each further one the sum of the two before it.",
        'if n < 0:\n    raise ValueError("negative")\na, b = 0, 1\nfor _ in range(n):\n    a, b = b, a + b\nreturn a',
        [("range(n)", "range(n - 1)"), ("a, b = 0, 1", "a, b = 1, 1")],
        [10, 1],
        [0, 2, 3, 7, 20, -1],
        [4, 5, 30, 90, -5, 6],
        "ValueError",
    ),
    _task(
        "is_palindrome(text: str) -> bool",
        "tell whether a text is a palindrome",
        "Letters and digits alone count, without regard to case. A text without any is one.",
        "kept = [each for each in text.lower() if each.isalnum()]\nreturn kept == kept[::-1]",
        [(" if each.isalnum()", ""), (".lower()", "")],
        ["Anna", "ab"],
        ["", "A man, a plan, a canal: Panama", "x", "a1A", "abca", "No 'x' in Nixon"],
        ["Was it a car", "Race car!", "12 21", "1231", "..", "aB"],
    ),
    _task(
        "word_counts(text: str) -> dict[str, int]",
        "count the words of a text",
        "Words are runs of letters and apostrophes, counted in lower case.",
        'import re\nfound = {}\nfor word in re.findall("[a-z\']+", text.lower()):\n'
        "    found[word] = found.get(word, 0) + 1\nreturn found",
        [(".lower()", ""), ('re.findall("[a-z\']+", text.lower())', "text.lower().split()")],
        ["to be or not to be", "One one"],
        ["", "a. A, a!", "it's its", "x-y", "1 2", "go\ngo"],
        ["A a B", "don't don't", "...", "b a", "end. end", "x1y"],
    ),
    _task(
        "roman(n: int) -> str",
        "write a number in Roman numerals",
        "The usual subtractive form, for 1 to 3999.",
        'if not 0 < n < 4000:\n    raise ValueError("1 to 3999")\nout = ""\n'
        'for value, sign in ((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), '
        '(40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")):\n'
        "    out += sign * (n // value)\n    n %= value\nreturn out",
        [('(4, "IV"), ', ""), ("0 < n < 4000", "0 <= n < 4000")],
        [2024, 9],
        [1, 4, 40, 399, 3999, 0],
        [3, 44, 90, 1444, 4000, -1, 0],
        "ValueError",
    ),
    _task(
        "from_roman(text: str) -> int",
        "read a number in Roman numerals",
        "Upper case only; a sign before a greater one is taken off. Another character is a ValueError. Empty is 0.",
        'values = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}\n'
        "if any(each not in values for each in text):\n    raise ValueError(text)\n"
        "numbers = [values[each] for each in text]\nreturn sum(-one if one < other else one for one, other in "
        "zip(numbers, [*numbers[1:], 0]))",
        [("-one if one < other else one", "one"), ("one < other", "one <= other")],
        ["MMXXIV", "IX"],
        ["III", "XL", "", "MCMXC", "iv", "CDXLIV"],
        ["I", "XC", "DCC", "M M", "II", "XX"],
        "ValueError",
    ),
    _task(
        "merge_intervals(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]",
        "merge intervals that overlap",
        "Closed intervals (low, high), in any order; those that overlap or share an end become one. Sorted by their low. "
        "A pair whose ends are the wrong way round is turned.",
        "out = []\nfor low, high in sorted((min(pair), max(pair)) for pair in intervals):\n"
        "    if out and low <= out[-1][1]:\n        out[-1] = (out[-1][0], max(out[-1][1], high))\n"
        "    else:\n        out.append((low, high))\nreturn out",
        [("low <= out", "low < out"), ("max(out[-1][1], high)", "high"), ("sorted(", "list(")],
        [[(1, 3), (2, 5)], [(5, 6), (1, 2)]],
        [[], [(1, 2), (2, 3)], [(1, 9), (2, 3)], [(4, 1)], [(1, 1), (1, 1)], [(3, 4), (1, 2), (2, 3)]],
        [[(1, 10), (2, 3), (4, 5)], [(0, 0), (1, 1)], [(9, 8), (8, 7)], [(1, 4), (4, 5)]],
    ),
    _task(
        "transpose(rows: list[list[int]]) -> list[list[int]]",
        "transpose a table",
        "Row n of the result is column n. Rows of unequal length are a ValueError. Empty for no rows.",
        "if len({len(row) for row in rows}) > 1:\n    raise ValueError('ragged')\n"
        "return [list(each) for each in zip(*rows)]",
        [("> 1", "> 9"), ("[list(each) for each in zip(*rows)]", "[row[::-1] for row in rows]")],
        [[[1, 2], [3, 4]], [[1, 2, 3]]],
        [[], [[1]], [[1], [2]], [[]], [[1, 2], [3]], [[1, 2], [3, 4], [5, 6]]],
        [[[0, 0], [1]], [[7, 8]], [[1, 2, 3], [4, 5, 6]], [[], [1]]],
        "ValueError",
    ),
    _task(
        "median(values: list[float]) -> float",
        "the median of numbers",
        "The middle one, or the mean of the two middle ones. None given is a ValueError.",
        "if not values:\n    raise ValueError('none')\nrow = sorted(values)\nhalf = len(row) // 2\n"
        "return row[half] if len(row) % 2 else (row[half - 1] + row[half]) / 2",
        [("sorted(values)", "values"), ("(row[half - 1] + row[half]) / 2", "row[half]")],
        [[3, 1, 2], [4, 1, 3, 2]],
        [[], [5], [1, 2], [2.5, 0.5, 1.5], [9, 1, 8, 2], [-1, -3, -2]],
        [[1, 1, 2, 9], [0.1, 0.2], [7, 3], [5, 9, 1]],
        "ValueError",
    ),
    _task(
        "is_prime(n: int) -> bool",
        "tell whether a number is prime",
        "Numbers below 2 are not.",
        "if n < 2:\n    return False\nstep = 2\nwhile step * step <= n:\n    if n % step == 0:\n        return False\n"
        "    step += 1\nreturn True",
        [("step * step <= n", "step * step < n"), ("n < 2", "n < 1")],
        [7, 8],
        [2, 1, 0, 9, -7, 97],
        [4, 25, 49, 1, 3, 5, 91],
    ),
    _task(
        "gcd_all(values: list[int]) -> int",
        "the greatest common divisor of all numbers of a list",
        "Never negative; 0 for none and for zeros alone.",
        "import math\nreturn math.gcd(*values)",
        [("math.gcd(*values)", "math.gcd(*values[:2])"), ("math.gcd(*values)", "min(map(abs, values), default=0)")],
        [[12, 18], [7]],
        [[], [0, 0], [-4, 6], [8, 12, 18], [5, 7], [0, 9]],
        [[6, 10, 15], [100, 75, 50, 5], [-3], [0, 0, 4], [12, 18, 27]],
    ),
    _task(
        "runs(text: str) -> list[tuple[str, int]]",
        "the run lengths of a text",
        "One pair (character, length) for each run of one character, in order.",
        "import itertools\nreturn [(each, len(list(row))) for each, row in itertools.groupby(text)]",
        [("itertools.groupby(text)", "itertools.groupby(sorted(text))"), ("len(list(row))", "text.count(each)")],
        ["aab", "abc"],
        ["", "aaaa", "aba", "a  b", "zzy", "11"],
        ["abab", "xxyx", " ", "aAa", "bba"],
    ),
    _task(
        "expand_runs(pairs: list[tuple[str, int]]) -> str",
        "a text from its run lengths",
        "Each pair's text that many times, in order. A negative length is a ValueError.",
        "if any(count < 0 for _, count in pairs):\n    raise ValueError('negative')\n"
        "return ''.join(text * count for text, count in pairs)",
        [("count < 0", "count < -9"), ("text * count", "text[:1] * count")],
        [[("a", 2), ("b", 1)], [("x", 0)]],
        [[], [("ab", 2)], [("a", -1)], [("", 5)], [(" ", 3)], [("q", 1), ("q", 1)]],
        [[("xy", 3), ("z", 1)], [("a", -2)], [("a", 1), ("b", -1)], [("no", 0)]],
        "ValueError",
    ),
    _task(
        "caesar(text: str; shift: int) -> str",
        "shift the letters of a text",
        "ASCII letters move by shift places within their alphabet and keep their case; all else stays.",
        "out = []\nfor each in text:\n    if 'a' <= each <= 'z' or 'A' <= each <= 'Z':\n"
        "        base = 97 if each >= 'a' else 65\n        each = chr((ord(each) - base + shift) % 26 + base)\n"
        "    out.append(each)\nreturn ''.join(out)",
        [(" % 26", ""), ("97 if each >= 'a' else 65", "97")],
        [("abc", 1), ("Hi!", 2)],
        [("xyz", 3), ("", 5), ("ABC", -1), ("a b", 26), ("Zz", 1), ("é", 1)],
        [("Hello", 13), ("Y", 2), ("z", 27), ("a", -27), ("M1", 14)],
    ),
    _task(
        "is_leap(year: int) -> bool",
        "tell whether a year is a leap year",
        "Gregorian: every fourth, but of full centuries only those divisible by 400.",
        "return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)",
        [(" and (year % 100 != 0 or year % 400 == 0)", ""), (" or year % 400 == 0", "")],
        [2024, 2023],
        [1900, 2000, 4, 0, 100, 1996],
        [2100, 2400, 1600, 1700, 3, 400],
    ),
    _task(
        "clock(seconds: int) -> str",
        "seconds as hours, minutes and seconds",
        "H:MM:SS, with hours as many as needed. Negative ones are a ValueError.",
        "if seconds < 0:\n    raise ValueError('negative')\n"
        "return f'{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}'",
        [(" // 60 % 60:02", " // 60 % 60"), ("seconds // 3600", "seconds // 3600 % 24")],
        [3661, 59],
        [0, 60, 3600, 86400, -1, 36000],
        [61, 90000, 7325, 3599, -60, 100000],
        "ValueError",
    ),
    _task(
        "seconds_of(text: str) -> int",
        "read a clock time as seconds",
        "H:MM:SS, M:SS or S, from the right; anything but digits between colons, or four parts, is a ValueError.",
        "parts = text.split(':')\nif len(parts) > 3 or not all(part.isascii() and part.isdigit() for part in parts):\n"
        "    raise ValueError(text)\ntotal = 0\nfor part in parts:\n    total = total * 60 + int(part)\nreturn total",
        [("len(parts) > 3 or ", ""), ("total * 60 + int(part)", "total + int(part)")],
        ["1:01:01", "0:59"],
        ["5", "10:00", "", "1:2:3:4", "a:b", "100:00:00"],
        ["0:0:0", "2:30", "1:-1", "9:8:7", "1:1:1:1", ":"],
        "ValueError",
    ),
    _task(
        "csv_fields(line: str) -> list[str]",
        "the fields of a line of CSV",
        "Commas separate; a field in double quotes may hold commas and doubled quotes. An empty line has no fields.",
        "import csv\nreturn next(csv.reader([line.replace('\\n', ' ').replace('\\r', ' ')]), [])",
        [
            ("next(csv.reader([line.replace('\\n', ' ').replace('\\r', ' ')]), [])", "line.split(',')"),
            ("line.replace('\\n', ' ')", "line.replace('\"', '')"),
        ],
        ["a,b", '"a,b",c'],
        ["", "a,,b", '"x""y"', ",", "one", '"",z'],
        ['"a,b","c,d"', "a, b", '"""q"""', ",,", "x,"],
    ),
    _task(
        "flatten(rows: list[list[int]]) -> list[int]",
        "one list of all numbers of several lists",
        "In order, duplicates kept.",
        "return [each for row in rows for each in row]",
        [
            ("[each for row in rows for each in row]", "sorted({each for row in rows for each in row})"),
            ("rows for", "rows[:2] for"),
        ],
        [[[1, 2], [3]], [[2, 1]]],
        [[], [[]], [[1], [1]], [[3], [2], [1]], [[], [5], []], [[1, 2, 3], [4], [5, 6]]],
        [[[9, 9], [9]], [[0], [0], [1]], [[5, 4], [3, 2], [1]], [[-1]]],
    ),
    _task(
        "unique(values: list[int]) -> list[int]",
        "a list without its repetitions",
        "Each value once, where it stood first.",
        "return list(dict.fromkeys(values))",
        [("list(dict.fromkeys(values))", "sorted(set(values))"), ("values))", "values[::-1]))")],
        [[1, 2, 1], [3, 3]],
        [[], [3, 1, 2], [5, 4, 5, 4], [0], [2, 1, 2, 3], [-1, 1, -1]],
        [[9, 1, 9, 5], [2, 2, 1], [1, 2, 3, 2, 1], [7, 6]],
    ),
    _task(
        "chunks(values: list[int]; size: int) -> list[list[int]]",
        "cut a list into pieces",
        "Pieces of that size in order, the last one perhaps shorter. A size below 1 is a ValueError.",
        "if size < 1:\n    raise ValueError('size')\nreturn [values[n : n + size] for n in range(0, len(values), size)]",
        [("len(values), size)", "len(values) - size + 1, size)"), ("n + size]", "n + size + 1]")],
        [([1, 2, 3, 4], 2), ([1, 2, 3], 2)],
        [([], 3), ([1], 1), ([1, 2, 3], 5), ([1, 2], 0), ([1, 2, 3, 4, 5], 3), ([1, 2], -1)],
        [([5, 6, 7], 1), ([1, 2, 3, 4, 5, 6, 7], 3), ([1], 0), ([1, 2, 3, 4], 4)],
        "ValueError",
    ),
    _task(
        "luhn(number: str) -> bool",
        "check a card number by Luhn's rule",
        "Spaces are left out; anything else that is no ASCII digit, or no digit at all, gives False.",
        "digits = number.replace(' ', '')\nif not (digits.isascii() and digits.isdigit()):\n    return False\ntotal = 0\n"
        "for place, each in enumerate(reversed(digits)):\n    value = int(each) * (2 if place % 2 else 1)\n"
        "    total += value - 9 if value > 9 else value\nreturn total % 10 == 0",
        [("place % 2", "(place + 1) % 2"), ("value - 9 if value > 9 else value", "value")],
        ["79927398713", "79927398710"],
        ["0", "", "4539 1488 0343 6467", "8273 1232 7352 0569", "12a", "18"],
        ["059", "59", "49927398716", "1234567812345670", "26", "x", "91"],
    ),
    _task(
        "binary(n: int) -> str",
        "write a number in binary",
        "Without a prefix, with a minus sign before a negative one.",
        "return ('-' if n < 0 else '') + f'{abs(n):b}'",
        [("('-' if n < 0 else '') + ", ""), ("abs(n):b", "abs(n):o")],
        [5, 8],
        [0, 1, -2, 255, -1, 1024],
        [3, -5, 7, 100, -255],
    ),
    _task(
        "title_case(text: str) -> str",
        "capitalise each word",
        "Words stand between single spaces, which stay; the first character of each in upper, the rest in lower case.",
        "return ' '.join(word[:1].upper() + word[1:].lower() for word in text.split(' '))",
        [("text.split(' ')", "text.split()"), (".lower()", "")],
        ["hello world", "ABC"],
        ["", "it's", "a  b", "x-ray mAn", " lead", "o'NEIL"],
        ["tWO  sPACES", "don't stop", "a", "end ", "3d pRINT"],
    ),
    _task(
        "anagrams(words: list[str]) -> list[list[str]]",
        "group words that are anagrams of each other",
        "Groups in the order of their first words, words in their order; case counts. Groups of one are included.",
        "groups = {}\nfor word in words:\n    groups.setdefault(''.join(sorted(word)), []).append(word)\n"
        "return list(groups.values())",
        [("''.join(sorted(word))", "''.join(sorted(set(word)))"), ("list(groups.values())", "sorted(groups.values())")],
        [["tea", "ate", "x"], ["b", "a"]],
        [[], ["a", "a"], ["aab", "ab"], ["z", "y", "z"], ["Ab", "bA", "ab"], ["", ""]],
        [["aa", "a"], ["no", "on", "noo"], ["q", "p"], ["cba", "b", "abc"]],
    ),
    _task(
        "edit_distance(one: str; other: str) -> int",
        "the edit distance of two texts",
        "Levenshtein: the fewest insertions, deletions and replacements of one character.",
        "row = list(range(len(other) + 1))\nfor i, a in enumerate(one, 1):\n    before, row[0] = row[0], i\n"
        "    for j, b in enumerate(other, 1):\n"
        "        before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))\nreturn row[-1]",
        [("before + (a != b)", "before + 2 * (a != b)"), ("row[j - 1] + 1, ", "")],
        [("kitten", "sitting"), ("a", "a")],
        [("", ""), ("", "abc"), ("abc", ""), ("ab", "ba"), ("flaw", "lawn"), ("x", "y")],
        [("abc", "abd"), ("sunday", "saturday"), ("a", "bb"), ("book", "back"), ("abcd", "a")],
    ),
    _task(
        "balanced(text: str) -> bool",
        "tell whether brackets are balanced",
        "Round, square and curly ones close in the order in which they opened; other characters do not count.",
        "pairs = {')': '(', ']': '[', '}': '{'}\nopen_ones = []\nfor each in text:\n    if each in '([{':\n"
        "        open_ones.append(each)\n    elif each in pairs and (not open_ones or open_ones.pop() != pairs[each]):\n"
        "        return False\nreturn not open_ones",
        [
            ("not open_ones or open_ones.pop() != pairs[each]", "not open_ones or not open_ones.pop()"),
            ("return not open_ones", "return True"),
        ],
        ["(a[b]{c})", "(]"],
        ["", "(", ")", "([)]", "x", "(()"],
        ["{[}]", "}{", "((", "[]()", "(a))", "{()[]}"],
    ),
    _task(
        "mean_by_key(pairs: list[tuple[str, float]]) -> dict[str, float]",
        "the mean of the numbers of each key",
        "One entry for each key.",
        "groups = {}\nfor key, value in pairs:\n    groups.setdefault(key, []).append(value)\n"
        "return {key: sum(row) / len(row) for key, row in groups.items()}",
        [("sum(row) / len(row)", "sum(row) / len(groups)"), ("sum(row) / len(row)", "row[-1]")],
        [[("a", 1), ("a", 3)], [("b", 2)]],
        [[], [("x", 0)], [("a", 1), ("b", 5), ("a", 2)], [("", 1.5)], [("q", -1), ("q", 1)], [("k", 2), ("k", 2)]],
        [[("a", 1), ("a", 2), ("a", 6)], [("m", 4), ("n", 8), ("n", 0)], [("z", 0.1), ("z", 0.3)]],
    ),
    _task(
        "top(counts: dict[str, int]; n: int) -> list[str]",
        "the keys with the greatest counts",
        "At most n of them, greatest first; of equal counts the one earlier in the alphabet first. None for n below 1.",
        "return sorted(counts, key=lambda key: (-counts[key], key))[: max(n, 0)]",
        [("(-counts[key], key)", "-counts[key]"), ("max(n, 0)", "n")],
        [({"a": 1, "b": 2}, 1), ({"x": 5}, 3)],
        [
            ({}, 2),
            ({"b": 1, "a": 1}, 2),
            ({"a": 1}, 0),
            ({"a": 1, "b": 2, "c": 3}, -1),
            ({"z": 2, "y": 2, "x": 9}, 2),
            ({"q": 0}, 1),
        ],
        [({"d": 1, "c": 1, "b": 1}, 2), ({"a": 3, "b": 1, "c": 2}, 3), ({"m": 1, "k": 1}, 1), ({"a": 1, "b": 1}, -1)],
    ),
    _task(
        "query_fields(text: str) -> dict[str, list[str]]",
        "the fields of a query string",
        "Pairs key=value between &; + and %20 are spaces; values of a key in order, empty ones kept. A leading ? is left "
        "out.",
        "import urllib.parse\nreturn urllib.parse.parse_qs(text.removeprefix('?'), keep_blank_values=True)",
        [(", keep_blank_values=True", ""), ("text.removeprefix('?')", "text")],
        ["a=1&b=2", "a=1&a=2"],
        ["", "?x=y", "k=", "q=a+b", "q=a%20b", "a"],
        ["?a=&b=1", "x=%C3%A9", "a=1&&b=2", "a=b=c", "?", "k=&k="],
    ),
)
