//! Spans as OTLP has them (`opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest`), in Protocol Buffers.

use super::recording::{AttributeValue, FinishedSpan};
use crate::protobuf::{Fields, Message, Value};

const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";
const ERROR: u64 = 2;

/// What a collector does not take of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rejected {
    /// How many spans; 0 of a warning.
    pub(super) spans: u64,
    /// Why, in its own words, of which only so many are kept, without control characters.
    pub(super) reason: String,
}

/// How many characters of a collector's words are logged.
const MAX_REASON: usize = 200;

/// What the response to an export says that was rejected (`ExportTraceServiceResponse.partial_success`), if it says anything.
pub(super) fn rejected(response: &[u8]) -> Option<Rejected> {
    let mut rejected = None;
    let mut fields = Fields(response);
    while let Some((number, value)) = fields.next_field().ok()? {
        if let (1, Value::Bytes(partial)) = (number, value) {
            rejected = Some(partial);
        }
    }
    let (mut spans, mut reason, mut fields) = (0, String::new(), Fields(rejected?));
    while let Some((number, value)) = fields.next_field().ok()? {
        match (number, value) {
            (1, Value::Number(count)) => spans = count,
            (2, Value::Bytes(text)) => {
                let text = String::from_utf8_lossy(text);
                reason = text.chars().take(MAX_REASON).collect::<String>().escape_debug().to_string();
            }
            _ => {}
        }
    }
    (spans > 0 || !reason.is_empty()).then_some(Rejected { spans, reason })
}

/// The body of an export of these spans.
pub(super) fn export_request(resource: &[(String, String)], spans: &[FinishedSpan]) -> Vec<u8> {
    let mut request = Message::default();
    request.message(1, |resource_spans| {
        resource_spans.message(1, |written| {
            for (name, value) in resource {
                attribute(written, 1, name, &AttributeValue::Text(value.clone()));
            }
        });
        resource_spans.message(2, |scope_spans| {
            scope_spans.message(1, |scope| {
                scope.bytes(1, env!("CARGO_PKG_NAME").as_bytes());
                scope.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
            });
            for span in spans {
                scope_spans.message(2, |written| write(written, span));
            }
        });
        resource_spans.bytes(3, SCHEMA.as_bytes());
    });
    request.into_bytes()
}

fn write(message: &mut Message, span: &FinishedSpan) {
    message.bytes(1, &span.trace_id.to_be_bytes());
    message.bytes(2, &span.span_id.to_be_bytes());
    if !span.state.is_empty() {
        message.bytes(3, span.state.as_bytes());
    }
    if span.parent_id != 0 {
        message.bytes(4, &span.parent_id.to_be_bytes());
    }
    message.bytes(5, span.name.as_bytes());
    message.number(6, span.kind as u64);
    message.fixed64(7, span.started_at);
    message.fixed64(8, span.ended_at);
    for (name, value) in &span.attributes {
        attribute(message, 9, name, value);
    }
    if span.is_failed {
        message.message(15, |status| status.number(3, ERROR));
    }
}

fn attribute(message: &mut Message, field: u64, name: &str, value: &AttributeValue) {
    message.message(field, |pair| {
        pair.bytes(1, name.as_bytes());
        pair.message(2, |any| match value {
            AttributeValue::Text(text) => any.bytes(1, text.as_bytes()),
            AttributeValue::Flag(flag) => any.number(2, u64::from(*flag)),
            AttributeValue::Number(number) => any.number(3, number.cast_unsigned()),
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::traces::recording::SpanKind;

    fn fields(message: &[u8]) -> Vec<(u64, Value<'_>)> {
        let (mut fields, mut all) = (Fields(message), Vec::new());
        while let Some(field) = fields.next_field().unwrap() {
            all.push(field);
        }
        all
    }

    fn bytes<'a>(message: &[(u64, Value<'a>)], wanted: u64) -> Vec<&'a [u8]> {
        let held = |(number, value): &(u64, Value<'a>)| match value {
            Value::Bytes(bytes) if *number == wanted => Some(*bytes),
            Value::Bytes(_) | Value::Number(_) | Value::Fixed => None,
        };
        message.iter().filter_map(held).collect()
    }

    #[test]
    fn what_a_collector_rejects_is_read_and_anything_else_is_no_complaint() {
        let response = |write: fn(&mut Message)| {
            let mut response = Message::default();
            response.message(1, write);
            response.into_bytes()
        };
        let of_two = response(|partial| {
            partial.number(1, 2);
            partial.bytes(2, b"no room\x1b[2J");
        });
        assert_eq!(rejected(&of_two), Some(Rejected { spans: 2, reason: "no room\\u{1b}[2J".to_owned() }));
        let warning = response(|partial| partial.bytes(2, "é".repeat(500).as_bytes()));
        let warning = rejected(&warning).unwrap();
        assert_eq!((warning.spans, warning.reason.chars().count()), (0, MAX_REASON));
        for nothing in [&b""[..], &response(|_| ()), b"{}", b"\x0a\xff", b"<html>"] {
            assert_eq!(rejected(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn a_span_is_written_as_the_protocol_has_it() {
        let span = FinishedSpan {
            name: "GET /".to_owned(),
            kind: SpanKind::Server,
            trace_id: 7,
            span_id: 8,
            parent_id: 0,
            state: String::new(),
            is_failed: true,
            started_at: 1,
            ended_at: 2,
            attributes: vec![("count", AttributeValue::Number(-1)), ("url.path", AttributeValue::Text("/".to_owned()))],
        };
        let request = export_request(&[("service.name".to_owned(), "evergate".to_owned())], &[span]);
        let resource_spans = fields(bytes(&fields(&request), 1)[0]);
        assert_eq!(bytes(&fields(bytes(&resource_spans, 1)[0]), 1).len(), 1);
        let written = fields(bytes(&fields(bytes(&resource_spans, 2)[0]), 2)[0]);
        assert_eq!(bytes(&written, 1), [[0; 15].iter().chain(&[7]).copied().collect::<Vec<u8>>()]);
        assert_eq!((bytes(&written, 2), bytes(&written, 5)), (vec![&[0, 0, 0, 0, 0, 0, 0, 8][..]], vec![&b"GET /"[..]]));
        assert!(bytes(&written, 3).is_empty() && bytes(&written, 4).is_empty(), "nothing is said of what is not there");
        assert!(written.contains(&(6, Value::Number(2))) && written.contains(&(7, Value::Fixed)));
        assert_eq!(fields(bytes(&written, 15)[0]), [(3, Value::Number(2))]);
        let attributes: Vec<_> = bytes(&written, 9).into_iter().map(fields).collect();
        assert_eq!(
            attributes[0],
            [(1, Value::Bytes(b"count")), (2, Value::Bytes(&[0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]))]
        );
        assert_eq!(fields(bytes(&attributes[1], 2)[0]), [(1, Value::Bytes(b"/"))]);
    }
}
