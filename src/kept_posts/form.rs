//! Which forms are kept, and the names of their fields. Pure.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, header};
use url::form_urlencoded;

/// How a form is encoded (HTML section 4.10.21.8). What is sent again has a `Content-Type` that is made from this, and not the line that
/// came. `text/plain` is none: no app reads its fields for certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormType {
    /// `application/x-www-form-urlencoded`.
    UrlEncoded,
    /// `multipart/form-data`, with this boundary, which may carry files.
    Multipart(String),
}

/// RFC 2046 section 5.1.1.
const MAX_BOUNDARY_LEN: usize = 70;
/// How much of a part's head is read.
const MAX_PART_HEAD_LEN: usize = 4096;

impl FormType {
    /// The encoding that the head of a request names, once, if it is one that is kept.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(header::CONTENT_TYPE).iter();
        let (line, None) = (lines.next()?.to_str().ok()?, lines.next()) else { return None };
        if headers.contains_key(header::CONTENT_ENCODING) {
            return None;
        }
        let (kind, parameters) = line.split_once(';').unwrap_or((line, ""));
        let (kind, parameters) = (kind.trim().to_ascii_lowercase(), parameters.trim());
        match kind.as_str() {
            "application/x-www-form-urlencoded" if parameters.is_empty() || parameters.eq_ignore_ascii_case("charset=utf-8") => {
                Some(Self::UrlEncoded)
            }
            "multipart/form-data" => Self::multipart(parameters.strip_prefix("boundary=")?),
            _ => None,
        }
    }

    /// With this boundary, if it is one as browsers make them.
    pub(super) fn multipart(boundary: &str) -> Option<Self> {
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'\'' | b'+' | b'.');
        let is_one = (1..=MAX_BOUNDARY_LEN).contains(&boundary.len()) && boundary.bytes().all(is_fit);
        is_one.then(|| Self::Multipart(boundary.to_owned()))
    }

    /// The `Content-Type`.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        match self {
            Self::UrlEncoded => Some(HeaderValue::from_static("application/x-www-form-urlencoded")),
            Self::Multipart(boundary) => HeaderValue::try_from(format!("multipart/form-data; boundary={boundary}")).ok(),
        }
    }

    /// The names of a body's fields, each once, in their order. Values are not looked at.
    pub(super) fn field_names(&self, body: &[u8]) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let mut add = |name: Cow<'_, str>| {
            if !name.is_empty() && !names.iter().any(|known| *known == name) && names.len() < MAX_NAMES {
                names.push(name.into_owned());
            }
        };
        match self {
            Self::UrlEncoded => form_urlencoded::parse(body).for_each(|(name, _)| add(name)),
            Self::Multipart(boundary) => part_names(boundary, body, |name| add(Cow::Owned(name))),
        }
        names
    }
}

/// How many names are told apart.
const MAX_NAMES: usize = 100;

/// Calls `add` with the name of each part (RFC 7578 section 4.2), as browsers write it: in quotation marks, which are `%22` within.
fn part_names(boundary: &str, body: &[u8], mut add: impl FnMut(String)) {
    let delimiter = format!("--{boundary}");
    let mut rest = body;
    while let Some(at) = position(rest, delimiter.as_bytes()) {
        rest = rest.get(at.saturating_add(delimiter.len())..).unwrap_or_default();
        let head = rest.get(..MAX_PART_HEAD_LEN.min(rest.len())).unwrap_or_default();
        let Some(end) = position(head, b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(head.get(..end).unwrap_or_default());
        let named = head.lines().filter(|line| line.to_ascii_lowercase().starts_with("content-disposition:")).find_map(|line| {
            let (_, name) = line.split_once("; name=\"")?;
            name.split('"').next()
        });
        if let Some(name) = named {
            add(name.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n"));
        }
    }
}

fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[(&'static str, &str)]) -> Option<FormType> {
        let lines = lines.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value);
        }
        FormType::of(&headers)
    }

    #[test]
    fn a_form_is_kept_with_a_content_type_of_ours() {
        let url = "application/x-www-form-urlencoded";
        for own in [url, "Application/X-WWW-Form-Urlencoded", "application/x-www-form-urlencoded;charset=UTF-8"] {
            let form = of(&[("content-type", own)]).unwrap();
            assert_eq!(form.header().unwrap(), url, "{own}");
        }
        let multipart = "multipart/form-data; boundary=----WebKitFormBoundaryA1b2";
        assert_eq!(of(&[("content-type", multipart)]).unwrap().header().unwrap(), multipart);
        let long = format!("multipart/form-data; boundary={}", "a".repeat(71));
        for other in [
            "text/plain",
            "application/json",
            "",
            "application/x-www-form-urlencoded; charset=utf-16",
            "application/x-www-form-urlencoded, text/html",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=\"a b\"",
            "multipart/form-data; boundary=a; x=y",
            "multipart/mixed; boundary=a",
            &long,
        ] {
            assert_eq!(of(&[("content-type", other)]), None, "{other:?}");
        }
        assert_eq!(of(&[("content-type", url), ("content-type", url)]), None);
        assert_eq!(of(&[("content-type", url), ("content-encoding", "gzip")]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn the_names_of_fields_are_told_and_no_value() {
        let names = FormType::UrlEncoded.field_names(b"title=a&password=secret&title=b&=x&x%3Cy=%00&flag");
        assert_eq!(names, ["title", "password", "x<y", "flag"]);
        let body = "--B\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nname=\"not\"\r\n\
            --B\r\ncontent-disposition: form-data; name=\"a %22file%22\"; filename=\"name.txt\"\r\nContent-Type: text/plain\r\n\r\n\
            secret\r\n--B--\r\n";
        assert_eq!(FormType::Multipart("B".into()).field_names(body.as_bytes()), ["title", "a \"file\""]);
        for odd in ["", "--B", "--B\r\n\r\n", "--B\r\nContent-Disposition: form-data\r\n\r\nx", "--B\r\nX: y; name=\"z\"\r\n\r\n"]
        {
            assert!(FormType::Multipart("B".into()).field_names(odd.as_bytes()).is_empty(), "{odd:?}");
        }
        let many: String = (0..1000).map(|number| format!("f{number}=1&")).collect();
        assert_eq!(FormType::UrlEncoded.field_names(many.as_bytes()).len(), MAX_NAMES);
    }
}
