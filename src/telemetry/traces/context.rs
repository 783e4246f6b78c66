//! W3C Trace Context (<https://www.w3.org/TR/trace-context/>): which trace a request belongs to.

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// As long a `tracestate` has to be handed on (section 3.3.1.5).
const MAX_STATE: usize = 512;
/// How many members it may have (section 3.3.1.1).
const MAX_MEMBERS: usize = 32;
const SAMPLED: u8 = 1;

/// The span that a request belongs to, as whoever sent it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteContext {
    /// `trace-id`.
    pub trace_id: u128,
    /// `parent-id`.
    pub span_id: u64,
    /// Whether the sender has recorded its span.
    pub is_sampled: bool,
    /// `tracestate`, of other tracing systems.
    pub state: Option<HeaderValue>,
}

/// One span of ours, as another process is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace's id, which is not 0.
    pub trace_id: u128,
    /// The span's id, which is not 0.
    pub span_id: u64,
    /// The id of the span that it is a part of, in another process.
    pub parent_id: Option<u64>,
    /// Whether the trace is exported.
    pub is_sampled: bool,
    /// `tracestate`, handed on as it came.
    pub state: Option<HeaderValue>,
}

impl RemoteContext {
    /// Reads the headers of a request. What is malformed counts as absent (section 4.3).
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(TRACEPARENT).iter();
        let (line, None) = (lines.next()?, lines.next()) else { return None };
        let (trace_id, span_id, flags) = parse(line.to_str().ok()?)?;
        Some(Self { trace_id, span_id, is_sampled: flags & SAMPLED != 0, state: state(headers) })
    }
}

