//! `CheckRequest`: the request that is asked about, as the ingress has it.

use crate::protobuf::{Fields, Malformed, Value, pair};

/// The other end of the ingress's connection, as the ingress says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source<'a> {
    /// It is in a network, by what stands for its address.
    Address(&'a [u8]),
    /// It is a process of the ingress's own machine, at a unix socket.
    Pipe,
    /// The ingress says nothing of it, or what is not known here.
    #[default]
    Unsaid,
}

/// What an ingress says of a request. Texts are as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckRequest<'a> {
    /// `source.address`: the other end of the ingress's connection, which is its client or another proxy.
    pub source: Source<'a>,
    /// `context_extensions`: what the ingress's configuration says besides, of the route.
    pub context: Vec<(&'a [u8], &'a [u8])>,
    /// `request.http.method`.
    pub method: &'a [u8],
    /// `request.http.path`, with the query.
    pub path: &'a [u8],
    /// `request.http.host`.
    pub host: &'a [u8],
    /// `request.http.scheme`.
    pub scheme: &'a [u8],
    /// `request.http.protocol`, as in `HTTP/1.1`.
    pub protocol: &'a [u8],
    /// `request.http.size`: the bytes of the body, as far as they are known; -1 where they are not.
    pub size: i64,
    headers: Vec<(&'a [u8], &'a [u8])>,
    header_map: Vec<(&'a [u8], &'a [u8])>,
    has_http: bool,
}

