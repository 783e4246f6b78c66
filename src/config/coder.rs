//! Settings of Coder's that have no effect here. An environment that is Coder's starts Evergate; what is ignored of it is told.

/// Settings that have no effect for the same reason.
#[derive(Debug)]
pub(super) struct WithoutEffect {
    /// Why, as the rest of a sentence.
    pub(super) reason: &'static str,
    /// Names without `CODER_`; one that ends in `_` stands for all that begin so.
    pub(super) names: &'static [&'static str],
}

const fn because(reason: &'static str, names: &'static [&'static str]) -> WithoutEffect {
    WithoutEffect { reason, names }
}

/// All of them. A name that is both a family's and a setting of Evergate's is the setting.
pub(super) const WITHOUT_EFFECT: &[WithoutEffect] = &[
    because(
        "Evergate has no accounts: whoever the provider and the rules let in may enter (CODER_OIDC_ALLOWED_GROUPS, \
         CODER_OIDC_EMAIL_DOMAIN)",
        &[
            "dangerous_oidc_email_fallback",
            "disable_password_auth",
            "oidc_allow_signups",
            "oidc_group_auto_create",
            "oidc_repair_links",
            "scim_use_legacy",
            "terms_of_service_url",
        ],
    ),
    because(
        "Evergate has no organizations",
        &["oidc_organization_assign_default", "oidc_organization_field", "oidc_organization_mapping"],
    ),
    because("the OpenID Connect provider alone logs users in", &["oauth2_github_"]),
    because(
        "Evergate has no API keys and is no OAuth provider; its personal access tokens are limited by CODER_MAX_TOKEN_LIFETIME",
        &["api_keys_retention", "default_oauth_refresh_lifetime", "max_admin_token_lifetime", "oauth2_provider_"],
    ),
    because(
        "it is Coder's old name; use CODER_HTTP_ADDRESS, CODER_TLS_ADDRESS or CODER_REDIRECT_TO_ACCESS_URL",
        &["address", "tls_redirect_http_to_https"],
    ),
    because("TLS has no insecure cipher suites here, and nothing to choose", &["tls_allow_insecure_ciphers", "tls_ciphers"]),
    because("CODER_ALLOWED_ORIGINS names the origins that may send requests", &["dangerous_allow_cors_requests"]),
    because("Evergate limits no user's rate of requests", &["api_rate_limit", "dangerous_disable_rate_limits", "rate_limit_"]),
    because("Evergate logs in to Postgres by password or certificate (CODER_PG_PASSWORD_FILE)", &["pg_auth"]),
    because("Evergate keeps no cache on disk", &["cache_directory", "ephemeral"]),
    because("Evergate sends nothing to its makers and asks them nothing", &["telemetry", "telemetry_", "update_check"]),
    because(
        "CODER_LOGGING_JSON says where the log goes and in which form, CODER_LOG_FILTER what is in it",
        &["logging_human", "logging_stackdriver", "verbose"],
    ),
    because("CODER_EVENT_RETENTION says how long the history is kept", &["audit_logs_retention", "connection_logs_retention"]),
    because(
        "CODER_PROMETHEUS_ENABLE exports all metrics",
        &["prometheus_aggregate_agent_stats_by", "prometheus_collect_agent_stats", "prometheus_collect_db_metrics"],
    ),
    because("Evergate has no profiler", &["pprof_"]),
    because(
        "Evergate sends its traces to an OpenTelemetry collector alone (CODER_TRACE_ENABLE)",
        &["trace", "trace_datadog", "trace_honeycomb_api_key", "trace_logs"],
    ),
    because("readyz tells the state of Evergate", &["health_check_", "proxy_health_interval"]),
    because(
        "it is about Coder's own pages",
        &["cli_upgrade_message", "hide_ai_tasks", "support_links", "swagger_enable", "web_terminal_renderer"],
    ),
    because("Evergate sends no messages", &["email_", "inbox_", "notifications_"]),
    because(
        "it is about workspaces, which are Coder's",
        &[
            "agent_fallback_troubleshooting_url",
            "agent_stat_refresh_interval",
            "allow_custom_quiet_hours",
            "allow_workspace_renames",
            "autobuild_poll_interval",
            "block_direct",
            "browser_only",
            "dangerous_allow_path_app_sharing",
            "dangerous_allow_path_app_site_owner_access",
            "default_quiet_hours_schedule",
            "derp_",
            "disable_owner_workspace_access",
            "disable_path_apps",
            "disable_workspace_sharing",
            "enable_terraform_debug_mode",
            "experiments",
            "external_auth_",
            "gitauth_",
            "in_memory_database",
            "job_hang_detector_interval",
            "job_reaper_detect_interval",
            "metrics_cache_refresh_interval",
            "provisioner_",
            "proxy_session_token",
            "quiet_hours_default_schedule",
            "ssh_",
            "stats_collection_",
            "template_",
            "user_quiet_hours_",
            "wgtunnel_host",
            "workspace_agent_logs_retention",
            "workspace_hostname_suffix",
            "workspace_prebuilds_",
        ],
    ),
    because("Evergate has no part in AI features", &["ai_", "aibridge_", "chat_"]),
];

/// Whether Coder has a setting of just this name that has no effect.
pub(super) fn is_exactly(name: &str) -> bool {
    WITHOUT_EFFECT.iter().any(|entry| entry.names.contains(&name))
}

/// The name under which a setting of Coder's is told of, its own or its family's with a star, and why it has no effect.
pub(super) fn without_effect(name: &str) -> Option<(String, &'static str)> {
    let is_named = |known: &&&str| **known == name || (known.ends_with('_') && name.starts_with(**known));
    WITHOUT_EFFECT.iter().find_map(|entry| Some((shown(entry.names.iter().find(is_named)?), entry.reason)))
}

/// The variable of that name.
pub(super) fn shown(name: &str) -> String {
    let star = if name.ends_with('_') { "*" } else { "" };
    format!("CODER_{}{star}", name.to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::table;

    #[test]
    fn no_setting_is_said_to_have_no_effect() {
        for key in table::all() {
            assert_eq!(without_effect(key.name), None, "{}", key.name);
        }
    }

    #[test]
    fn a_family_is_told_of_as_a_whole() {
        let (name, _) = without_effect("ai_gateway_bedrock_region").unwrap();
        assert_eq!(name, "CODER_AI_*");
        assert_eq!(without_effect("scim_auth_header"), None, "it is ours too");
        assert_eq!(without_effect("workspace_name"), None, "it is a workspace's own variable");
    }
}
