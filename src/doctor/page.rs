//! The report as one HTML page, to attach to a ticket: it loads nothing, has no script, and every text in it is escaped.

use std::fmt::Write;

use super::report::Report;
use crate::pages::escape;

const STYLE: &str = include_str!("page.css");

impl Report {
    /// The report as one HTML page.
    pub fn html(&self) -> String {
        render(self)
    }
}

fn render(report: &Report) -> String {
    let mut rows = String::new();
    for finding in &report.findings {
        let advice = finding.advice.as_deref().map(|advice| format!("<p class=\"advice\">{}</p>", escape(advice)));
        let _infallible = writeln!(
            rows,
            "<tr><td class=\"{level}\">{level}</td><th>{}</th><td>{}{}</td></tr>",
            escape(finding.topic),
            escape(&finding.text),
            advice.unwrap_or_default(),
            level = finding.level.as_str(),
        );
    }
    let subject: String =
        report.subject().iter().map(|(label, value)| format!("<dt>{}</dt><dd>{}</dd>\n", escape(label), escape(value))).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>evergate doctor</title>\n\
         <style>{STYLE}</style>\n<main>\n<h1>{}</h1>\n<dl>\n{subject}</dl>\n<table>\n{rows}</table>\n</main>\n</html>\n",
        escape(report.verdict()),
    )
}