impl<'a> CheckRequest<'a> {
    /// Reads a message. `Ok(None)`: it asks about nothing that is HTTP.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(message: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let (mut read, mut fields) = (Self::default(), Fields(message));
        while let Some((number, value)) = fields.next_field()? {
            if let (1, Value::Bytes(attributes)) = (number, value) {
                read.read_attributes(attributes)?;
            }
        }
        Ok(Some(read).filter(|read| read.has_http))
    }

    /// The header lines: each by itself where the ingress sends them as they are (`encode_raw_headers`), or else those of one name
    /// joined. Names that begin with a colon are HTTP/2's pseudo-headers.
    pub fn headers(&self) -> &[(&'a [u8], &'a [u8])] {
        if self.header_map.is_empty() { &self.headers } else { &self.header_map }
    }

    // A message that comes twice is one with the fields of both, as Protocol Buffers have it.

    fn read_attributes(&mut self, attributes: &'a [u8]) -> Result<(), Malformed> {
        let mut fields = Fields(attributes);
        while let Some((number, value)) = fields.next_field()? {
            match (number, value) {
                (1, Value::Bytes(source)) => self.source = source_of(source)?,
                (4, Value::Bytes(request)) => self.read_request(request)?,
                (10, Value::Bytes(entry)) => self.context.push(pair(entry)?),
                _ => {}
            }
        }
        Ok(())
    }

    fn read_request(&mut self, request: &'a [u8]) -> Result<(), Malformed> {
        let mut fields = Fields(request);
        while let Some((number, value)) = fields.next_field()? {
            if let (2, Value::Bytes(http)) = (number, value) {
                self.has_http = true;
                self.read_http(http)?;
            }
        }
        Ok(())
    }

    fn read_http(&mut self, http: &'a [u8]) -> Result<(), Malformed> {
        let mut fields = Fields(http);
        while let Some((number, value)) = fields.next_field()? {
            match (number, value) {
                (2, Value::Bytes(method)) => self.method = method,
                (3, Value::Bytes(entry)) => self.headers.push(pair(entry)?),
                (4, Value::Bytes(path)) => self.path = path,
                (5, Value::Bytes(host)) => self.host = host,
                (6, Value::Bytes(scheme)) => self.scheme = scheme,
                (9, Value::Number(size)) => self.size = size.cast_signed(),
                (10, Value::Bytes(protocol)) => self.protocol = protocol,
                (13, Value::Bytes(map)) => {
                    let mut lines = Fields(map);
                    while let Some((number, value)) = lines.next_field()? {
                        if let (1, Value::Bytes(line)) = (number, value) {
                            self.header_map.push(pair(line)?);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The source that a `Peer` is. Its `Address` is a socket's (1), a pipe (2), or a listener within the ingress (3), behind which anybody
/// may be.
fn source_of(peer: &[u8]) -> Result<Source<'_>, Malformed> {
    let address = last_message(1, peer)?.unwrap_or_default();
    match (last_message(1, address)?, last_message(2, address)?) {
        (Some(socket_address), None) => Ok(Source::Address(last_message(2, socket_address)?.unwrap_or_default())),
        (None, Some(_)) => Ok(Source::Pipe),
        (None, None) | (Some(_), Some(_)) => Ok(Source::Unsaid),
    }
}

/// The bytes that a field of a message holds, if it is there.
fn last_message(wanted: u64, message: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    let (mut fields, mut held) = (Fields(message), None);
    while let Some((number, value)) = fields.next_field()? {
        if let Value::Bytes(bytes) = value
            && number == wanted
        {
            held = Some(bytes);
        }
    }
    Ok(held)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::protobuf::Message;

    /// Sources that are no address: a pipe, a listener within Envoy, and nothing at all.
    pub(crate) const PIPE: &str = "/run/envoy.sock";
    pub(crate) const WITHIN: &str = "envoy_internal_address";
    pub(crate) const UNSAID: &str = "nothing";

    /// Writes a question as Envoy does, with these fields of `HttpRequest`, and these entries of its map of headers.
    pub(crate) fn written_check(source: &str, fields: &[(u64, &str)], lines: &[(&str, &str)]) -> Vec<u8> {
        written(source, |http| {
            fields.iter().for_each(|(field, text)| http.bytes(*field, text.as_bytes()));
            lines.iter().for_each(|(name, value)| line(http, 3, name.as_bytes(), (2, value.as_bytes())));
        })
    }

    fn written(source: &str, http: impl FnOnce(&mut Message)) -> Vec<u8> {
        let mut message = Message::default();
        message.message(1, |attributes| {
            attributes.message(1, |peer| {
                peer.message(1, |address| match source {
                    PIPE => address.message(2, |pipe| pipe.bytes(1, source.as_bytes())),
                    WITHIN => address.message(3, |listener| listener.bytes(1, source.as_bytes())),
                    UNSAID => {}
                    _ => address.message(1, |socket| {
                        socket.bytes(2, source.as_bytes());
                        socket.number(3, 4711);
                    }),
                });
            });
            attributes.message(4, |request| {
                request.message(1, |time| time.number(1, 1));
                request.message(2, http);
            });
            attributes.message(10, |entry| {
                entry.bytes(1, b"allowed_groups");
                entry.bytes(2, b"a,b");
            });
        });
        message.into_bytes()
    }

    fn line(message: &mut Message, field: u64, name: &[u8], value: (u64, &[u8])) {
        message.message(field, |line| {
            line.bytes(1, name);
            line.bytes(value.0, value.1);
        });
    }

    #[test]
    fn a_question_of_envoy_s_is_read() {
        let message = written("192.0.2.7", |http| {
            for (field, text) in [(1, "id"), (2, "GET"), (4, "/a?b=c"), (5, "app.test"), (6, "https"), (10, "HTTP/2")] {
                http.bytes(field, text.as_bytes());
            }
            line(http, 3, b":path", (2, b"/a?b=c"));
            line(http, 3, b"accept", (2, b"\xff"));
            http.number(9, (-1_i64).cast_unsigned());
        });
        let read = CheckRequest::read(&message).unwrap().unwrap();
        assert_eq!(read.source, Source::Address(b"192.0.2.7"));
        assert_eq!(
            [read.method, read.path, read.host, read.scheme, read.protocol],
            ["GET", "/a?b=c", "app.test", "https", "HTTP/2"].map(str::as_bytes)
        );
        assert_eq!(read.headers(), [(&b":path"[..], &b"/a?b=c"[..]), (b"accept", b"\xff")]);
        assert_eq!((read.size, &read.context[..]), (-1, &[(&b"allowed_groups"[..], &b"a,b"[..])][..]));
    }

    #[test]
    fn lines_that_come_as_they_are_stay_apart() {
        let message = written(PIPE, |http| {
            http.message(13, |map| {
                line(map, 1, b"cookie", (3, b"a=1"));
                line(map, 1, b"cookie", (3, b"b=\xe9"));
                line(map, 1, b"x-empty", (3, b""));
            });
        });
        let read = CheckRequest::read(&message).unwrap().unwrap();
        assert_eq!(read.headers(), [(&b"cookie"[..], &b"a=1"[..]), (b"cookie", b"b=\xe9"), (b"x-empty", b"")]);
        assert_eq!(read.source, Source::Pipe, "a unix socket has no address");
    }

    #[test]
    fn what_is_not_about_http_or_breaks_off_is_told_apart() {
        assert_eq!(CheckRequest::read(b""), Ok(None));
        let whole = written("192.0.2.7", |http| http.bytes(2, b"GET"));
        assert!(CheckRequest::read(&whole).unwrap().is_some());
        for end in 1..whole.len() {
            assert_eq!(CheckRequest::read(&whole[..end]), Err(Malformed), "{end}");
        }
    }
}
