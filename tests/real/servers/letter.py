"""Reads letters as another program does, and tells what it read as JSON.

    python3 letter.py FILE...

A line per letter: its headers, its parts with the number of each element in an HTML one, the length of
its longest line, and what Python's parser found wrong with it.
"""

import email
import email.policy
import html.parser
import json
import pathlib
import sys


class Elements(html.parser.HTMLParser):
    """Counts elements, and collects the names of attributes."""

    def __init__(self):
        super().__init__()
        self.counts = {}
        self.attributes = set()

    def handle_starttag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.attributes.update(name for name, _ in attributes)


def part_read(part):
    content = part.get_content()
    read = {"type": part.get_content_type(), "content": content.replace("\r\n", "\n")}
    if read["type"] == "text/html":
        elements = Elements()
        elements.feed(content)
        read |= {"elements": elements.counts, "attributes": sorted(elements.attributes)}
    return read


def read(letter):
    mail = email.message_from_bytes(letter, policy=email.policy.default)
    return {
        "headers": [[name, str(value)] for name, value in mail.items()],
        "parts": [part_read(part) for part in mail.walk() if not part.is_multipart()],
        "longest": max(len(line) for line in letter.replace(b"\r\n", b"\n").split(b"\n")),
        # In a header as it travels there is nothing but ASCII.
        "plain": letter.replace(b"\r\n", b"\n").split(b"\n\n")[0].isascii(),
        "raw_subject": next(
            line.decode() for line in letter.replace(b"\r\n", b"\n").split(b"\n") if line.startswith(b"Subject: ")
        ),
        "defects": [str(defect) for part in mail.walk() for defect in part.defects],
    }


if __name__ == "__main__":
    for path in sys.argv[1:]:
        print(json.dumps(read(pathlib.Path(path).read_bytes())))
