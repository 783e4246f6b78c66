//! Options about sessions and cookies.

use super::option::{Form, Meaning, ProxyOption, list, option, text};

const OWN_COOKIES: &str = "each login has a cookie and a state of its own, also of several tabs";
const NO_REDIS: &str = "sessions are in Postgres or SQLite";

pub(crate) const SESSIONS: &[ProxyOption] = &[
    text("cookie-name", "`CODER_COOKIE_NAME`, without `__Host-`, which Evergate adds by itself"),
    option(
        "cookie-secret",
        Form::Secret,
        Meaning::NoEffect("cookies hold random bits alone; `evergate keys generate` makes the key that encrypts tokens at rest"),
    ),
    option(
        "cookie-secret-file",
        Form::Text,
        Meaning::NoEffect("cookies hold random bits alone; `evergate keys generate` makes the key that encrypts tokens at rest"),
    ),
    list(
        "cookie-domain",
        "`CODER_WILDCARD_ACCESS_URL` for the hosts below it; each host has its own cookie, and the provider logs a user in to the \
         next host without a prompt",
    ),
    option("cookie-path", Form::Text, Meaning::NoEquivalent("cookies are for all paths of their host")),
    text("cookie-expire", "`CODER_SESSION_DURATION`, and without `cookie-refresh` also `CODER_SESSION_MAX_DURATION`"),
    text(
        "cookie-refresh",
        "use extends a session then, up to `CODER_SESSION_MAX_DURATION`. Tokens are refreshed by their own expiry whatever it says",
    ),
    option("cookie-secure", Form::Switch, Meaning::NoEffect("cookies are `Secure` if the access URL is https")),
    option("cookie-httponly", Form::Switch, Meaning::NoEffect("cookies are always `HttpOnly`")),
    text(
        "cookie-samesite",
        "`CODER_SAMESITE_AUTH_COOKIE`; `strict` is `lax` here, because CSRF protection does not depend on it",
    ),
    option("cookie-csrf-per-request", Form::Switch, Meaning::NoEffect(OWN_COOKIES)),
    option("cookie-csrf-per-request-limit", Form::Text, Meaning::NoEffect(OWN_COOKIES)),
    option("cookie-csrf-expire", Form::Text, Meaning::NoEffect(OWN_COOKIES)),
    option("cookie-csrf-samesite", Form::Text, Meaning::NoEffect(OWN_COOKIES)),
    option("session-cookie-minimal", Form::Switch, Meaning::NoEffect("cookies hold random bits alone")),
    text(
        "session-store-type",
        "`redis`: Postgres (`CODER_PG_CONNECTION_URL`), which replicas share; `cookie`: SQLite in `CODER_DATA_DIR`",
    ),
    option("redis-connection-url", Form::Secret, Meaning::NoEffect(NO_REDIS)),
    option("redis-password", Form::Secret, Meaning::NoEffect(NO_REDIS)),
    option("redis-username", Form::Text, Meaning::NoEffect(NO_REDIS)),
    option("redis-use-sentinel", Form::Switch, Meaning::NoEffect(NO_REDIS)),
    option("redis-sentinel-password", Form::Secret, Meaning::NoEffect(NO_REDIS)),
    option("redis-sentinel-master-name", Form::Text, Meaning::NoEffect(NO_REDIS)),
    option("redis-sentinel-connection-urls", Form::List, Meaning::NoEffect(NO_REDIS)),
    option("redis-use-cluster", Form::Switch, Meaning::NoEffect(NO_REDIS)),
    option("redis-cluster-connection-urls", Form::List, Meaning::NoEffect(NO_REDIS)),
    option("redis-ca-path", Form::Text, Meaning::NoEffect(NO_REDIS)),
    option("redis-insecure-skip-tls-verify", Form::Switch, Meaning::NoEffect(NO_REDIS)),
    option("redis-connection-idle-timeout", Form::Text, Meaning::NoEffect(NO_REDIS)),
    option("http-store-base-url", Form::Text, Meaning::NoEffect(NO_REDIS)),
    option("http-store-api-key", Form::Secret, Meaning::NoEffect(NO_REDIS)),
    option(
        "session-refresh-lock-duration",
        Form::Text,
        Meaning::NoEffect("one token refresh of a grant at a time is kept to without locks that expire"),
    ),
];
