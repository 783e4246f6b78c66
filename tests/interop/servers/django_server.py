"""A Django project with Django OAuth Toolkit as its documentation mounts it, one client, and the user ann.

`django_server.py PORT CLIENT DATABASE`, with CLIENT as JSON: the members of an `Application`, and `access_token_seconds`.
"""

import json
import socketserver
import sys
from wsgiref import simple_server

import django
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.urls import include, path

port, asked, database = int(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
settings.configure(
    SECRET_KEY="a-secret-of-this-server-that-signs-its-cookies", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, USE_TZ=True, DEBUG=False,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database, "OPTIONS": {"transaction_mode": "IMMEDIATE"}}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "oauth2_provider"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.csrf.CsrfViewMiddleware",
                "django.contrib.auth.middleware.AuthenticationMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {
        "context_processors": ["django.template.context_processors.request", "django.contrib.auth.context_processors.auth"],
        "loaders": [
            ("django.template.loaders.locmem.Loader", {"login.html": "<form method=post>{% csrf_token %}{{ form }}<button>Log in</button></form>"}),
            "django.template.loaders.app_directories.Loader",
        ]}}],
    LOGIN_URL="/login/", DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", SESSION_COOKIE_NAME="django",
    # Cheap, because the machine is busy enough.
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    OAUTH2_PROVIDER={
        "OIDC_ENABLED": True, "OIDC_RP_INITIATED_LOGOUT_ENABLED": True, "OIDC_RSA_PRIVATE_KEY": asked.pop("key"),
        "OAUTH2_VALIDATOR_CLASS": f"{__name__}.Validator", "ACCESS_TOKEN_EXPIRE_SECONDS": asked.pop("access_token_seconds"),
        "SCOPES": {"openid": "OpenID Connect", "profile": "Profile", "email": "E-mail"},
        **asked.pop("settings"),
    },
)
django.setup()

# Django's models can be imported only now.
from django.contrib.auth.models import User  # noqa: E402
from django.contrib.auth.views import LoginView  # noqa: E402
from oauth2_provider.models import Application  # noqa: E402
from oauth2_provider.oauth2_validators import OAuth2Validator  # noqa: E402


class Validator(OAuth2Validator):
    """The claims of a user, as the toolkit's documentation has them written."""

    oidc_claim_scope = {**OAuth2Validator.oidc_claim_scope, "preferred_username": "profile", "email": "email", "email_verified": "email"}

    def get_additional_claims(self):
        return {
            "preferred_username": lambda request: request.user.username,
            "email": lambda request: request.user.email,
            "email_verified": lambda request: True,
        }


urlpatterns = [
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("login/", LoginView.as_view(template_name="login.html")),
]
call_command("migrate", verbosity=0)
User.objects.create_user("ann", "ann@example.com", "ann")
Application.objects.create(**asked)



class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    """Threads, because the toolkit's own pages and the token endpoint are asked at the same time."""

    daemon_threads = True
    request_queue_size = 256


simple_server.make_server("127.0.0.1", port, get_wsgi_application(), Server).serve_forever()
