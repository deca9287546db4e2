"""Give the package's page its text: README.md, with links that lead somewhere from there.

A relative link leads below the `Repository` of pyproject.toml; as long as none is named, only its words are left, and
pictures are left out.
"""

import re
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:)([^)]+)\)")


def describe(readme: str, project: str) -> str:
    """Return README's text without relative links; `project` is the text of pyproject.toml."""
    address = re.search(r'^Repository = "(.+?)/?"', project, flags=re.MULTILINE)

    def lead(link: re.Match[str]) -> str:
        picture, words, target = link.groups()
        if address is None:
            return "" if picture else words
        return f"{picture}[{words}]({address[1]}/{'raw' if picture else 'blob'}/HEAD/{target})"

    return LINK.sub(lead, readme)


if __name__ == "__main__":
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "pyproject.toml")]
    setup(long_description=describe(*texts), long_description_content_type="text/markdown")
