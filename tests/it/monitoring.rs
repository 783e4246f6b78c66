//! What watches Evergate: its alerts and its dashboard ask for metrics that exist, by labels and values that these have.

use std::{collections::BTreeMap, fs};

use evergate::telemetry::metrics::reference::reference;
use regex::{Captures, Regex};
use serde_json::Value;

const ALERTS: &str = "config/prometheus/evergate.rules.yaml";
const DASHBOARD: &str = "config/grafana/evergate.json";
/// What Prometheus itself adds to each series.
const TARGET_LABELS: [&str; 2] = ["job", "instance"];

fn read(path: &str) -> String {
    fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn written() -> String {
    reference().unwrap()
}

/// The metrics by name, each with its kind and with what is said of each label.
fn metrics() -> BTreeMap<String, (String, BTreeMap<String, String>)> {
    let text = written();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")).map(|row| row.split(" | ").collect::<Vec<_>>());
    let labels = |cell: &str| {
        let labels = cell.split("; `").filter_map(|label| label.trim_start_matches('`').split_once("`: "));
        labels.map(|(label, values)| (label.to_owned(), values.to_owned())).collect()
    };
    rows.map(|row| (row[0].trim_end_matches('`').to_owned(), (row[1].to_owned(), labels(row[2])))).collect()
}

/// Every series that a query asks for: its name, and what stands in its braces.
fn series(query: &str) -> Vec<(String, String)> {
    let series = Regex::new(r"\b(evergate_\w+)(?:\{([^}]*)\})?").unwrap();
    let part = |found: &Captures<'_>, number| found.get(number).map_or(String::new(), |part| part.as_str().to_owned());
    series.captures_iter(query).map(|found| (part(&found, 1), part(&found, 2))).collect()
}

/// What a query asks for that does not exist.
fn unknown(query: &str) -> Vec<String> {
    let metrics = metrics();
    let mut unknown = Vec::new();
    for (name, matchers) in series(query) {
        let of_histogram = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let found = match of_histogram.and_then(|base| metrics.get(base)) {
            Some((kind, labels)) if kind == "histogram" => Some(labels),
            Some(_) | None => metrics.get(&name).filter(|(kind, _)| kind != "histogram").map(|(_, labels)| labels),
        };
        let Some(labels) = found else {
            unknown.push(name);
            continue;
        };
        for matcher in matchers.split(',').filter(|matcher| !matcher.trim().is_empty()) {
            let (label, value) = matcher.split_once('=').unwrap();
            let (label, value) = (label.trim().trim_end_matches('!'), value.trim_start_matches('~').trim_matches('"'));
            let is_known = |value: &str| {
                labels.get(label).is_some_and(|said| said.contains(&format!("`{value}`")) || !said.starts_with('`'))
            };
            if !TARGET_LABELS.contains(&label) && !value.split('|').all(is_known) {
                unknown.push(format!("{name}{{{matcher}}}"));
            }
        }
    }
    unknown
}

/// All texts of a JSON value under keys of this name.
fn texts<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get(key).and_then(Value::as_str));
            members.values().for_each(|member| texts(member, key, found));
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, key, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}

#[test]
fn the_reference_of_the_metrics_is_what_is_exported() {
    assert!(read("docs/metrics.md") == written(), "run: cargo run -- metrics > docs/metrics.md");
}

#[test]
fn a_query_for_what_does_not_exist_is_noticed() {
    let right = "sum(rate(evergate_renewals_total{outcome!=\"ok\", job=~\"a\"}[5m])) > rate(evergate_request_seconds_bucket[5m])";
    assert_eq!(unknown(right), Vec::<String>::new());
    for wrong in [
        "evergate_renewal_total",
        "evergate_renewals",
        "evergate_request_seconds",
        "evergate_sessions_count",
        "evergate_renewals_total{outcom=\"ok\"}",
        "evergate_renewals_total{outcome=\"okay\"}",
    ] {
        assert_eq!(unknown(wrong).len(), 1, "{wrong}");
    }
}

/// The settings that a text names and that do not exist.
fn unknown_settings(text: &str) -> Vec<String> {
    let names = Regex::new(r"\b(?:CODER|EVERGATE)_[A-Z0-9_]+").unwrap();
    let known = read("docs/settings.md");
    let is_known = |name: &str| known.contains(&format!("`{name}`"));
    names.find_iter(text).map(|name| name.as_str().to_owned()).filter(|name| !is_known(name)).collect()
}

#[test]
fn every_setting_that_an_alert_or_the_dashboard_names_exists() {
    assert_eq!(unknown_settings("CODER_OIDC_REFRESH_GRACE, CODER_OIDC_OUTAGE_GRACE"), ["CODER_OIDC_REFRESH_GRACE"]);
    for path in [ALERTS, DASHBOARD, "config/prometheus/evergate.rules.test.yaml"] {
        assert_eq!(unknown_settings(&read(path)), Vec::<String>::new(), "{path}");
    }
    assert!(read(ALERTS).contains("CODER_OIDC_OUTAGE_GRACE"));
}

#[test]
fn every_alert_asks_for_metrics_that_exist_and_is_explained() {
    let (alerts, monitoring) = (read(ALERTS), read("docs/monitoring.md"));
    assert_eq!(unknown(&alerts), Vec::<String>::new());
    let names: Vec<_> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() > 10, "{names:?}");
    for part in ["expr: ", "labels: {severity: ", "summary: ", "description: ", "runbook: docs/"] {
        assert_eq!(alerts.matches(part).count(), names.len(), "{part}");
    }
    let missing: Vec<_> = names.iter().filter(|name| !monitoring.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/monitoring.md explains no {missing:?}");
}

#[test]
fn every_panel_of_the_dashboard_asks_for_metrics_that_exist_and_says_what_it_shows() {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let mut queries = Vec::new();
    texts(&dashboard, "expr", &mut queries);
    assert!(queries.len() > 20, "{queries:?}");
    assert_eq!(queries.iter().flat_map(|query| unknown(query)).collect::<Vec<_>>(), Vec::<String>::new());
    let panels: Vec<_> = dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row").collect();
    assert!(panels.iter().all(|panel| panel["description"].as_str().is_some_and(|text| text.ends_with('.'))));
    let ids: std::collections::BTreeSet<_> =
        dashboard["panels"].as_array().unwrap().iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), dashboard["panels"].as_array().unwrap().len(), "each panel has an id of its own");
}
