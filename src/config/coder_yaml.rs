//! The file of Coder's (`CODER_CONFIG_PATH`, YAML): its paths, and the variables of the same meaning.

/// Each path in the file, and the setting's name. The names are Coder's own; which of them work here is the table's to say.
const PATHS: &[(&str, &str)] = &[
    ("oidc.issuerURL", "oidc_issuer_url"),
    ("oidc.clientID", "oidc_client_id"),
    ("oidc.oidcClientKeyFile", "oidc_client_key_file"),
    ("oidc.oidcClientCertFile", "oidc_client_cert_file"),
    ("oidc.scopes", "oidc_scopes"),
    ("oidc.authURLParams", "oidc_auth_url_params"),
    ("oidc.emailDomain", "oidc_email_domain"),
    ("oidc.allowSignups", "oidc_allow_signups"),
    ("oidc.ignoreEmailVerified", "oidc_ignore_email_verified"),
    ("oidc.usernameField", "oidc_username_field"),
    ("oidc.nameField", "oidc_name_field"),
    ("oidc.emailField", "oidc_email_field"),
    ("oidc.ignoreUserInfo", "oidc_ignore_userinfo"),
    ("oidc.accessTokenClaims", "oidc_access_token_claims"),
    ("oidc.groupField", "oidc_group_field"),
    ("oidc.groupMapping", "oidc_group_mapping"),
    ("oidc.enableGroupAutoCreate", "oidc_group_auto_create"),
    ("oidc.groupRegexFilter", "oidc_group_regex_filter"),
    ("oidc.groupAllowed", "oidc_allowed_groups"),
    ("oidc.userRoleField", "oidc_user_role_field"),
    ("oidc.userRoleMapping", "oidc_user_role_mapping"),
    ("oidc.userRoleDefault", "oidc_user_role_default"),
    ("oidc.organizationField", "oidc_organization_field"),
    ("oidc.organizationAssignDefault", "oidc_organization_assign_default"),
    ("oidc.organizationMapping", "oidc_organization_mapping"),
    ("oidc.signInText", "oidc_sign_in_text"),
    ("oidc.iconURL", "oidc_icon_url"),
    ("oidc.signupsDisabledText", "oidc_signups_disabled_text"),
    ("oidc.dangerousSkipIssuerChecks", "dangerous_oidc_skip_issuer_checks"),
    ("oidc.oidc-redirect-url", "oidc_redirect_url"),
    ("oidc.oidcRedirectAllowedHosts", "oidc_redirect_allowed_hosts"),
    ("oidc.oidc-repair-links", "oidc_repair_links"),
    ("oidc.dangerousOidcEmailFallback", "dangerous_oidc_email_fallback"),
    ("networking.http.sessionDuration", "session_duration"),
    ("networking.http.disableSessionExpiryRefresh", "disable_session_expiry_refresh"),
    ("networking.secureAuthCookie", "secure_auth_cookie"),
    ("networking.sameSiteAuthCookie", "samesite_auth_cookie"),
    ("networking.hostPrefixCookie", "host_prefix_cookie"),
    ("networking.http.maxTokenLifetime", "max_token_lifetime"),
    ("networking.http.maxAdminTokenLifetime", "max_admin_token_lifetime"),
    ("defaultTokenLifetime", "default_token_lifetime"),
    ("defaultOAuthRefreshLifetime", "default_oauth_refresh_lifetime"),
    ("retention.api_keys", "api_keys_retention"),
    ("networking.http.disablePasswordAuth", "disable_password_auth"),
    ("termsOfServiceURL", "terms_of_service_url"),
    ("scimUseLegacy", "scim_use_legacy"),
    ("networking.accessURL", "access_url"),
    ("networking.wildcardAccessURL", "wildcard_access_url"),
    ("networking.redirectToAccessURL", "redirect_to_access_url"),
    ("networking.http.httpAddress", "http_address"),
    ("networking.tls.enable", "tls_enable"),
    ("networking.tls.address", "tls_address"),
    ("networking.tls.certFiles", "tls_cert_file"),
    ("networking.tls.keyFiles", "tls_key_file"),
    ("networking.tls.clientAuth", "tls_client_auth"),
    ("networking.tls.clientCAFile", "tls_client_ca_file"),
    ("networking.tls.minVersion", "tls_min_version"),
    ("networking.tls.clientCertFile", "tls_client_cert_file"),
    ("networking.tls.clientKeyFile", "tls_client_key_file"),
    ("networking.tls.tlsCiphers", "tls_ciphers"),
    ("networking.tls.tlsAllowInsecureCiphers", "tls_allow_insecure_ciphers"),
    ("networking.tls.redirectHTTP", "tls_redirect_http_to_https"),
    ("networking.tls.strictTransportSecurity", "strict_transport_security"),
    ("networking.tls.strictTransportSecurityOptions", "strict_transport_security_options"),
    ("networking.proxyTrustedHeaders", "proxy_trusted_headers"),
    ("networking.proxyTrustedOrigins", "proxy_trusted_origins"),
    ("networking.http.additionalCSPPolicy", "additional_csp_policy"),
    ("pgAuth", "pg_auth"),
    ("pgConnMaxOpen", "pg_conn_max_open"),
    ("pgConnMaxIdle", "pg_conn_max_idle"),
    ("ephemeralDeployment", "ephemeral"),
    ("cacheDir", "cache_directory"),
    ("updateCheck", "update_check"),
    ("experiments", "experiments"),
    ("introspection.logging.filter", "log_filter"),
    ("introspection.logging.verbose", "verbose"),
    ("introspection.logging.humanPath", "logging_human"),
    ("introspection.logging.jsonPath", "logging_json"),
    ("introspection.logging.stackdriverPath", "logging_stackdriver"),
    ("introspection.prometheus.enable", "prometheus_enable"),
    ("introspection.prometheus.address", "prometheus_address"),
    ("introspection.prometheus.collect_db_metrics", "prometheus_collect_db_metrics"),
    ("introspection.pprof.enable", "pprof_enable"),
    ("introspection.pprof.address", "pprof_address"),
    ("introspection.tracing.enable", "trace_enable"),
    ("introspection.tracing.captureLogs", "trace_logs"),
    ("introspection.tracing.dataDog", "trace_datadog"),
    ("introspection.healthcheck.refresh", "health_check_refresh"),
    ("introspection.healthcheck.thresholdDatabase", "health_check_threshold_database"),
    ("telemetry.enable", "telemetry_enable"),
    ("retention.audit_logs", "audit_logs_retention"),
];

