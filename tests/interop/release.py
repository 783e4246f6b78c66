#!/usr/bin/env python3
"""What a release consists of: the bill of materials, the signature, and with RELEASE_BUILDS=1 (an hour or more) the builds themselves.

These are two builds for this machine, which are compared, and one with musl for each of x86-64 and arm64, which are run: the latter under
Debian's qemu-user-static. Needs once pip, for CycloneDX's own schemas; builds with musl need root, and once Debian's packages.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import musl
from names import AAAA, A, Names
from packages import python_packages
from world import HERE, REPOSITORY, Browser, Evergate, Skip, Upstream, cases_of, eventually, need, run

RELEASE = REPOSITORY / "config/release"
# The cases of oidc_provider.py without those that only examine the provider.
AT_A_PROVIDER = ["login", "tokens_that", "lost_answer", "logout", "check"]


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
    changes = (changed_file, changed_sums, removed_file, added_file, added_script, added_package, added_folder, link_in_place, odd_name)
    for change in changes:
        copy = world.directory / change.__name__ / "release"
        shutil.copytree(folder, copy)
        change(copy)
        assert not is_genuine(copy, public), change.__name__


def changed_file(folder):
    (folder / "evergate-1.tar.gz").write_text("other")


def added_file(folder):
    (folder / "evergate-2.tar.gz").write_text("unsigned")


def added_script(folder):
    (folder / "install.sh").write_text("unsigned")


def added_package(folder):
    (folder / "Evergate_2_amd64.deb").write_text("unsigned")


def added_folder(folder):
    (folder / "bin").mkdir()
    (folder / "bin/evergate").write_text("unsigned")


def link_in_place(folder):
    (folder / "evergate-1.tar.gz").rename(folder.parent / "elsewhere")
    (folder / "evergate-1.tar.gz").symlink_to(folder.parent / "elsewhere")


def odd_name(folder):
    (folder / "evergate-1.tar.gz\n").write_text("unsigned")


def removed_file(folder):
    (folder / "evergate-1.tar.gz").unlink()


def changed_sums(folder):
    (folder / "SHA256SUMS").write_text((folder / "SHA256SUMS").read_text().replace("0", "1"))


def builds_are_wanted():
    if not os.environ.get("RELEASE_BUILDS"):
        raise Skip("a build of a release takes ten minutes or more; RELEASE_BUILDS=1")


def two_builds_in_two_folders_are_the_same_and_static(world):
    builds_are_wanted()
    made = []
    for name in ("one", "another"):
        source = world.directory / name
        subprocess.run(["git", "clone", "--quiet", REPOSITORY, source], check=True, timeout=120)
        env = {**os.environ, "CARGO_TARGET_DIR": str(source / "built")}
        subprocess.run([source / "config/release/build", source / "release"], env=env, check=True, capture_output=True, timeout=3600)
        made.append((source / "release/SHA256SUMS").read_text())
        shutil.rmtree(source / "built")
    assert made[0] == made[1], made


def a_static_binary_for_x86_64_with_musl_does_what_is_asked_of_any(world):
    program = unpacked(world, "x86_64", "amd64", "Advanced Micro Devices X86-64")
    the_demo_is_logged_in_to(world, program)
    it_speaks_tls_with_itself(world, program)
    passes("oidc_provider.py", program, *AT_A_PROVIDER)
    passes("debian.py", program, "it_serves_behind")


def a_static_binary_for_arm64_with_musl_does_what_is_asked_of_any(world):
    program = unpacked(world, "aarch64", "arm64", "AArch64")
    emulated = world.directory / "emulated"
    emulated.write_text(f'#!/bin/sh\nexec qemu-aarch64-static {program} "$@"\n')
    emulated.chmod(0o755)
    the_demo_is_logged_in_to(world, emulated)
    it_speaks_tls_with_itself(world, emulated)
    passes("oidc_provider.py", emulated, *AT_A_PROVIDER)


def unpacked(world, cpu, debians, readelfs):
    """The binary of a release with musl, whose files are what they should be for its machine."""
    builds_are_wanted()
    target = f"{cpu}-unknown-linux-musl"
    folder = musl.release(target)

    def said(*command):
        return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=120).stdout

    (archive,), (package,) = folder.glob("*.tar.gz"), folder.glob("*.deb")
    sums = said("sha256sum", "--check", "--strict", "SHA256SUMS").splitlines()
    assert sorted(line.split(":")[0] for line in sums) == sorted(name for name in os.listdir(folder) if name != "SHA256SUMS"), sums
    assert {"name": "cargo:target", "value": target} in json.loads(next(folder.glob("*.cdx.json")).read_text())["metadata"]["properties"]
    said("tar", "-xzf", archive, "-C", world.directory)
    said("dpkg-deb", "--extract", package, world.directory / "package")
    program = world.directory / f"{archive.name.removesuffix('.tar.gz')}/evergate"
    assert program.read_bytes() == (world.directory / "package/usr/bin/evergate").read_bytes()
    assert said("dpkg-deb", "--field", package, "Architecture").strip() == debians
    assert "libc" not in said("dpkg-deb", "--field", package, "Depends")
    elf = said("readelf", "--file-header", "--program-headers", "--dynamic", program)
    assert readelfs in elf and "INTERP" not in elf and "NEEDED" not in elf, elf
    return program


def the_demo_is_logged_in_to(world, program):
    """Somebody comes through the demo's provider to an app, whose name a DNS server knows in the domain that is searched."""
    names, app, port, temporary = Names(world, "app"), Upstream(world), world.port(), world.directory / "temporary"
    temporary.mkdir()
    command = names.argv(program, "demo", "--port", port, "--app", app.url.replace("127.0.0.1", "app"))
    demo = world.spawn("demo", command, env={"PATH": os.environ["PATH"], "TMPDIR": str(temporary)})
    browser = Browser()

    def asked():
        assert demo.alive(), demo.text()
        try:
            page = browser.visit(f"http://localhost:{port}/")
        except OSError:
            return None
        return page if "Maya Lindqvist" in page.text else None

    page = eventually("the provider asks who it is", asked, 60)
    page = browser.visit(f"{page.url}&person=0", referrer=page.url)
    assert page.is_apps() and page.json()["headers"]["x-forwarded-user"] == "maya", str(page)
    assert {("app.corp.test", A), ("app.corp.test", AAAA)} <= set(names.asked), names.asked
    demo.signal(15)
    eventually("it has ended", lambda: not demo.alive(), 60)
    assert demo.child.returncode == 0 and not list(temporary.iterdir()), demo.text()


