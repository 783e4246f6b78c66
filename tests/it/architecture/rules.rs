//! What the module structure is to be.

/// Which module may use which. A module may always use itself.
pub(super) const VOCABULARY: [&str; 9] =
    ["identity", "address", "seal", "secret", "backoff", "clock", "connection_slot", "timings", "header_names"];
pub(super) const ARROWS: &[(&str, &[&str])] = &[
    ("cli", &["app", "config", "demo", "sign_out", "history", "grant", "session", "store", "telemetry"]),
    // The demonstration's provider signs its tokens.
    ("demo", &["app", "config", "jose"]),
    (
        "app",
        &[
            "config",
            "server",
            "gateway",
            "endpoints",
            "admission",
            "visitor",
            "sign_in",
            "sign_out",
            "renewal",
            "forward",
            "oidc",
            "session",
            "store",
            "telemetry",
            "tls",
        ],
    ),
    // The settings of the parts are theirs; config alone builds them.
    (
        "config",
        &[
            "server",
            "gateway",
            "exchange",
            "renewal",
            "policy",
            "routing",
            "forward",
            "pages",
            "oidc",
            "session",
            "store",
            "telemetry",
            "tls",
        ],
    ),
    ("server", &[]),
    (
        "gateway",
        &[
            "endpoints",
            "admission",
            "refusal",
            "exchange",
            "visitor",
            "server",
            "policy",
            "routing",
            "forward",
            // How our own pages look is the gateway's to say.
            "pages",
            // The access line tells the user.
            "grant",
            "session",
            "telemetry",
        ],
    ),
    // Readiness tells of the certificates that are served.
    (
        "endpoints",
        &[
            "admission",
            "refusal",
            "exchange",
            "sign_in",
            "sign_out",
            "renewal",
            "policy",
            "routing",
            "pages",
            "oidc",
            "session",
            "store",
            "telemetry",
            "tls",
        ],
    ),
    ("admission", &["refusal", "exchange", "visitor", "sign_in", "renewal", "policy", "routing", "grant", "store"]),
    ("refusal", &["exchange", "visitor", "sign_in", "forward", "policy", "oidc", "pages", "session", "store", "telemetry"]),
    // The server says who the client end of a connection is.
    ("exchange", &["server", "forward", "policy", "session"]),
    ("visitor", &["policy", "grant", "session", "store", "telemetry"]),
    // A route's rule is the policy's.
    ("routing", &["policy"]),
    ("sign_in", &["policy", "oidc", "grant", "history", "session", "store", "telemetry"]),
    ("sign_out", &["oidc", "history", "session", "store", "telemetry"]),
    ("renewal", &["oidc", "grant", "history", "store", "telemetry"]),
    ("policy", &[]),
    // The permit is the entry ticket, and our cookies' names are the session's.
    ("forward", &["policy", "session"]),
    ("pages", &[]),
    // The fingerprint of the settings is a grant's; signatures are checked in one place.
    ("oidc", &["grant", "jose", "telemetry"]),
    ("jose", &[]),
    ("grant", &[]),
    ("history", &["grant", "session"]),
    // The cache counts what it has to load.
    ("session", &["grant", "telemetry"]),
    // Records and their tables.
    ("store", &["grant", "history", "session", "telemetry"]),
    ("telemetry", &[]),
    ("tls", &["telemetry"]),
    ("main", &["cli"]),
    ("fuzz", &[]),
    ("lib", &[]),
];

/// The only homes of outside crates.
pub(super) const HOMES: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("openidconnect", &["oidc"]),
    ("figment", &["config"]),
    ("clap", &["cli"]),
    ("axum", &["gateway", "endpoints", "refusal", "app", "demo"]),
    ("tower_cookies", &["session"]),
    ("anyhow", &["cli", "app", "demo", "telemetry"]),
    ("prometheus_client", &["telemetry"]),
    ("quick_cache", &["session"]),
    ("regex", &["oidc", "telemetry"]),
];

/// Files that decide and do nothing else.
pub(super) const PURE: &[&str] = &[
    "renewal/decision",
    "renewal/recovery",
    "renewal/classify",
    "store/error",
    "policy",
    "routing",
    "routing/interpretations",
    "pages",
    "sign_in/return_to",
    "sign_in/redirect_loop",
    "sign_in/silent_history",
    "forward/reserved_headers",
    "forward/hop_by_hop",
    "forward/forwarding_headers",
    "forward/websocket",
    "forward/http1/request_head",
    "forward/http1/response_head",
    "forward/http1/chunks",
    "forward/http1/body_decoder",
    "session/cookie",
    "oidc/authorization/params",
    "oidc/preset",
    "oidc/preset/table",
    "oidc/claims",
    "oidc/group_names",
    "oidc/roles",
    "oidc/discovery/metadata",
    "oidc/logout_token",
    "oidc/merge",
    "oidc/id_token",
    "jose",
    "jose/algorithm",
    "jose/key",
    "jose/object",
    "jose/token",
    "gateway/destination",
    "admission/next_step",
    "exchange/kind",
    "exchange/malformed",
    "exchange/grpc",
    "refusal/table",
    "visitor/reason",
    "config/values",
];

/// The files that choose or read statuses of HTTP.
pub(super) const CHOOSE_STATUSES: &[&str] = &[
    "refusal/table",
    "refusal/response",
    "refusal/login",
    "endpoints/health",
    "endpoints/logout",
    "endpoints/userinfo",
    "demo/provider",
    "renewal/classify",
    "forward/forwarder",
    "forward/backend",
    // A WebSocket on HTTP/2 is granted with 200 where HTTP/1.1 says 101.
    "forward/hop_by_hop",
    // The status says which responses have a body.
    "forward/http1/response_head",
    "oidc/client_auth",
    "oidc/introspection",
    "oidc/discovery",
    "oidc/error",
    "oidc/preset/table",
];
