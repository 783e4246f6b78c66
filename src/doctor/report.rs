//! The report, as text and as JSON.

use std::{collections::BTreeSet, fmt::Write};

use serde_json::{Value, json};

use super::{
    facts::{Facts, LoginFacts, RefreshLifetime, Subject},
    finding::{Finding, Level},
    verdict::judge,
};
use crate::language::is_control;

/// What the examination came to. It has no token, no secret and no name of a person, so that it can be attached to a ticket.
#[derive(Clone, Debug)]
pub struct Report {
    pub(super) facts: Facts,
    pub(super) findings: Vec<Finding>,
}

/// The width of a line of text.
const WIDTH: usize = 100;

impl Report {
    /// The report of these facts.
    pub(super) fn of(facts: Facts) -> Self {
        let findings = judge(&facts);
        Self { facts, findings }
    }

    /// The worst finding's level.
    pub fn level(&self) -> Level {
        self.findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
    }

    /// The verdict in one sentence.
    pub(super) fn verdict(&self) -> &'static str {
        match (self.level(), &self.facts.login) {
            (_, Err(_)) => "Users cannot log in.",
            (Level::Ok, Ok(_)) => "Users stay logged in.",
            (Level::Warning, Ok(_)) => "Users stay logged in, with limits: see the warnings.",
            (Level::Error, Ok(_)) => "Users lose their login or their groups, or logouts do not hold: see the errors.",
        }
    }

    /// What would improve it, the worst finding's first.
    pub(super) fn improvements(&self) -> Vec<&Finding> {
        let mut findings: Vec<_> = self.findings.iter().filter(|finding| finding.advice.is_some()).collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
        let mut told = BTreeSet::new();
        findings.retain(|finding| told.insert(&finding.advice));
        findings
    }

    /// What was examined: labels and values.
    pub(super) fn subject(&self) -> [(&'static str, String); 4] {
        [
            ("provider", self.facts.issuer.clone()),
            ("preset", self.facts.preset.to_owned()),
            ("redirect URI", self.facts.redirect_uri.clone()),
            ("evergate", env!("CARGO_PKG_VERSION").to_owned()),
        ]
    }

    /// The report for a terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (label, value) in self.subject() {
            push(&mut text, format!("{label:<14}{}", printable(&value)));
        }
        push(&mut text, String::new());
        for finding in &self.findings {
            let head = format!("{:<9}{}: ", finding.level.as_str(), finding.topic);
            push(&mut text, wrapped(&format!("{head}{}", printable(&finding.text)), 9));
        }
        push(&mut text, format!("\nVerdict: {}", self.verdict()));
        for (number, finding) in self.improvements().into_iter().enumerate() {
            if number == 0 {
                push(&mut text, "What would improve it:");
            }
            let advice = printable(finding.advice.as_deref().unwrap_or_default());
            push(&mut text, wrapped(&format!("- {}: {advice}", finding.topic), 2));
        }
        text
    }

    /// The report as JSON.
    pub fn json(&self) -> Value {
        let findings: Vec<_> = self
            .findings
            .iter()
            .map(|finding| {
                json!({
                    "level": finding.level.as_str(), "topic": finding.topic, "text": finding.text, "advice": finding.advice,
                })
            })
            .collect();
        let facts = &self.facts;
        let renewals = facts.renewals.iter().map(|renewal| match &renewal.result {
            Ok(renewed) => json!({
                "ok": true, "rotated": renewed.rotated, "id_token": renewed.has_id_token,
                "same_subject": renewed.subject == Subject::Same, "groups": renewed.groups,
            }),
            Err(reason) => json!({"ok": false, "error": reason}),
        });
        let storm = facts.storm.as_ref().and_then(|storm| storm.as_ref().ok()).map(|storm| {
            json!({
                "requests": storm.requests, "answered": storm.answered, "calls": storm.calls,
                "longest_wait_ms": u64::try_from(storm.longest_wait.as_millis()).unwrap_or(u64::MAX),
            })
        });
        let destructive = facts.destructive.as_ref().map(|found| {
            json!({
                "reuse": found.reuse.as_str(), "logout": found.logout.as_str(), "revocation": found.revocation.as_str(),
            })
        });
        json!({
            "evergate": env!("CARGO_PKG_VERSION"),
            "issuer": facts.issuer, "preset": facts.preset, "redirect_uri": facts.redirect_uri,
            "level": self.level().as_str(), "verdict": self.verdict(), "findings": findings,
            "facts": {
                "requested_scopes": facts.requested_scopes,
                "login": facts.login.as_ref().ok().map(login_json),
                "renewals": renewals.collect::<Vec<_>>(),
                "storm": storm, "destructive": destructive, "cleanup": facts.cleanup.as_str(),
            },
        })
    }
}

fn login_json(login: &LoginFacts) -> Value {
    let source = login.refresh_lifetime.map(|lifetime| match lifetime {
        RefreshLifetime::Response(_) => "response",
        RefreshLifetime::Preset(_) => "preset",
    });
    json!({
        "refresh_token": login.has_refresh_token, "needed_consent": login.needed_consent, "granted_scopes": login.granted_scopes,
        "access_token_seconds": login.access_lifetime.as_secs(),
        "refresh_token_seconds": login.refresh_lifetime.map(|lifetime| lifetime.duration().as_secs()),
        "refresh_token_seconds_from": source, "groups": login.groups,
    })
}

fn push(text: &mut String, line: impl AsRef<str>) {
    let _infallible = writeln!(text, "{}", line.as_ref());
}

/// The provider's words without what would control a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|character| if is_control(character) { '\u{fffd}' } else { character }).collect()
}

/// Breaks a line at spaces, and indents what follows.
fn wrapped(line: &str, indent: usize) -> String {
    let (mut out, mut width) = (String::new(), 0);
    for word in line.split_inclusive(' ') {
        let length = word.chars().count();
        if width + length > WIDTH && width > indent {
            out.truncate(out.trim_end().len());
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            width = indent;
        }
        out.push_str(word);
        width += length;
    }
    out
}
