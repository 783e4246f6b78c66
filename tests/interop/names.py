"""A DNS server on loopback, and how a program is run that asks it."""

import socket
import struct
import threading

A, AAAA = 1, 28
# Linux routes all of 127.0.0.0/8 to itself, and whoever resolves names for this machine does it elsewhere.
ADDRESS = "127.53.53.53"
RUN = 'mount --bind "$0" /etc/resolv.conf; exec "$@"'


class Names:
    """Knows `name` within the domain `corp.test`, at 127.0.0.1. `asked` is what was asked: pairs of a name and a type of record."""

    def __init__(self, world, name):
        self.known, self.asked = f"{name}.corp.test", []
        self.settings = world.directory / "resolv.conf"
        self.settings.write_text(f"search corp.test\nnameserver {ADDRESS}\n")
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((ADDRESS, 53))
        world.at_end(self._socket.close)
        threading.Thread(target=self._serve, daemon=True).start()

    def argv(self, *command):
        """The command, run where /etc/resolv.conf names this server."""
        return ["unshare", "--mount", "--propagation", "private", "sh", "-euc", RUN, self.settings, *command]

    def _serve(self):
        while True:
            try:
                question, sender = self._socket.recvfrom(1500)
                self._socket.sendto(self._answer(question), sender)
            except OSError:
                return  # The world ends.

    def _answer(self, message):
        """RFC 1035, section 4.1: the header, the question again, and the address if it is asked for."""
        labels, at = [], 12
        while message[at]:
            labels.append(message[at + 1:at + 1 + message[at]].decode())
            at += 1 + message[at]
        name, (kind,) = ".".join(labels).lower(), struct.unpack("!H", message[at + 1:at + 3])
        self.asked.append((name, kind))
        found = name == self.known and kind == A
        flags = 0x8180 if name == self.known else 0x8183
        header = message[:2] + struct.pack("!HHHHH", flags, 1, int(found), 0, 0)
        record = struct.pack("!HHHIH4B", 0xC00C, A, 1, 60, 4, 127, 0, 0, 1) if found else b""
        return header + message[12:at + 5] + record
