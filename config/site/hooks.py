"""Makes a site of documents that are written to be read in the repository: README.md is its front page, and links lead to pages as they
are in the site. What a document links to outside docs/ becomes a page or a file of the site. MkDocs runs it (mkdocs.yml)."""

import pathlib
import posixpath
import re
import urllib.parse

from mkdocs.structure.files import File

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
LINK = re.compile(r"(\]\()([^)\s]+)(\))")
FENCE = re.compile(r"^\s*```")


def on_config(config):
    # Headings have the anchors that they have in the repository's own view, which links between documents name.
    config.mdx_configs.setdefault("toc", {})["slugify"] = lambda heading, separator: anchor(heading)
    return config


def anchor(heading):
    kept = (letter for letter in heading.strip().lower() if letter.isalnum() or letter in " -_")
    return "".join("-" if letter == " " else letter for letter in kept)


def on_files(files, config):
    """Adds what is linked and lies outside docs/, and what that links to in turn."""
    found, searched = ["README.md", "CHANGELOG.md"], set()
    found += [f"docs/{file.src_uri}" for file in files if file.src_uri.endswith(".md")]
    while found:
        document = found.pop()
        if document in searched:
            continue
        searched.add(document)
        place = REPOSITORY / document
        if not document.startswith("docs/"):
            text = place.read_text() if document.endswith(".md") else None
            added = {"content": text} if text is not None else {"abs_src_path": str(place)}
            files.append(File.generated(config, in_site(document), **added))
        if document.endswith(".md"):
            targets = [repository_path(document, target) for _, target, _ in LINK.findall(outside_code(place.read_text()))]
            found += [target for target in targets if target and (REPOSITORY / target).is_file() and not target.startswith("docs/")]
    return files


def on_page_markdown(markdown, page, config, files):
    """Writes the links of a page as they are in the site."""
    own = in_repository(page.file.src_uri)

    def rewritten(link):
        target = repository_path(own, link[2])
        if target is None:
            return link[0]
        _, mark, fragment = link[2].partition("#")
        path = posixpath.relpath(in_site(target), posixpath.dirname(page.file.src_uri) or ".")
        return f"{link[1]}{path}{mark}{fragment}{link[3]}"

    lines, is_code = [], False
    for line in markdown.split("\n"):
        if FENCE.match(line):
            is_code = not is_code
        lines.append(line if is_code or line.startswith("    ") else LINK.sub(rewritten, line))
    return "\n".join(lines)


def outside_code(text):
    """The lines of a document that are no code."""
    lines, is_code = [], False
    for line in text.split("\n"):
        if FENCE.match(line):
            is_code = not is_code
        elif not is_code and not line.startswith("    "):
            lines.append(line)
    return "\n".join(lines)


def repository_path(document, target):
    """What a link of a document names, from the repository's root; None if that is elsewhere or in the document itself."""
    path = urllib.parse.unquote(target.partition("#")[0])
    if not path or "://" in target or target.startswith("mailto:"):
        return None
    return posixpath.normpath(posixpath.join(posixpath.dirname(document), path))


def in_site(path):
    return "index.md" if path == "README.md" else path.removeprefix("docs/")


def in_repository(page):
    if page == "index.md":
        return "README.md"
    return f"docs/{page}" if (REPOSITORY / "docs" / page).exists() else page
