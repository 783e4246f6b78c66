//! Unknown names: which of them are misspelled settings, and which belong to other software.
//!
//! Settings share the prefix `CODER_` with Coder: Kubernetes sets variables for each Service that is called `coder` or
//! `coder-something`, and a workspace has its own. A misspelled setting must be told from these, because a rule that is
//! misspelled and ignored would let everybody in.

use super::{policy, table};

/// What the names of the settings of login begin with. Whoever writes such a name means Evergate or Coder, and may mean a rule.
const LOGIN: &[&str] = &["oidc_", "dangerous_oidc_"];

/// Whether a name that is neither a setting nor one of Coder's is a mistake, whatever it resembles: a rule (`oidc_required_groups`)
/// that is ignored lets everybody in.
pub(super) fn is_about_login(name: &str) -> bool {
    LOGIN.iter().any(|prefix| name.starts_with(prefix))
}

/// The setting that a name (`oidc_scope`) was probably meant for: the two differ in few letters, or the name lacks the first or
/// other words of the setting's, or has further words at its end. Of a setting of login the words may have another order, and a name
/// with all words of a rule is meant for it.
pub(super) fn meant(name: &str) -> Option<&'static str> {
    table::all()
        .filter_map(|key| Some((distance(name, key.name)?, key.name)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, near)| near)
}

/// How many letters may differ where it is a slip of the fingers for certain.
const SLIP: usize = 2;
/// How much farther a setting is that differs in more letters, so that one with the same words is nearer, and how much that is whose
/// words have another order or number.
const UNLIKE: usize = 100;
const LOOSE: usize = 200;

/// The distance between a name and a setting's; `None` if the name was not meant for the setting.
fn distance(name: &str, setting: &str) -> Option<usize> {
    // `allowed_groups` is meant for `oidc_allowed_groups`, but one word is not enough to tell: `CODER_URL` is a workspace's.
    let tail = setting.split_once('_').map(|(_, tail)| tail).filter(|tail| tail.contains('_'));
    let typed = [Some(setting), tail].into_iter().flatten().filter_map(|candidate| {
        let distance = strsim::damerau_levenshtein(name, candidate);
        (distance <= (candidate.len() / 5).max(SLIP)).then_some(if distance > SLIP { UNLIKE + distance } else { distance })
    });
    let is_longer = name.strip_prefix(setting).is_some_and(|rest| rest.starts_with('_'));
    let is_rule = policy::SECTION.settings.iter().any(|rule| rule.name == setting);
    let names_rule = is_rule && tail.is_some_and(|tail| has_words_anywhere(name, tail));
    let has_several = name.contains('_');
    let words = is_longer || (has_several && has_words(setting, name));
    let loosely = names_rule || (has_several && setting.starts_with("oidc_") && has_words_anywhere(setting, name));
    let difference = name.len().abs_diff(setting.len());
    let by_words = words.then_some(SLIP + difference).or_else(|| loosely.then_some(LOOSE + difference));
    typed.chain(by_words).min()
}

/// Whether the words of `few` are words of `many`, in the same order.
fn has_words(many: &str, few: &str) -> bool {
    let mut words = many.split('_');
    few.split('_').all(|word| words.any(|one| one == word))
}

/// Whether the words of `few` are words of `many`, in whatever order, in the singular or the plural.
fn has_words_anywhere(many: &str, few: &str) -> bool {
    let singular = |word: &str| word.strip_suffix('s').unwrap_or(word).to_owned();
    let words: Vec<_> = many.split('_').map(singular).collect();
    few.split('_').all(|word| words.contains(&singular(word)))
}

