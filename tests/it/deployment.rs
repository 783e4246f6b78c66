//! What deploys Evergate: the Helm chart and the compose file know its settings, the Debian package confines it. `tests/interop` runs
//! them (`chart.py`, `compose.py`, `debian.py`).

use std::collections::BTreeSet;

use evergate::{
    config::{
        Environment, Problems, Raw, Setting, check,
        document::{self, Node},
        table,
    },
    seal::KeyRing,
    timings::Timings,
};
use serde_json::Value;

const SCHEMA: &str = include_str!("../../config/helm/evergate/values.schema.json");
const COMPUTED: &str = include_str!("../../config/helm/evergate/templates/_helpers.tpl");
const DEPLOYMENT: &str = include_str!("../../config/helm/evergate/templates/deployment.yaml");
const UNIT: &str = include_str!("../../config/debian/evergate.service");
const COMPOSE: &str = include_str!("../../compose.yaml");

/// What the chart sets itself, and TLS, which ends before it.
const SET_BY_THE_CHART: [&str; 13] = [
    "admin_address",
    "data_dir",
    "ext_authz_address",
    "ext_authz_tls",
    "http_address",
    "prometheus_address",
    "prometheus_enable",
    "tls_address",
    "tls_cert_file",
    "tls_client_auth",
    "tls_enable",
    "tls_key_file",
    "tls_min_version",
];

#[test]
fn the_chart_takes_every_setting_and_secrets_only_from_secrets() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let properties = &schema["properties"];
    let settings: BTreeSet<&str> = properties["settings"]["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    let known = |secret: bool| table::all().filter(move |key: &&Setting| key.is_secret() == secret).map(|key| key.name);
    let expected: BTreeSet<&str> = known(false).filter(|name| !SET_BY_THE_CHART.contains(name)).collect();
    assert_eq!(settings, expected, "tests/interop/chart.py --write brings the chart's schema up to date");
    let others = &properties["secrets"]["properties"]["others"]["items"]["properties"]["setting"]["enum"];
    let mut secrets: BTreeSet<&str> = others.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    secrets.extend(["external_token_encryption_keys", "oidc_client_secret", "pg_connection_url"]);
    assert_eq!(secrets, known(true).collect(), "tests/interop/chart.py --write brings the chart's schema up to date");
}

#[test]
fn the_chart_takes_every_setting_of_a_further_provider() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let properties = &schema["properties"]["providers"]["items"]["properties"];
    let settings: BTreeSet<&str> = properties.as_object().unwrap().keys().map(String::as_str).collect();
    let sections = table::SECTIONS.iter().filter(|section| ["OpenID Connect", "Claims", "Access"].contains(&section.title));
    let keys = sections.flat_map(|section| section.settings).filter(|key| key.name != "oidc_introspection_cache");
    let (secret, plain): (Vec<&Setting>, Vec<&Setting>) = keys.partition(|key| key.is_secret());
    let own = ["name", "text", "email_domains", "secrets"];
    assert_eq!(settings, plain.iter().map(|key| key.name).chain(own).collect(), "tests/interop/chart.py --write");
    let secrets = properties["secrets"]["items"]["properties"]["setting"]["enum"].as_array().unwrap();
    let secrets: BTreeSet<&str> = secrets.iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(secrets, secret.iter().map(|key| key.name).collect(), "tests/interop/chart.py --write");
}

#[test]
fn the_chart_reckons_with_the_defaults_of_the_settings() {
    for name in ["shutdown_timeout", "oidc_token_timeout", "store_outage_grace"] {
        let setting = table::all().find(|key| key.name == name).unwrap();
        let reckoned = format!(".Values.settings.{name} | default \"{}\"", setting.default);
        assert!(COMPUTED.contains(&reckoned), "_helpers.tpl lacks {reckoned}");
    }
    assert!(Timings::default().unready_before_stop.as_secs_f64() <= 1.0, "the chart's grace period has a second for it");
}

#[test]
fn the_chart_s_startup_probe_outlasts_the_longest_migration() {
    let figure = |name: &str| {
        let probe = DEPLOYMENT.split_once("startupProbe:").unwrap().1;
        probe.split_once(name).unwrap().1.lines().next().unwrap().trim().parse::<u64>().unwrap()
    };
    let store = include_str!("../../src/store/postgres.rs");
    assert!(store.contains("MIGRATION_TIMEOUT: Duration = Duration::from_secs(60 * 60)"));
    assert!(figure("periodSeconds:") * figure("failureThreshold:") > 60 * 60 + 30, "it waits half a minute for its database");
}

#[test]
fn the_compose_file_s_settings_are_valid() {
    let mut node = document::yaml(&COMPOSE.replace("<<: *confined", "").replace("x-confined: &confined", "x-confined:")).unwrap();
    for name in ["services", "evergate", "environment"] {
        let Node::Map(mut members) = node else { panic!("{name} is not in a map") };
        node = members.remove(name).unwrap_or_else(|| panic!("there is no {name}"));
    }
    let Node::Map(environment) = node else { panic!("no environment") };
    let variables = environment.into_iter().map(|(name, value)| {
        let Node::Text(value) = value else { panic!("{name} is no text") };
        (name, substituted(&value))
    });
    let environment = Environment { variables: variables.collect(), ..Environment::default() };
    let mut problems = Problems::default();
    let raw: Raw = environment.read(&mut problems);
    let checked = check(&raw, problems).unwrap();
    assert!(checked.warnings.is_empty(), "{:?}", checked.warnings.iter().map(ToString::to_string).collect::<Vec<_>>());
}

/// A value as compose makes it, with what an administrator sets.
fn substituted(value: &str) -> String {
    let Some((before, rest)) = value.split_once("${") else { return value.to_owned() };
    let (variable, after) = rest.split_once('}').unwrap();
    let given = match variable.split_once(':').unwrap() {
        ("CODER_ACCESS_URL", _) => "https://app.example.com".to_owned(),
        ("CODER_OIDC_ISSUER_URL", _) => "https://idp.example.com".to_owned(),
        ("CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS", _) => KeyRing::generate(),
        (_, default) if default.starts_with('-') => default.trim_start_matches('-').to_owned(),
        (_, _) => "given".to_owned(),
    };
    format!("{before}{given}{}", substituted(after))
}

#[test]
fn the_unit_of_the_debian_package_is_confined_by_systemd_s_own_measure() {
    let judged = |unit: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("evergate.service");
        std::fs::write(&file, unit).unwrap();
        // In tenths: less than 2 of 10.
        let asked = ["security", "--offline=true", "--threshold=20", "--no-pager"];
        std::process::Command::new("systemd-analyze").args(asked).arg(file).output().unwrap()
    };
    let judgement = judged(UNIT);
    assert!(judgement.status.success(), "{}", String::from_utf8_lossy(&judgement.stdout));
    let weaker: Vec<_> = UNIT.lines().filter(|line| !line.starts_with("SystemCallFilter=")).collect();
    assert!(!judged(&weaker.join("\n")).status.success(), "a unit with every system call passes");
}