def it_speaks_tls_with_itself(world, program):
    """One Evergate asks an app by another, which terminates TLS, and verifies its certificate."""
    tls, url = world.port(), f"https://localhost:{world.port()}"
    key, certificate = world.directory / "tls.key", world.directory / "tls.crt"
    subprocess.run([
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=localhost",
        "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", certificate,
    ], check=True, capture_output=True, timeout=60)

    def evergate(name, upstream, **settings):
        routes = world.directory / f"{name}.toml"
        routes.write_text(f'[[route]]\npath = "/"\nrule = "public"\nupstream = "{upstream}"\n')
        nowhere = {"OIDC_ISSUER_URL": "http://127.0.0.1:9", "OIDC_CLIENT_ID": "app"}
        return Evergate(world, {"CONFIG_PATH": routes, "ACCESS_URL": url, **nowhere, **settings}, ready=False, program=program)

    evergate("at-the-app", Upstream(world).url, TLS_ENABLE="true", TLS_ADDRESS=f"127.0.0.1:{tls}", TLS_CERT_FILE=certificate, TLS_KEY_FILE=key)
    before = evergate("before-it", f"https://localhost:{tls}", UPSTREAM_CA_FILE=certificate)
    status, body = 0, ""

    def served():
        nonlocal status, body
        status, body = before.ask("/page", 30)
        return status == 200 and json.loads(body)["path"] == "/page"

    try:
        eventually("the app answers", served, 60)
    except AssertionError as error:
        raise AssertionError(f"{error}; the last answer: {status} {body[:300]}") from None


def passes(script, program, *words):
    """The cases of a script that have one of the words in their names."""
    done = subprocess.run(
        [sys.executable, HERE / script, *words], env={**os.environ, "EVERGATE": str(program)}, capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0 and "\n0 passed" not in done.stdout and "0 failed, 0 skipped" in done.stdout, done.stdout + done.stderr


if __name__ == "__main__":
    run(cases_of(globals()), start, limit=7200)
