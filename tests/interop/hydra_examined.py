#!/usr/bin/env python3
"""Ory Hydra, examined as every provider is; what is Hydra's own is in `hydra.py`, which has its login app too."""

from examination import LIFE, Examined, examine
from hydra import SECRET, VERSION, Hydra, Place


class Examination(Place, Examined):
    title, version, secret = "Ory Hydra", f"{VERSION}, no grace period", SECRET
    preset, found_by = "hydra", "the metadata show the product"
    install = Hydra

    def __init__(self, world, replicas=1, life=LIFE):
        super().__init__(world, replicas, life=life)

    @property
    def introspection_url(self):
        return f"http://127.0.0.1:{self.admin_port}/admin/oauth2/introspect"


if __name__ == "__main__":
    examine(Examination)