/// Where every key is known: one that is not is a mistake, which must not leave a rule out.
const STRICT: &str = "oidc";

/// What a path in the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathMeaning {
    /// The setting of this name.
    Setting(&'static str),
    /// A group of settings.
    Group,
    /// A setting of Coder's that is not known here, whose path this resembles at most.
    Unknown {
        /// The path that was probably meant.
        near: Option<&'static str>,
        /// Whether there is certainly no such setting.
        is_mistake: bool,
    },
}

/// What `path` is.
pub(super) fn meaning(path: &str) -> PathMeaning {
    if let Some((_, name)) = PATHS.iter().find(|(known, _)| *known == path) {
        return PathMeaning::Setting(name);
    }
    let is_in = |path: &str, group: &str| path.strip_prefix(group).is_some_and(|rest| rest.starts_with('.'));
    if PATHS.iter().any(|(known, _)| is_in(known, path)) {
        return PathMeaning::Group;
    }
    let depth = path.matches('.').count();
    let groups = PATHS.iter().filter_map(|(known, _)| known.match_indices('.').nth(depth).and_then(|(at, _)| known.get(..at)));
    let is_near = |known: &&str| known.eq_ignore_ascii_case(path) || strsim::damerau_levenshtein(known, path) <= 2;
    let near = PATHS.iter().map(|(known, _)| *known).chain(groups).find(is_near);
    PathMeaning::Unknown { near, is_mistake: near.is_some() || is_in(path, STRICT) }
}

/// Where the setting `name` stands in the file; its name if Coder has none of it.
pub(super) fn path_of(name: &str) -> &str {
    PATHS.iter().find(|(_, known)| *known == name).map_or(name, |(path, _)| path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{coder::without_effect, table};

    #[test]
    fn every_path_is_a_setting_s_or_explained() {
        for (path, name) in PATHS {
            assert!(table::all().any(|key| key.name == *name) || without_effect(name).is_some(), "{path}: {name}");
            assert_eq!((meaning(path), path_of(name)), (PathMeaning::Setting(name), *path));
        }
    }

    #[test]
    fn a_path_that_resembles_a_known_one_is_a_mistake_and_so_is_any_in_the_group_of_rules() {
        for group in ["oidc", "networking", "networking.http", "introspection.logging"] {
            assert_eq!(meaning(group), PathMeaning::Group, "{group}");
        }
        for (path, near) in [
            ("oidc.groupAlowed", Some("oidc.groupAllowed")),
            ("oicd.groupAllowed", Some("oidc.groupAllowed")),
            ("odic", Some("oidc")),
            ("OIDC", Some("oidc")),
            ("NETWORKING.HTTP", Some("networking.http")),
            ("networkin", Some("networking")),
            ("networking.htp", Some("networking.http")),
            ("oidc.allowedGroups", None),
        ] {
            assert_eq!(meaning(path), PathMeaning::Unknown { near, is_mistake: true }, "{path}");
        }
        for path in ["provisioning", "networking.derp", "externalAuthProviders", "chat"] {
            assert_eq!(meaning(path), PathMeaning::Unknown { near: None, is_mistake: false }, "{path}");
        }
    }
}
