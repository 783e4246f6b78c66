"""The release before this one, built once from the repository's history into the cache."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from world import CACHE, REPOSITORY, Skip, need

RECORDED = REPOSITORY / "config/release/previous"


def git(*arguments):
    """What git prints; nothing where it fails."""
    done = subprocess.run(["git", "-C", REPOSITORY, *arguments], capture_output=True, text=True, timeout=60)
    return done.stdout.strip() if done.returncode == 0 else ""


def previous_release():
    """Its name and its binary, which EVERGATE_PREVIOUS names or the history has."""
    named = os.environ.get("EVERGATE_PREVIOUS")
    if named:
        return named, pathlib.Path(named).absolute()
    need("git", "cargo")
    # Of a commit that has a tag itself, the release before is the one before that.
    name = git("describe", "--tags", "--abbrev=0", "--match", "v[0-9]*", "HEAD^") or RECORDED.read_text().split()[-1]
    commit = git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if not commit:
        raise Skip(f"the previous release ({name}) is not in the history of this checkout; EVERGATE_PREVIOUS names its binary")
    return re.sub("^([0-9a-f]{10})[0-9a-f]{30}$", r"\1", name), _built(commit)


def _built(commit):
    """The binary of a commit, built in cargo's profile for development."""
    folder = CACHE / "previous"
    binary = folder / f"evergate-{commit}"
    if binary.is_file():
        return binary
    # The path of the sources counts in what cargo built before, so it is the same for each release.
    source, target = folder / "source", folder / "target"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    with tempfile.TemporaryFile() as archive:
        subprocess.run(["git", "-C", REPOSITORY, "archive", commit], stdout=archive, check=True, timeout=120)
        archive.seek(0)
        # Files are as old as the commit, and cargo would take what it has built of another one since for the newer.
        subprocess.run(["tar", "-x", "--touch", "-C", source], stdin=archive, check=True, timeout=120)
    cargo = ["nice", "cargo", "build", "--locked", "--quiet", "--bin", "evergate"]
    done = subprocess.run(cargo, cwd=source, env={**os.environ, "CARGO_TARGET_DIR": str(target)}, capture_output=True, text=True)
    if done.returncode:
        raise Skip(f"the previous release ({commit}) cannot be built: {done.stderr.strip()[-300:]}")
    # Under another name until it is whole.
    unfinished = binary.with_suffix(".new")
    shutil.copy2(target / "debug" / "evergate", unfinished)
    unfinished.rename(binary)
    return binary
