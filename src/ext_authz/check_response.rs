//! `CheckResponse`: what becomes of a request, as the ingress is told.

use std::str;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::protobuf::Message;

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum CheckResponse {
    /// It is forwarded, with these changes.
    Permitted(HeaderChanges),
    /// Its client gets this response.
    Denied(DeniedResponse),
}

/// How a request is changed before it is forwarded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderChanges {
    /// Lines that take the place of the client's.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Lines that are removed; none of those that are set.
    pub remove: Vec<HeaderName>,
}

/// A response to a client.
#[derive(Clone, Debug)]
pub struct DeniedResponse {
    /// The status of HTTP.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, of text.
    pub body: String,
}

/// What is about our own connection alone, or the ingress's to count.
const UNTOLD: [HeaderName; 4] = [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::UPGRADE];

impl CheckResponse {
    /// Writes the message.
    pub fn written(&self) -> Vec<u8> {
        let mut message = Message::default();
        match self {
            Self::Permitted(changes) => {
                message.message(1, |_ok| {});
                message.message(3, |response| {
                    for (name, value) in &changes.set {
                        // Texts must be UTF-8, or the whole message cannot be read. A line that is not is no better than none.
                        match str::from_utf8(value.as_bytes()) {
                            Ok(_) => header_line(response, name, value, Existing::Overwrite),
                            Err(_) => response.bytes(5, name.as_str().as_bytes()),
                        }
                    }
                    for name in &changes.remove {
                        response.bytes(5, name.as_str().as_bytes());
                    }
                });
            }
            Self::Denied(denied) => {
                message.message(1, |status| status.number(1, grpc_code(denied.status)));
                message.message(2, |response| {
                    response.message(1, |status| status.number(1, denied.status.into()));
                    let told = denied
                        .headers
                        .iter()
                        .filter(|(name, value)| !UNTOLD.contains(name) && str::from_utf8(value.as_bytes()).is_ok());
                    for (name, value) in told {
                        // Each cookie has a line of its own (RFC 6265 section 3), and so has each challenge.
                        let is_one_of_several = denied.headers.get_all(name).iter().nth(1).is_some();
                        let existing =
                            if name == header::SET_COOKIE || is_one_of_several { Existing::Add } else { Existing::Overwrite };
                        header_line(response, name, value, existing);
                    }
                    response.bytes(3, denied.body.as_bytes());
                });
            }
        }
        message.into_bytes()
    }
}

/// What becomes of the lines of the same name.
#[derive(Clone, Copy)]
enum Existing {
    Overwrite,
    Add,
}

/// Adds a `HeaderValueOption`. Releases of Envoy differ in what they do where `append` is absent: older ones overwrite the request's
/// lines and add to a response's, newer ones add to both.
fn header_line(message: &mut Message, name: &HeaderName, value: &HeaderValue, existing: Existing) {
    message.message(2, |option| {
        option.message(1, |line| {
            line.bytes(1, name.as_str().as_bytes());
            line.bytes(2, value.as_bytes());
        });
        match existing {
            Existing::Overwrite => option.message(2, |_false| {}),
            Existing::Add => {}
        }
    });
}

/// The status of gRPC that says what one of HTTP does (`google.rpc.Code`). Envoy asks no more of it than that it is not `OK`.
fn grpc_code(status: u16) -> u64 {
    match status {
        401 => 16,
        404 => 5,
        429 | 413 | 431 => 8,
        500..=599 => 14,
        _ => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::{Fields, Value, pair};

    fn field(message: &[u8], wanted: u64) -> Vec<&[u8]> {
        let (mut fields, mut found) = (Fields(message), Vec::new());
        while let Some((number, value)) = fields.next_field().unwrap() {
            if let Value::Bytes(bytes) = value
                && number == wanted
            {
                found.push(bytes);
            }
        }
        found
    }

    fn number(message: &[u8]) -> Option<u64> {
        match Fields(message).next_field().unwrap() {
            Some((1, Value::Number(number))) => Some(number),
            _ => None,
        }
    }

    /// Name, value, and whether it overwrites.
    fn lines(response: &[u8]) -> Vec<(String, String, bool)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let line = |option: &[u8]| {
            let (name, value) = pair(field(option, 1)[0]).unwrap();
            (text(name), text(value), field(option, 2) == [b""])
        };
        field(response, 2).into_iter().map(line).collect()
    }

    #[test]
    fn a_permitted_request_s_lines_take_the_place_of_the_client_s() {
        let name = HeaderName::from_static;
        let changes = HeaderChanges {
            set: vec![
                (name("x-forwarded-user"), HeaderValue::from_static("ann")),
                (name("x-odd"), HeaderValue::from_bytes(b"\xe9").unwrap()),
            ],
            remove: vec![name("x_forwarded_user")],
        };
        let message = CheckResponse::Permitted(changes).written();
        assert_eq!(field(&message, 1), [b""], "OK");
        let response = field(&message, 3)[0];
        assert_eq!(lines(response), [("x-forwarded-user".to_owned(), "ann".to_owned(), true)]);
        assert_eq!(field(response, 5), [&b"x-odd"[..], b"x_forwarded_user"]);
        assert!(field(&message, 2).is_empty());
    }

    #[test]
    fn a_refusal_is_told_with_its_status_its_headers_and_its_body() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("location", "https://idp"),
            ("connection", "close"),
            ("www-authenticate", "Bearer"),
            ("www-authenticate", "Cookie"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let message = CheckResponse::Denied(DeniedResponse { status: 303, headers, body: "ü".to_owned() }).written();
        assert_eq!(number(field(&message, 1)[0]), Some(7));
        let response = field(&message, 2)[0];
        assert_eq!(number(field(response, 1)[0]), Some(303));
        let mut told = lines(response);
        told.sort();
        let line = |name: &str, value: &str, overwrites| (name.to_owned(), value.to_owned(), overwrites);
        assert_eq!(
            told,
            [
                line("location", "https://idp", true),
                line("set-cookie", "a=1", false),
                line("set-cookie", "b=2", false),
                line("www-authenticate", "Bearer", false),
                line("www-authenticate", "Cookie", false)
            ]
        );
        assert_eq!(field(response, 3), ["ü".as_bytes()]);
        for (status, code) in [(400, 7), (401, 16), (403, 7), (404, 5), (431, 8), (503, 14)] {
            assert_eq!(grpc_code(status), code, "{status}");
        }
    }
}
