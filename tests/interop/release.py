#!/usr/bin/env python3
"""What a release consists of: the bill of materials, the signature, and with RELEASE_BUILDS=1 (20 minutes) two builds that are compared.

Needs once pip, for CycloneDX's own schemas.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

from packages import python_packages
from world import REPOSITORY, Skip, cases_of, need, run

RELEASE = REPOSITORY / "config/release"


def start(_whole):
    need("cargo", "ssh-keygen")
    return subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout.split("host: ")[1].split()[0]


def bill(target):
    return subprocess.run([RELEASE / "sbom", target], check=True, capture_output=True, text=True, timeout=120).stdout


def the_bill_of_materials_has_what_is_linked_and_no_crate_of_the_tests(world):
    asked = ["cargo", "tree", "--locked", "--edges", "normal,build", "--target", world.shared, "--prefix", "none", "--format", "{p}"]
    tree = subprocess.run(asked, cwd=REPOSITORY, check=True, capture_output=True, text=True, timeout=120).stdout
    expected = {tuple(line.split()[:2]) for line in tree.splitlines() if line.strip()}
    found = json.loads(bill(world.shared))
    listed = {(one["name"], f"v{one['version']}") for one in [*found["components"], found["metadata"]["component"]]}
    assert listed == expected, listed ^ expected
    names = {name for name, _ in listed}
    assert names > {"aws-lc-sys", "libsqlite3-sys", "libmimalloc-sys", "rustls"} and not names & {"insta", "rcgen", "ring", "winapi"}, names
    unsummed = [one["name"] for one in found["components"] if "hashes" not in one and "pedigree" not in one]
    assert not unsummed, unsummed


def the_bill_of_materials_is_valid_and_the_same_each_time(world):
    sys.path.insert(0, str(python_packages("cyclonedx-11", "cyclonedx-python-lib[json-validation]==11.4.0")))
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text, validator = bill(world.shared), JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None, validator.validate_str(text)
    assert text == bill(world.shared)
    assert validator.validate_str(text.replace('"purl"', '"pearl"')) is not None, "the validator lets everything through"


def key(where, name):
    file = where / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", file], check=True, timeout=60)
    return file


def signed(where):
    folder, private = where / "release", key(where, "release-key")
    folder.mkdir()
    for name in ("evergate-1.tar.gz", "evergate_1_amd64.deb"):
        (folder / name).write_text(name)
    sums = subprocess.run(["sha256sum", *sorted(os.listdir(folder))], cwd=folder, check=True, capture_output=True, text=True).stdout
    (folder / "SHA256SUMS").write_text(sums)
    subprocess.run([RELEASE / "sign", folder, private], check=True, capture_output=True, timeout=60)
    return folder


def is_genuine(folder, public, namespace="evergate-release"):
    signers = folder.parent / "signers"
    signers.write_text(f'release@example.com namespaces="{namespace}" {public.read_text()}')
    told = subprocess.run([RELEASE / "sign", "--verify", folder, signers], capture_output=True, text=True, timeout=60)
    return told.returncode == 0


def a_release_that_was_signed_is_told_from_one_that_was_changed(world):
    folder = signed(world.directory)
    public = world.directory / "release-key.pub"
    assert is_genuine(folder, public)
    assert not is_genuine(folder, pathlib.Path(f"{key(world.directory, 'other')}.pub")), "another's key"
    assert not is_genuine(folder, public, namespace="git"), "a key for another purpose"
    for change in (changed_file, added_file, changed_sums, removed_file):
        copy = world.directory / change.__name__ / "release"
        shutil.copytree(folder, copy)
        change(copy)
        assert not is_genuine(copy, public), change.__name__


def changed_file(folder):
    (folder / "evergate-1.tar.gz").write_text("other")


def added_file(folder):
    (folder / "evergate-2.tar.gz").write_text("unsigned")


def removed_file(folder):
    (folder / "evergate-1.tar.gz").unlink()


def changed_sums(folder):
    (folder / "SHA256SUMS").write_text((folder / "SHA256SUMS").read_text().replace("0", "1"))


def two_builds_in_two_folders_are_the_same_and_static(world):
    if not os.environ.get("RELEASE_BUILDS"):
        raise Skip("two builds of a release take 20 minutes; RELEASE_BUILDS=1")
    made = []
    for name in ("one", "another"):
        source = world.directory / name
        subprocess.run(["git", "clone", "--quiet", REPOSITORY, source], check=True, timeout=120)
        env = {**os.environ, "CARGO_TARGET_DIR": str(source / "built")}
        subprocess.run([source / "config/release/build", source / "release"], env=env, check=True, capture_output=True, timeout=3600)
        made.append((source / "release/SHA256SUMS").read_text())
        shutil.rmtree(source / "built")
    assert made[0] == made[1], made


if __name__ == "__main__":
    run(cases_of(globals()), start, limit=7200)
