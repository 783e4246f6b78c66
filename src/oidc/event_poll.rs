//! Polling a transmitter for security events (RFC 8936).

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use serde_json::{Value, json};

use super::{FetchError, Provider};
use crate::{jose::JsonObject, telemetry::logs::causes};

/// What became of the events of earlier polls (section 2.2), by their identifiers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PollReport {
    /// Those that are done with.
    pub acknowledged: Vec<String>,
    /// Those that are refused, with code and description (section 2.6).
    pub refused: BTreeMap<String, (&'static str, &'static str)>,
}

/// What a transmitter answers (section 2.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Polled {
    /// The events by their identifiers.
    pub events: Vec<(String, String)>,
    /// Whether more are there already.
    pub has_more: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// The call failed, or the answer is a refusal or no answer.
    #[error("{0}")]
    Failed(String),
}

/// How many events an answer may bring.
const MAX_EVENTS: usize = 50;

impl PollReport {
    /// Whether there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.acknowledged.is_empty() && self.refused.is_empty()
    }
}

impl Provider {
    /// Whether its security events are polled for.
    pub fn polls_for_events(&self) -> bool {
        self.settings.event_poll.is_some()
    }

    /// Reports what became of earlier events, and asks for more: at once, or when there are any. `None`: the transmitter was asked to wait,
    /// and has said nothing until the `deadline`. That is no failure by itself: it may wait for longer.
    ///
    /// # Errors
    /// Whether the report arrived is not known.
    pub async fn poll_for_events(
        &self,
        report: &PollReport,
        wait: bool,
        deadline: Duration,
    ) -> Result<Option<Polled>, PollError> {
        let Some(settings) = &self.settings.event_poll else { return Ok(None) };
        let mut request = Request::post(settings.url.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json");
        if let Some(token) = &settings.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        let body = Full::new(Bytes::from(body(report, wait).to_string()));
        let request = request.body(body).map_err(|_| PollError::Failed("its token is no header's value".to_owned()))?;
        let response = match self.http.send(request, deadline).await {
            Ok(response) => response,
            Err(FetchError::TimedOut(_)) if wait => return Ok(None),
            Err(error) => return Err(PollError::Failed(causes(&error))),
        };
        if !response.status.is_success() {
            return Err(PollError::Failed(format!("it answered status {}", response.status)));
        }
        read(&response.body).map(Some).ok_or_else(|| PollError::Failed("its answer is no JSON object with sets".to_owned()))
    }
}

/// Section 2.2.
fn body(report: &PollReport, wait: bool) -> Value {
    let refused = report.refused.iter().map(|(id, (code, description))| {
        let error = json!({"err": code, "description": description});
        (id.clone(), error)
    });
    let refused: serde_json::Map<_, _> = refused.collect();
    json!({"maxEvents": MAX_EVENTS, "returnImmediately": !wait, "ack": report.acknowledged, "setErrs": refused})
}

/// Section 2.3. No more are taken than were asked for: the others come again.
fn read(body: &[u8]) -> Option<Polled> {
    let answer = JsonObject::parse(body)?;
    let sets = answer.members.get("sets")?.as_object()?;
    let text = |(id, token): (&String, &Value)| Some((id.clone(), token.as_str().unwrap_or_default().to_owned()));
    let events = sets.iter().filter_map(text).take(MAX_EVENTS).collect();
    Some(Polled { events, has_more: answer.members.get("moreAvailable") == Some(&Value::Bool(true)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_reports_and_reads_as_the_rfc_has_it() {
        let report =
            PollReport { acknowledged: vec!["a".into()], refused: [("b".to_owned(), ("invalid_key", "The key."))].into() };
        let expected = json!({"maxEvents": 50, "returnImmediately": false, "ack": ["a"],
            "setErrs": {"b": {"err": "invalid_key", "description": "The key."}}});
        assert_eq!(body(&report, true), expected);
        assert_eq!(body(&PollReport::default(), false)["returnImmediately"], true);
        let events = |all: &[(&str, &str)]| all.iter().map(|(id, token)| ((*id).to_owned(), (*token).to_owned())).collect();
        for (answer, expected) in [
            (r#"{"sets": {}}"#, Some(Polled::default())),
            (r#"{"sets": {"a": "x.y.z"}}"#, Some(Polled { events: events(&[("a", "x.y.z")]), has_more: false })),
            (
                r#"{"sets": {"a": "x", "b": 7}, "moreAvailable": true}"#,
                Some(Polled { events: events(&[("a", "x"), ("b", "")]), has_more: true }),
            ),
            ("{}", None),
            (r#"{"sets": []}"#, None),
            ("[]", None),
            ("", None),
        ] {
            assert_eq!(read(answer.as_bytes()), expected, "{answer}");
        }
        let many: serde_json::Map<_, _> = (0..80).map(|number| (format!("{number}"), json!("x"))).collect();
        assert_eq!(read(json!({"sets": many}).to_string().as_bytes()).unwrap().events.len(), 50);
    }
}
