"""Which licence a package or a repository is under: from its metadata, else from the text of its licence file."""

import re
from email.message import Message

TITLE_CHARS, BODY_CHARS = 200, 3000
"""Of a licence file: its title, where it has one, and what tells it apart without one."""

# Matched against the whole of the old free-text fields, most specific first.
LICENCE_PATTERNS: tuple[tuple[str, str], ...] = (
    (r"apache.{0,40}2|apache", "Apache-2.0"),
    (r"bsd.{0,3}3|3.clause bsd|new bsd|modified bsd", "BSD-3-Clause"),
    (r"bsd.{0,3}2|2.clause bsd|simplified bsd", "BSD-2-Clause"),
    (r"\bbsd\b", "BSD-3-Clause"),  # the classifier names no version; this is the stricter of the two in use
    (r"lgpl.{0,40}3|lesser general public.{0,40}3", "LGPL-3.0-or-later"),
    (r"agpl|affero", "AGPL-3.0-or-later"),
    (r"mpl.{0,3}2|mozilla public.{0,20}2", "MPL-2.0"),
    (r"\bmit\b", "MIT"),
    (r"\bisc\b", "ISC"),
    (r"unlicense", "Unlicense"),
)
LICENCE_PHRASES = (
    (r"permission is hereby granted, free of charge", "MIT"),
    (r"redistribution and use in source and binary forms.*neither the name", "BSD-3-Clause"),
    (r"redistribution and use in source and binary forms", "BSD-2-Clause"),
)


def licence_of(metadata: Message) -> str:
    """SPDX identifier from License-Expression, else from License and the classifiers, else what they say."""
    expression = metadata.get("License-Expression")
    if expression:
        return str(expression).strip()
    stated = str(metadata.get("License") or "").strip()
    classifiers = [
        c.split("::")[-1].strip() for c in metadata.get_all("Classifier") or [] if c.startswith("License ::")
    ]
    # The first line of a pasted licence text is its title; its body may mention other licences.
    for text in (stated.split("\n", 1)[0], *classifiers):
        for pattern, identifier in LICENCE_PATTERNS:
            if re.search(pattern, text.lower()):
                return identifier
    return stated.split("\n", 1)[0][:80] or ", ".join(classifiers) or "unknown"


def licence_of_text(text: bytes) -> str:
    """SPDX identifier by the title or the wording of a licence file; `unknown` if it has neither."""
    small = text.decode("utf-8", "replace").lower()
    title = next((found for pattern, found in LICENCE_PATTERNS if re.search(pattern, small[:TITLE_CHARS])), None)
    words = " ".join(small[:BODY_CHARS].split())
    return title or next((found for phrase, found in LICENCE_PHRASES if re.search(phrase, words)), "unknown")
