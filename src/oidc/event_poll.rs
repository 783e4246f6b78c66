//! Polling a transmitter for security events (RFC 8936).

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, header};
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

/// How many events an answer may bring that were not put off before.
const MAX_EVENTS: usize = 50;

/// How many more for those that were put off: an answer must be of a size that is read.
const MAX_PUT_OFF: usize = 200;

/// How a transmitter is asked.
#[derive(Clone, Copy, Debug)]
pub struct PollRequest<'a> {
    /// What became of earlier events.
    pub report: &'a PollReport,
    /// Whether it may wait until there is an event.
    pub waits: bool,
    /// How many events are put off, which come again before all others.
    pub put_off: usize,
    /// How long an answer is waited for.
    pub deadline: Duration,
}

impl PollReport {
    /// Whether there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.acknowledged.is_empty() && self.refused.is_empty()
    }
}

impl PollRequest<'_> {
    /// Whether an answer brings any other event when so many are put off.
    pub fn has_room_beside(put_off: usize) -> bool {
        put_off < most(put_off)
    }
}

impl Provider {
    /// Whether its security events are polled for.
    pub fn polls_for_events(&self) -> bool {
        self.settings.event_poll.is_some()
    }

    /// Reports what became of earlier events, and asks for more: at once, or when there are any. `None`: the transmitter was asked to wait,
    /// and has said nothing until the deadline, or until a proxy on the way lost its patience. That is no failure by itself: whether it is
    /// alive, its answer to a poll tells that does not wait. How soon that was is for the caller to measure: silence takes time.
    ///
    /// # Errors
    /// Whether the report arrived is not known.
    pub async fn poll_for_events(&self, asked: PollRequest<'_>) -> Result<Option<Polled>, PollError> {
        let Some(settings) = &self.settings.event_poll else { return Ok(None) };
        let mut request = Request::post(settings.url.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json");
        if let Some(token) = &settings.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        let body = Full::new(Bytes::from(body(&asked).to_string()));
        let request = request.body(body).map_err(|_| PollError::Failed("its token is no header's value".to_owned()))?;
        let response = match self.http.send(request, asked.deadline).await {
            Ok(response) if asked.waits && is_of_impatience(response.status) => return Ok(None),
            Ok(response) => response,
            Err(FetchError::TimedOut(_) | FetchError::Broken(_)) if asked.waits => return Ok(None),
            Err(error) => return Err(PollError::Failed(causes(&error))),
        };
        if !response.status.is_success() {
            return Err(PollError::Failed(format!("it answered status {}", response.status)));
        }
        read(&response.body, asked.put_off)
            .map(Some)
            .ok_or_else(|| PollError::Failed("its answer is no JSON object with sets".to_owned()))
    }
}

/// Whether a proxy says by this status that the transmitter has said nothing for long. 524 is Cloudflare's.
fn is_of_impatience(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 504 | 524)
}

/// How many events are asked for.
fn most(put_off: usize) -> usize {
    MAX_EVENTS + put_off.min(MAX_PUT_OFF)
}

/// Section 2.2.
fn body(PollRequest { report, waits, put_off, .. }: &PollRequest<'_>) -> Value {
    let refused = report.refused.iter().map(|(id, (code, description))| {
        let error = json!({"err": code, "description": description});
        (id.clone(), error)
    });
    let refused: serde_json::Map<_, _> = refused.collect();
    json!({"maxEvents": most(*put_off), "returnImmediately": !waits, "ack": report.acknowledged, "setErrs": refused})
}

/// Section 2.3. No more are taken than were asked for: the others come again.
fn read(body: &[u8], put_off: usize) -> Option<Polled> {
    let answer = JsonObject::parse(body)?;
    let sets = answer.members.get("sets")?.as_object()?;
    let text = |(id, token): (&String, &Value)| Some((id.clone(), token.as_str().unwrap_or_default().to_owned()));
    let events = sets.iter().filter_map(text).take(most(put_off)).collect();
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
        let asked = |report: &PollReport, waits: bool, put_off: usize| {
            body(&PollRequest { report, waits, put_off, deadline: Duration::ZERO })
        };
        assert_eq!(asked(&report, true, 0), expected);
        let immediately = asked(&PollReport::default(), false, 3);
        assert_eq!((&immediately["returnImmediately"], &immediately["maxEvents"]), (&json!(true), &json!(53)));
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
            assert_eq!(read(answer.as_bytes(), 0), expected, "{answer}");
        }
        let many: serde_json::Map<_, _> = (0..80).map(|number| (format!("{number}"), json!("x"))).collect();
        let many = json!({"sets": many}).to_string();
        assert_eq!([0, 3].map(|put_off| read(many.as_bytes(), put_off).unwrap().events.len()), [50, 53]);
    }

    #[test]
    fn events_that_are_put_off_leave_room_for_others_until_they_fill_an_answer() {
        let room = [0, 50, 200, 249, 250, 1000].map(PollRequest::has_room_beside);
        assert_eq!(room, [true, true, true, true, false, false]);
    }
}
