"""What scripts install: once, from package registries by their own clients, into the cache or with Debian's."""

import os
import pathlib
import shutil
import subprocess
import sys

from world import CACHE, Skip


def python_packages(name, *requirements):
    """A folder of the cache for PYTHONPATH, with these packages of PyPI and what they need."""
    folder = CACHE / name
    if folder.exists():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    # Under another name until it is whole.
    unfinished = CACHE / f"{name}.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]
    done = subprocess.run(["nice", *pip, "--target", unfinished, *requirements], capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise Skip(f"{', '.join(requirements)} of PyPI cannot be installed: {done.stderr.strip()[-300:]}")
    unfinished.rename(folder)
    return folder


def debian_packages(packages, path=os.defpath + ":/usr/sbin:/sbin"):
    """Installs those packages (`{file or program: package}`) that are missing, and lets none start a service meanwhile."""
    def is_there(wanted):
        return pathlib.Path(wanted).exists() if wanted.startswith("/") else shutil.which(wanted, path=path)

    missing = [package for wanted, package in packages.items() if not is_there(wanted)]
    if not missing:
        return
    if os.getuid() != 0 or not shutil.which("apt-get"):
        raise Skip(f"{', '.join(missing)} of Debian, which only root can install")
    policy = pathlib.Path("/usr/sbin/policy-rc.d")
    kept = policy.read_bytes() if policy.exists() else None
    try:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        quietly = {"env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, "capture_output": True, "timeout": 600}
        subprocess.run(["apt-get", "update", "-qq"], **quietly)
        apt = ["apt-get", "-o", "DPkg::Lock::Timeout=120", "install", "-y", "-qq", "--no-install-recommends", *missing]
        if subprocess.run(apt, **quietly).returncode:
            raise Skip(f"{', '.join(missing)} of Debian cannot be installed")
    finally:
        policy.unlink() if kept is None else policy.write_bytes(kept)


def debian_version(package):
    """The version of an installed package."""
    asked = ["dpkg-query", "-W", "-f", "${Version}", package]
    return subprocess.run(asked, check=True, capture_output=True, text=True, timeout=30).stdout.strip()