impl TraceContext {
    /// Writes the headers of a request to another process, in place of those that it has.
    pub fn write(&self, headers: &mut HeaderMap) {
        headers.remove(TRACESTATE);
        let parent = format!("00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.is_sampled));
        if let Ok(parent) = HeaderValue::try_from(parent) {
            headers.insert(TRACEPARENT, parent);
        }
        if let Some(state) = &self.state {
            headers.insert(TRACESTATE, state.clone());
        }
    }
}

/// Trace id, parent id and flags of a `traceparent` (section 3.2). Newer versions begin as this one.
fn parse(text: &str) -> Option<(u128, u64, u8)> {
    let mut fields = text.splitn(5, '-');
    let (version, trace, parent, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let version = u8::try_from(number(version, 2)?).ok()?;
    if version == 0xff || (version == 0 && fields.next().is_some()) {
        return None;
    }
    let (trace, parent) = (number(trace, 32)?, u64::try_from(number(parent, 16)?).ok()?);
    let flags = u8::try_from(number(flags, 2)?).ok()?;
    (trace != 0 && parent != 0).then_some((trace, parent, flags))
}

/// A number of so many digits, in lower case as the specification has them.
fn number(text: &str, digits: usize) -> Option<u128> {
    let is_hex = text.len() == digits && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if is_hex { u128::from_str_radix(text, 16).ok() } else { None }
}

/// The lines of `tracestate` as one. If a member is malformed, all of them are dropped (section 3.3.1.1).
fn state(headers: &HeaderMap) -> Option<HeaderValue> {
    let lines: Vec<&[u8]> = headers.get_all(TRACESTATE).iter().map(HeaderValue::as_bytes).collect();
    let joined = lines.join(&b","[..]);
    let is_valid = std::str::from_utf8(&joined).is_ok_and(is_list);
    HeaderValue::try_from(joined).ok().filter(|state| !state.is_empty() && state.len() <= MAX_STATE && is_valid)
}

/// Whether a text is a list of members with keys of their own, of which some may be empty (section 3.3.1).
fn is_list(text: &str) -> bool {
    let mut keys = BTreeSet::new();
    let members = text.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty());
    let mut members = members.map(|member| member.split_once('='));
    let is_each_valid =
        members.all(|member| member.is_some_and(|(key, value)| is_key(key) && is_value(value) && keys.insert(key)));
    is_each_valid && keys.len() <= MAX_MEMBERS
}

/// Whether a text is a key: a system's name, or a tenant's and a system's (section 3.3.1.3.1).
fn is_key(text: &str) -> bool {
    let is_name = |text: &str, longest: usize, is_first: fn(u8) -> bool| {
        text.len() <= longest
            && text.bytes().next().is_some_and(is_first)
            && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'))
    };
    let is_letter = |byte: u8| byte.is_ascii_lowercase();
    match text.split_once('@') {
        None => is_name(text, 256, is_letter),
        Some((tenant, system)) => {
            is_name(tenant, 241, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) && is_name(system, 14, is_letter)
        }
    }
}

/// Whether a text is a value (section 3.3.1.3.2). Spaces behind it are none of its own.
fn is_value(text: &str) -> bool {
    (1..=256).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(lines: &[(&'static str, &str)]) -> Option<RemoteContext> {
        RemoteContext::read(&lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect())
    }

    #[test]
    fn a_span_of_another_process_is_read() {
        let context = read(&[("traceparent", GOOD), ("tracestate", "a=1"), ("tracestate", "b=2")]).unwrap();
        assert_eq!((context.trace_id, context.span_id), (0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, 0xb7ad_6b71_6920_3331));
        assert_eq!((context.is_sampled, context.state.unwrap().to_str().unwrap()), (true, "a=1,b=2"));
        assert!(!read(&[("traceparent", &GOOD.replace("-01", "-00"))]).unwrap().is_sampled);
        let newer = format!("{}-more", GOOD.replacen("00-", "cc-", 1));
        assert!(read(&[("traceparent", &newer)]).is_some(), "a newer version begins as this one");
    }

    #[test]
    fn a_state_is_handed_on_as_a_whole_or_not_at_all() {
        let members = |count: usize| (0..count).map(|index| format!("k{index}=v")).collect::<Vec<_>>().join(",");
        let state = |text: &str| read(&[("traceparent", GOOD), ("tracestate", text)]).unwrap().state;
        for whole in [
            "a=1",
            "congo=t61rcWkgMzE, rojo=00f067aa0ba902b7",
            "a=1,,\tb=2 ,",
            "2tenant@system=x y",
            "a_-*/9=!~",
            &members(32),
            &format!("{}=v", "x".repeat(256)),
        ] {
            assert_eq!(state(whole).unwrap(), *whole, "{whole}");
        }
        for wrong in [
            "a",
            "a=",
            "=1",
            "A=1",
            "9a=1",
            "a=1=2",
            "a b=1",
            "a =1",
            "foo@=1",
            "@foo=1",
            "t@s@u=1",
            "tenant@abcdefghijklmno=1",
            "foo=1,bar=3,foo=2",
            "a=\u{e9}",
            &members(33),
            &format!("{}=v", "x".repeat(257)),
            &format!("a={}", "x".repeat(257)),
            &format!("a={0},b={0}", "x".repeat(255)),
        ] {
            assert_eq!(state(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_malformed_is_no_trace() {
        for wrong in [
            "",
            "00",
            &GOOD.to_uppercase(),
            &GOOD.replacen("00-", "ff-", 1),
            &format!("{GOOD}-more"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-+7ad6b7169203331-01",
        ] {
            assert_eq!(read(&[("traceparent", wrong)]), None, "{wrong}");
        }
        assert_eq!(read(&[("traceparent", GOOD), ("traceparent", GOOD)]), None, "two of them");
    }

    #[test]
    fn what_is_written_takes_the_place_of_what_came_and_is_read_as_it_is() {
        let mut headers: HeaderMap = [("traceparent", GOOD), ("tracestate", "their=1")]
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .into_iter()
            .collect();
        let context = TraceContext { trace_id: 7, span_id: 9, parent_id: None, is_sampled: false, state: None };
        context.write(&mut headers);
        assert_eq!(headers.get_all("traceparent").iter().count(), 1);
        let again = RemoteContext { trace_id: 7, span_id: 9, is_sampled: false, state: None };
        assert_eq!(RemoteContext::read(&headers), Some(again));
        assert_eq!(headers["traceparent"], "00-00000000000000000000000000000007-0000000000000009-00");
    }
}
