//! Options about the apps.

use super::option::{Form, Meaning, ProxyOption, list, option, switch, text};

pub(crate) const UPSTREAMS: &[ProxyOption] = &[
    list(
        "upstream",
        "`CODER_UPSTREAM_URL`, and a `[[route]]` for each path. `static://202` and `file:///dev/null`: `CODER_FORWARD_AUTH`. Other \
         `file://` and `static://` have no equivalent: a web server serves files",
    ),
    text("upstream-timeout", "`CODER_UPSTREAM_TIMEOUT`"),
    switch("pass-host-header", "`false`: `host_header = \"upstream\"` of each route"),
    option(
        "proxy-websockets",
        Form::Switch,
        Meaning::NoEquivalent("WebSockets pass; whoever may send a request may open one, and it is cut when the session ends"),
    ),
    option(
        "ssl-upstream-insecure-skip-verify",
        Form::Switch,
        Meaning::NoEquivalent("Evergate always verifies the app's certificate; name its CA in `CODER_UPSTREAM_CA_FILE`"),
    ),
    option("flush-interval", Form::Text, Meaning::NoEffect("responses are passed on as they come")),
    option("disable-keep-alives", Form::Switch, Meaning::NoEquivalent("connections to apps are kept and used again")),
    option("allow-query-semicolons", Form::Switch, Meaning::NoEffect("queries are passed on as they were sent")),
];
