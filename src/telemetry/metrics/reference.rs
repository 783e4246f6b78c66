//! The reference of the metrics as Markdown, read off what is exported: it lacks none, and has none that does not exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use super::Metrics;

const HEAD: &str = "\
# Metrics

Written by `evergate metrics`. Evergate serves these in the OpenMetrics text format, for Prometheus, on a listener of their own
(`CODER_PROMETHEUS_ENABLE`, `CODER_PROMETHEUS_ADDRESS`). All exist from the start, counters at zero, so that an alert on a rate sees the
first event; a `reason` of `evergate_renewals_total` that neither ends a grant nor leaves its outcome unknown, such as a provider's own
error code for a misconfiguration, alone may begin with its first. A histogram has `_bucket`, `_sum` and `_count`; its unit is the second. [monitoring.md](monitoring.md) has alerts and a
dashboard that are made of them.

| metric | type | labels | what it tells |
|---|---|---|---|
";

/// Labels whose values are not ours to list, and what they are.
const OPEN_LABELS: [(&str, &str); 4] = [
    ("operation", "what is asked of the store, as `session`"),
    ("provider", "with [several providers](several-providers.md) alone: the provider's name"),
    (
        "reason",
        "the provider's error code, or a word of ours; of an unknown outcome at a server that fails the status, as `status_500`",
    ),
    ("route", "the route's host and path; `endpoints` for our own pages, `forward_auth`, `none`"),
];

/// What is said of one metric.
#[derive(Default)]
struct Described {
    kind: String,
    help: String,
    labels: BTreeMap<String, BTreeSet<String>>,
}

/// The reference.
///
/// # Errors
/// None in practice: the writer is a string.
pub fn reference() -> Result<String, std::fmt::Error> {
    let metrics = Metrics::for_providers(&["first", "second"]);
    // What exists for each route and operation is shown by one.
    drop(metrics.route("/"));
    metrics.store_operations(std::iter::once("session"));
    let mut text = HEAD.to_owned();
    for (name, Described { kind, help, labels }) in described(&metrics.render()?) {
        let labels: Vec<_> = labels.iter().map(|(label, values)| label_text(label, values)).collect();
        writeln!(text, "| `{name}` | {kind} | {} | {help} |", labels.join("; "))?;
    }
    Ok(text)
}

fn label_text(label: &str, values: &BTreeSet<String>) -> String {
    match OPEN_LABELS.iter().find(|(open, _)| *open == label) {
        Some((_, what)) => format!("`{label}`: {what}"),
        None => format!("`{label}`: {}", values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ")),
    }
}

/// The metrics of an exposition, by the names under which queries find them.
fn described(exposition: &str) -> BTreeMap<String, Described> {
    let mut found = BTreeMap::<String, Described>::new();
    // Samples follow the lines that describe their metric.
    let mut current = String::new();
    let mut help = String::new();
    for line in exposition.lines() {
        if let Some((_, text)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            help = text.to_owned();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            current = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
            let described = Described { kind: kind.to_owned(), help: std::mem::take(&mut help), ..Described::default() };
            found.insert(current.clone(), described);
        } else if let Some(metric) = found.get_mut(&current) {
            for (label, value) in labels(line) {
                metric.labels.entry(label.to_owned()).or_default().insert(value.to_owned());
            }
        }
    }
    found
}

/// The labels of a sample, without a histogram's own.
fn labels(sample: &str) -> impl Iterator<Item = (&str, &str)> {
    let within = sample.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(within, _)| within);
    let pairs = within.split("\",").filter_map(|pair| pair.split_once("=\""));
    pairs.map(|(label, value)| (label, value.trim_end_matches('"'))).filter(|(label, _)| *label != "le")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_has_its_labels_with_their_values_and_a_histogram_none_of_its_own() {
        let exposition = "# HELP e_calls Calls.\n# TYPE e_calls counter\ne_calls_total{a=\"x\",b=\"1\"} 0\ne_calls_total{a=\"y\",b=\"1\"} 0\n\
                          # HELP e_seconds Time.\n# TYPE e_seconds histogram\n# UNIT e_seconds seconds\ne_seconds_bucket{le=\"1.0\",c=\"z\"} 0\n# EOF";
        let found = described(exposition);
        let calls = &found["e_calls_total"];
        assert_eq!((calls.kind.as_str(), calls.help.as_str()), ("counter", "Calls."));
        assert!(calls.labels["a"].iter().eq(["x", "y"]) && calls.labels["b"].iter().eq(["1"]));
        assert_eq!(found["e_seconds"].labels.keys().collect::<Vec<_>>(), ["c"]);
    }
}
