"""Canaille with its store in memory, one client and the user ann: `canaille_server.py PORT CLIENT`, with CLIENT as JSON."""

import json
import sys

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend

port, asked = int(sys.argv[1]), json.loads(sys.argv[2])
seconds = asked.pop("access_token_seconds")
app = create_app(
    config={
        "SECRET_KEY": "a-secret-of-this-server-that-signs-its-cookies",
        "PREFERRED_URL_SCHEME": "http",
        "SERVER_NAME": asked.pop("server_name"),
        "OAUTH2_TOKEN_EXPIRES_IN": {"authorization_code": seconds, "refresh_token": seconds},
        # No mail is sent: without a server for it there is no first login by mail.
        "CANAILLE": {"DATABASE": "memory", "FORCE_HTTPS": False, "SMTP": None, "ENABLE_REGISTRATION": False},
        "CANAILLE_OIDC": {},
    }
)
with app.app_context(), Backend.instance.session():
    ann = models.User(formatted_name="Ann", family_name="Example", user_name="ann", emails=["ann@example.com"], password="ann")
    Backend.instance.save(ann)
    client = models.Client(**asked)
    Backend.instance.save(client)
    client.audience = [client]
    Backend.instance.save(client)
app.run(host="127.0.0.1", port=port, threaded=True)
