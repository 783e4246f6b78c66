"""A machine whose systemd runs: an overlay of this one, in namespaces of its own, of which nothing remains."""

import subprocess

from world import Skip, eventually

# The root is changed by pivot_root and not by chroot, in which a unit's PrivateUsers= fails. The two cgroup hierarchies are those that
# a machine may have; which one it has does not matter to sockets and services.
BOOT = """
mount --make-rprivate /
mkdir -p {room}
mount -t tmpfs tmpfs {room}
mkdir {room}/upper {room}/work {room}/root
mount -t overlay overlay -o lowerdir=/,upperdir={room}/upper,workdir={room}/work {room}/root
cd {room}/root
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup 2>/dev/null || {{
  mount -t tmpfs tmpfs sys/fs/cgroup
  mkdir sys/fs/cgroup/systemd
  mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
}}
ip link set lo up
rm -rf etc/systemd/system/*.wants usr/sbin/policy-rc.d
ln -sf /lib/systemd/system/basic.target etc/systemd/system/default.target
for unit in systemd-networkd.service systemd-resolved.service systemd-udevd.service systemd-logind.service systemd-sysctl.service \\
  systemd-tmpfiles-setup-dev.service sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount \\
  proc-sys-fs-binfmt_misc.automount; do ln -sf /dev/null etc/systemd/system/$unit; done
mkdir -p before
mount --make-private {room}/root
pivot_root . before
umount -l /before
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --log-target=console --show-status=0
"""


class Booted:
    """Such a machine, with these files in its /run/given."""

    def __init__(self, world, *given):
        room = world.directory / "room"
        namespaces = ["--fork", "--kill-child", "--pid", "--mount", "--cgroup", "--net", "--uts", "--ipc"]
        self.process = world.spawn("systemd", ["unshare", *namespaces, "sh", "-ec", BOOT.format(room=room)])

        def is_up():
            if not self.process.alive():
                raise Skip(f"no systemd can be started in namespaces: {self.process.text().strip()[-300:]}")
            return self.init() and self.asked("systemctl is-active basic.target").stdout.strip() == "active"

        eventually("systemd runs", is_up, 60)
        for file in given:
            done = subprocess.run(
                [*self.inside(), "sh", "-ec", f"mkdir -p /run/given; cat >/run/given/{file.name}"], input=file.read_bytes(), timeout=60,
            )
            assert done.returncode == 0, file

    def init(self):
        """The number of its first process, as it is called here; none before there is one."""
        children = f"/proc/{self.process.child.pid}/task/{self.process.child.pid}/children"
        with open(children, encoding="ascii") as told:
            return told.read().strip()

    def inside(self):
        kinds = ["--mount", "--pid", "--cgroup", "--net", "--uts", "--ipc", "--root", "--wd"]
        return ["nsenter", "--target", self.init(), *kinds]

    def asked(self, script):
        return subprocess.run([*self.inside(), "sh", "-ec", script], capture_output=True, text=True, timeout=120)

    def sh(self, script):
        """What a script of the shell prints there."""
        done = self.asked(script)
        assert done.returncode == 0, (script, (done.stdout + done.stderr)[-1500:])
        return done.stdout.strip()
