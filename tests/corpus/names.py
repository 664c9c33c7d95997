"""Unusual and hostile file names."""

from functools import cache

from tests.corpus.cases import NameCase

_LONG = "x" * 300


def _one(name: str, sent: str, kept: str, output: str) -> NameCase:
    return NameCase(name, (sent,), (kept,), (output,))


@cache
def name_cases() -> tuple[NameCase, ...]:
    """Return all cases. The service receives UTF-8 in a quoted `filename`."""
    return (
        _one("up", "../../etc/passwd", "passwd", "covered_passwd.webp"),
        _one("up, percent-encoded", "..%2f..%2fpasswd", "..%2f..%2fpasswd",
             "covered_.._2f..webp"),
        _one("up on Windows", "..\\..\\boot.ini", "boot.ini", "covered_boot.webp"),
        _one("drive", "C:\\photos\\me.jpg", "me.jpg", "covered_me.webp"),
        _one("root", "/etc/shadow", "shadow", "covered_shadow.webp"),
        _one("folder", "a/b/", "image", "covered_image.webp"),
        _one("dots", "..", "image", "covered_image.webp"),
        _one("three dots", "...", "image", "covered_image.webp"),
        _one("space", " ", "image", "covered_image.webp"),
        _one("hidden", ".htaccess", ".htaccess", "covered_.htaccess.webp"),
        _one("two endings", "a.php.jpg", "a.php.jpg", "covered_a.php.webp"),
        _one("no ending", "photo", "photo", "covered_photo.webp"),
        _one("300 characters", f"{_LONG}.jpg", "x" * 200, f"covered_{'x' * 170}.webp"),
        _one("300 characters of 4 bytes", "🚗" * 300, "🚗" * 50, f"covered_{'🚗' * 42}.webp"),
        _one("Cyrillic", "машина №1.jpg", "машина №1.jpg", "covered_машина №1.webp"),
        _one("emoji", "🚗💨.png", "🚗💨.png", "covered_🚗💨.webp"),
        _one("joined emoji", "👨‍👩‍👧.png", "👨‍👩‍👧.png", "covered_👨‍👩‍👧.webp"),
        _one("right to left", "a\u202egpj.exe", "agpj.exe", "covered_agpj.webp"),
        _one("Hebrew", "מכונית.jpg", "מכונית.jpg", "covered_מכונית.webp"),
        _one("isolates", "\u2066a\u2069.jpg", "a.jpg", "covered_a.webp"),
        _one("decomposed", "e\u0301.jpg", "\u00e9.jpg", "covered_\u00e9.webp"),
        _one("C1 control", "a\u0085b.jpg", "ab.jpg", "covered_ab.webp"),
        _one("line separator", "a\u2028b.jpg", "ab.jpg", "covered_ab.webp"),
        _one("markup", "<img src=x>.jpg", "<img src=x>.jpg", "covered__img src=x_.webp"),
        _one("shell", "$(reboot);`id`.jpg", "$(reboot);`id`.jpg", "covered_$(reboot)_`id`.webp"),
        _one("query", "a?b#c&d=e.jpg", "a?b#c&d=e.jpg", "covered_a_b#c&d=e.webp"),
        _one("reserved on Windows", "CON.jpg", "CON.jpg", "covered_CON.webp"),
        _one("unfinished write", "a#1", "a#1", "covered_a#1.webp"),
        _one("quotes", 'a"b\'c.jpg', 'a"b\'c.jpg', "covered_a_b'c.webp"),
        _one("braces", "a{0}.jpg", "a{0}.jpg", "covered_a{0}.webp"),
        _one("format", "%s%n.jpg", "%s%n.jpg", "covered__s_n.webp"),
        NameCase("twice the same", ("a.jpg",) * 3, ("a.jpg",) * 3,
              ("covered_a.webp", "covered_a_2.webp", "covered_a_3.webp")),
        NameCase("the same but for case", ("a.jpg", "A.JPG"), ("a.jpg", "A.JPG"),
              ("covered_a.webp", "covered_A_2.webp")),
        NameCase("the same but for the ending", ("a.jpg", "a.png"), ("a.jpg", "a.png"),
              ("covered_a.webp", "covered_a_2.webp")),
        NameCase("the same as one made unique", ("a", "a", "a_2"), ("a", "a", "a_2"),
              ("covered_a.webp", "covered_a_2.webp", "covered_a_2_2.webp")),
        NameCase("the same but for escapes in multipart headers", ("a;b.jpg", "a_b.jpg", 'a"b.jpg'),
              ("a;b.jpg", "a_b.jpg", 'a"b.jpg'),
              ("covered_a_b.webp", "covered_a_b_2.webp", "covered_a_b_3.webp")),
        NameCase("the same when cut", (f"{_LONG}1.jpg", f"{_LONG}2.jpg"), ("x" * 200,) * 2,
              (f"covered_{'x' * 170}.webp", f"covered_{'x' * 170}_2.webp")),
    )  # fmt: skip