/// Whether Kubernetes sets such a variable for a Service, with the Service's name before these words: `PORT=tcp://…`,
/// `SERVICE_HOST`, `SERVICE_PORT_HTTP`, `PORT_80_TCP_ADDR`. Such a variable is no mistake, even if it resembles a setting.
pub(super) fn is_kubernetes(name: &str, value: &str) -> bool {
    let words: Vec<_> = name.split('_').collect();
    let is_protocol = |word: &str| matches!(word, "tcp" | "udp" | "sctp");
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    match words.as_slice() {
        [.., "service", "host"] => true,
        [.., "port"] if value.split_once("://").is_some_and(|(scheme, _)| is_protocol(scheme)) => true,
        [.., "port", number, protocol] | [.., "port", number, protocol, "proto" | "port" | "addr"]
            if is_number(number) && is_protocol(protocol) =>
        {
            true
        }
        words => words.windows(2).any(|pair| pair == ["service", "port"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_like_a_setting_is_meant_for_it() {
        for (name, setting) in [
            ("oidc_scope", "oidc_scopes"),
            ("oidc_client_secrets", "oidc_client_secret"),
            ("odic_client_id", "oidc_client_id"),
            ("oidc_issuer", "oidc_issuer_url"),
            ("oidc_groups", "oidc_allowed_groups"),
            ("oidc_role_field", "oidc_user_role_field"),
            ("allowed_groups", "oidc_allowed_groups"),
            ("email_domain", "oidc_email_domain"),
            ("email_domains", "oidc_email_domain"),
            ("allowed_email_domains", "oidc_allowed_emails"),
            ("oidc_group_allowed", "oidc_allowed_groups"),
            ("oidc_groups_allowed", "oidc_allowed_groups"),
            ("group_allowed", "oidc_allowed_groups"),
            ("oidc_client_id_file", "oidc_client_id"),
            ("oidc_client_secret_file_path", "oidc_client_secret"),
            ("pg_connection", "pg_connection_url"),
            ("acess_url", "access_url"),
            ("session_max_durations", "session_max_duration"),
        ] {
            assert_eq!(meant(name), Some(setting), "{name}");
        }
    }

    #[test]
    fn what_a_workspace_a_server_of_coders_or_kubernetes_has_is_no_mistake() {
        for name in [
            // A workspace's.
            "url",
            "username",
            "user_token",
            "session_token",
            "workspace_name",
            "workspace_id",
            "workspace_owner_name",
            "workspace_owner_email",
            "workspace_agent_name",
            "workspace_template_name",
            "workspace_access_port",
            "agent_token",
            "agent_url",
            "agent_auth",
            "agent_log_dir",
            "agent_prometheus_address",
            "script_data_dir",
            "script_bin_dir",
            "proc_prio_mgmt",
            "config_dir",
            "owner_session_token",
            // A server's.
            "email_from",
            "email_hello",
            "email_smarthost",
            "email_force_tls",
            "email_auth_username",
            "email_auth_password_file",
            "email_tls_certfile",
            "notifications_email_from",
            "notifications_method",
            "oauth2_github_allowed_orgs",
            "oauth2_github_allowed_teams",
            "external_auth_0_scopes",
            "cache_directory",
            "pg_auth",
            "derp_server_enable",
            "derp_server_relay_url",
            "oidc_allow_signups",
            "telemetry_enable",
            "telemetry_url",
            "ssh_hostname_prefix",
            "max_admin_token_lifetime",
            "rate_limit_api",
            "oauth2_github_client_id",
            "oauth2_github_client_secret",
            "disable_password_auth",
            "provisioner_daemons",
        ] {
            assert_eq!(meant(name), None, "{name}");
        }
        for (name, value) in [
            ("port", "tcp://10.96.0.7:80"),
            ("service_host", "10.96.0.7"),
            ("service_port", "80"),
            ("service_port_http", "80"),
            ("port_80_tcp", "tcp://10.96.0.7:80"),
            ("port_80_tcp_addr", "10.96.0.7"),
            ("port_80_tcp_port", "80"),
            ("port_80_tcp_proto", "tcp"),
            ("pg_service_host", "10.96.0.8"),
            ("pg_port_5432_tcp", "tcp://10.96.0.8:5432"),
            ("upstream_port", "tcp://10.96.0.9:80"),
            ("dns_port_53_udp_addr", "10.96.0.9"),
        ] {
            assert!(is_kubernetes(name, value), "{name}");
        }
        for (name, value) in [("port", "3000"), ("http_port", "80"), ("oidc_scope", "openid"), ("port_http_tcp", "x")] {
            assert!(!is_kubernetes(name, value), "{name}");
        }
    }

    #[test]
    fn no_setting_has_a_name_that_kubernetes_could_write() {
        for key in table::all() {
            for name in [key.name.to_owned(), format!("{}_file", key.name)] {
                assert!(!is_kubernetes(&name, "tcp://10.96.0.7:80"), "a Service could write {}", name);
            }
        }
    }
}
