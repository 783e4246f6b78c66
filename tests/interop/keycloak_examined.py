#!/usr/bin/env python3
"""Keycloak, examined as every provider is; what is Keycloak's own is in `keycloak.py`, which has its realms too."""

from examination import LIFE, Examined, examine
from keycloak import SECRET, VERSION, Keycloak, Realm


class Examination(Realm, Examined):
    title, version, secret = "Keycloak", f"{VERSION}, strict rotation", SECRET
    preset, found_by = "keycloak", "the issuer shows the product"
    install = Keycloak

    def __init__(self, world, replicas=1, life=LIFE):
        super().__init__(world, replicas, realm={"accessTokenLifespan": life})

    @property
    def issuer(self):
        return self.line.url + self.path

    def anonymously(self, text):
        return super().anonymously(text).replace(self.name, "acme")

    def confirm_logout(self, browser, page):
        buttons = [button for form in page.forms() for button in form["buttons"]]
        return browser.submit(page, button="confirmLogout") if "confirmLogout" in buttons else page


if __name__ == "__main__":
    examine(Examination)
