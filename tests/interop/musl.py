"""A Debian in the cache, in which releases for musl are built: it has rustc with its sources, and C compilers for both machines.

The Debian of the machine may be older than what Evergate needs, and Debian packages no standard library for musl, so that is built too.
"""

import os
import pathlib
import shutil
import subprocess

from packages import debian_packages
from world import CACHE, REPOSITORY, Skip

ROOT = CACHE / "musl-2"
PACKAGES = [
    "rustc", "cargo", "rust-src", "gcc", "libc6-dev", "make", "cmake", "perl", "python3", "git", "dpkg-dev", "ca-certificates",
    "musl-dev:amd64", "musl-dev:arm64", "gcc-aarch64-linux-gnu",
]
# The standard library unwinds with LLVM's libunwind, for which GCC's stands in. That asks glibc where a function's tables are; nothing
# is found by a stub, so a panic, which aborts, prints no backtrace. A release has no symbols that one could show.
UNWINDER = """
cd "$(mktemp --directory)"
echo 'int _dl_find_object(void *address, void *found) { (void)address; (void)found; return -1; }' >found.c
for machine in x86_64 aarch64; do
    compiler=$machine-linux-gnu-gcc folder=/usr/lib/$machine-linux-musl
    $compiler -O2 -c found.c
    cp "$($compiler -print-file-name=libgcc_eh.a)" $folder/libgcc_unwind.a
    $machine-linux-gnu-ar r $folder/libgcc_unwind.a found.o
    echo "GROUP($folder/libgcc_unwind.a $($compiler -print-file-name=libgcc.a))" >$folder/libunwind.a
done
"""
# Only this command sees the mounts, and they end with it.
INSIDE = """
mount -t proc proc "$0/proc"
mount --rbind /dev "$0/dev"
exec chroot "$0" bash -euc "$1"
"""
BUNDLE = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")


def inside(root, script, limit, **variables):
    """What a script of the shell printed in the Debian below `root`; nothing that it started outlives it."""
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    env = {
        **proxies, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive",
        "CARGO_HOME": "/build/cargo", **variables,
    }
    namespaces = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
    asked = ["nice", *namespaces, "bash", "-euc", INSIDE, root, script]
    return subprocess.run(asked, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit)


def machines_network(root):
    """How this machine reaches the network, given to the Debian below `root`: names, certificates, and cargo's settings."""
    for name in ("resolv.conf", "hosts"):
        shutil.copyfile(f"/etc/{name}", root / "etc" / name)
    if BUNDLE.exists() and (root / "etc/ssl/certs").is_dir():
        shutil.copyfile(BUNDLE, root / BUNDLE.relative_to("/"))
    settings = pathlib.Path(os.environ.get("CARGO_HOME") or pathlib.Path.home() / ".cargo") / "config.toml"
    (root / "build/cargo").mkdir(parents=True, exist_ok=True)
    if settings.exists():
        shutil.copyfile(settings, root / "build/cargo/config.toml")


def install():
    """The root of that Debian, made once."""
    if os.getuid() != 0:
        raise Skip("only root can make a Debian and mount in it")
    if os.uname().machine != "x86_64":
        raise Skip("the compilers are those of x86-64")
    debian_packages({"debootstrap": "debootstrap", "qemu-aarch64-static": "qemu-user-static"})
    if ROOT.exists():
        return ROOT
    CACHE.mkdir(parents=True, exist_ok=True)
    # Under another name until it is whole.
    unfinished = pathlib.Path(f"{ROOT}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    made = subprocess.run(
        ["nice", "debootstrap", "--variant=minbase", "testing", unfinished], capture_output=True, text=True, timeout=1200
    )
    if made.returncode:
        raise Skip(f"debootstrap: {(made.stdout + made.stderr).strip()[-300:]}")
    machines_network(unfinished)
    done = inside(unfinished, f"""
        # A mirror may be some weeks behind; what it has is signed all the same.
        echo 'Acquire::Check-Valid-Until "false";' >/etc/apt/apt.conf.d/99mirror
        dpkg --add-architecture arm64
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends {" ".join(PACKAGES)}
        apt-get clean
        {UNWINDER}
    """, 1800)
    if done.returncode:
        raise Skip(f"the toolchain cannot be installed: {(done.stdout + done.stderr).strip()[-300:]}")
    unfinished.rename(ROOT)
    return ROOT


def release(target):
    """The folder of a release for `target`, of the last commit, as config/release/build makes it there."""
    root = install()
    machines_network(root)
    work = root / "build"
    for name in ("source", f"release-{target}"):
        shutil.rmtree(work / name, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", REPOSITORY, work / "source"], check=True, timeout=120)
    build = f"cd /build/source; config/release/build /build/release-{target} {target}"
    done = inside(root, build, 5400, BUILD_STD="1", CARGO_TARGET_DIR="/build/target")
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return work / f"release-{target}"
