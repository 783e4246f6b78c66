//! Puts a script into HTML on its way to the client, without waiting for the page.
//!
//! Only what a browser is about to show as a page is touched, and of that only what is sent as it is (no `Content-Encoding`): for such a
//! page the app is asked for no other encoding. The script stands first in the head, before the scripts of the page.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use hyper::body::{Body, Frame};

/// A page's begin is kept back until it is known where its head begins, up to this size. A longer one stays as it is.
const LONGEST_PROLOGUE: usize = 16 * 1024;

/// What is put into pages: a script's element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injection(Bytes);

impl Injection {
    /// The element of the script at `path`, which has nothing that HTML would have escaped.
    pub fn script(path: &str) -> Self {
        Self(Bytes::from(format!("<script src=\"{path}\"></script>")))
    }

    /// Asks the app for a page that can be read.
    pub(super) fn ask(headers: &mut HeaderMap) {
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }

    /// Prepares the head of a successful response for the script, if it is a page that the script can be put into.
    pub(super) fn begin(&self, headers: &mut HeaderMap) -> Option<Injector> {
        let text = |name| headers.get(name).map(|value: &HeaderValue| value.as_bytes().to_ascii_lowercase());
        let content_type = text(header::CONTENT_TYPE)?;
        let is_html = content_type.split(|byte| *byte == b';').next().is_some_and(|kind| kind.trim_ascii() == b"text/html");
        let has = |text: &[u8], part: &[u8]| text.windows(part.len()).any(|window| window == part);
        // Every encoding that the web has is ASCII where markup is, but these.
        let is_ascii = !has(&content_type, b"utf-16") && !has(&content_type, b"utf-32");
        let is_encoded = text(header::CONTENT_ENCODING).is_some_and(|encoding| encoding.trim_ascii() != b"identity");
        // RFC 9111 section 5.2.2.6.
        let is_fixed = headers.get_all(header::CACHE_CONTROL).iter().any(|line| has(line.as_bytes(), b"no-transform"));
        // What is saved stays as the app has made it.
        let is_saved = text(header::CONTENT_DISPOSITION)
            .is_some_and(|disposition| disposition.trim_ascii_start().starts_with(b"attachment"));
        if !is_html || !is_ascii || is_encoded || is_fixed || is_saved {
            return None;
        }
        for name in [header::CONTENT_LENGTH, header::ACCEPT_RANGES] {
            headers.remove(name);
        }
        for name in ["content-md5", "digest", "content-digest", "repr-digest"] {
            headers.remove(name);
        }
        // It is another representation, of the same meaning (RFC 9110 section 8.8.1): conditional requests go on working.
        let weak = headers.get(header::ETAG).filter(|tag| tag.as_bytes().starts_with(b"\""));
        let weak = weak.and_then(|tag| HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()).ok());
        if let Some(tag) = weak {
            headers.insert(header::ETAG, tag);
        }
        Some(Injector { element: Some(self.0.clone()), held: BytesMut::new(), trailers: None })
    }
}

/// The script on its way into one page.
#[derive(Debug)]
pub(super) struct Injector {
    /// Until it has its place, or there is none.
    element: Option<Bytes>,
    /// The begin of the page.
    held: BytesMut,
    /// What follows what was kept back.
    trailers: Option<Frame<Bytes>>,
}

impl Injector {
    /// Polls the page that `body` is.
    pub(super) fn poll_frame<B: Body<Data = Bytes> + Unpin>(
        &mut self,
        body: &mut B,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(trailers) = self.trailers.take() {
            return Poll::Ready(Some(Ok(trailers)));
        }
        loop {
            let frame = match ready!(Pin::new(&mut *body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(self.end().map(|rest| Ok(Frame::data(rest)))),
            };
            match frame.into_data() {
                Ok(piece) => {
                    if let Some(piece) = self.pass(piece) {
                        return Poll::Ready(Some(Ok(Frame::data(piece))));
                    }
                }
                Err(trailers) => {
                    let Some(rest) = self.end() else { return Poll::Ready(Some(Ok(trailers))) };
                    self.trailers = Some(trailers);
                    return Poll::Ready(Some(Ok(Frame::data(rest))));
                }
            }
        }
    }

    /// Takes a piece of the page, and returns what can be sent; nothing as long as the place is not known.
    fn pass(&mut self, piece: Bytes) -> Option<Bytes> {
        let Some(element) = &self.element else { return Some(piece) };
        self.held.extend_from_slice(&piece);
        let at = match place(&self.held) {
            Place::At(at) => Some(at),
            Place::Later if self.held.len() <= LONGEST_PROLOGUE => return None,
            Place::Later | Place::Nowhere => None,
        };
        if let Some(at) = at {
            let rest = self.held.split_off(at);
            self.held.extend_from_slice(element);
            self.held.extend_from_slice(&rest);
        }
        self.element = None;
        Some(self.held.split().freeze())
    }

    /// What is left at the end of the page.
    fn end(&mut self) -> Option<Bytes> {
        self.element = None;
        (!self.held.is_empty()).then(|| self.held.split().freeze())
    }

    /// Whether a piece of the page is kept back.
    pub(super) fn holds_something(&self) -> bool {
        !self.held.is_empty() || self.trailers.is_some()
    }
}

/// Where the script belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    At(usize),
    /// It depends on what follows.
    Later,
    /// This is no whole page.
    Nowhere,
}

/// Finds the place in the begin of a page (HTML section 13.1): after the tag that opens the head, or before the first element if the
/// head has no tag.
fn place(page: &[u8]) -> Place {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    if BYTE_ORDER_MARK.starts_with(page) {
        return Place::Later;
    }
    let mut at = if page.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    loop {
        let rest = page.get(at..).unwrap_or_default();
        let blanks = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let (start, rest) = (at + blanks, rest.get(blanks..).unwrap_or_default());
        let (Some(first), second) = (rest.first(), rest.get(1)) else { return Place::Later };
        let length = match second {
            _ if *first != b'<' => return Place::Nowhere,
            None => None,
            Some(b'!') if rest.starts_with(b"<!--") => end_of_comment(rest),
            Some(b'!') if b"<!--".starts_with(rest) => None,
            Some(b'!' | b'?') => rest.iter().position(|byte| *byte == b'>').map(|end| end + 1),
            Some(letter) if letter.is_ascii_alphabetic() => {
                let name = rest.get(1..).unwrap_or_default();
                let name_end = name.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'));
                let name = name_end.and_then(|end| name.get(..end)).map(<[u8]>::to_ascii_lowercase);
                match (name.as_deref(), end_of_tag(rest)) {
                    (None, _) => None,
                    (Some(b"html"), end) => end,
                    (Some(b"head"), Some(end)) => return Place::At(start + end),
                    (Some(b"head"), None) => None,
                    (Some(_), _) => return Place::At(start),
                }
            }
            Some(_) => return Place::Nowhere,
        };
        match length {
            Some(length) => at = start + length,
            None => return Place::Later,
        }
    }
}

fn end_of_comment(comment: &[u8]) -> Option<usize> {
    let from = 4;
    let found = comment.get(from..)?.windows(3).position(|window| window == b"-->")?;
    Some(from + found + 3)
}

/// The length of a tag, in whose attributes a `>` may stand within quotes.
fn end_of_tag(tag: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in tag.iter().enumerate() {
        match (quote, *byte) {
            (None, b'>') => return Some(at + 1),
            (None, b'"' | b'\'') => quote = Some(*byte),
            (Some(open), close) if open == close => quote = None,
            (_, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "<script src=\"/s.js\"></script>";

    /// The page as it is sent, if it comes in these pieces.
    fn sent(pieces: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
        let mut injector = Injection::script("/s.js").begin(&mut headers).unwrap();
        let mut out: Vec<u8> = pieces.iter().filter_map(|piece| injector.pass(Bytes::copy_from_slice(piece))).flatten().collect();
        out.extend(injector.end().into_iter().flatten());
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn the_script_stands_first_in_the_head_however_the_page_comes() {
        for page in [
            "<!doctype html><html lang=\"en\"><head>|<title>a</title></head><body>b</body></html>",
            "<head data-x='>' a=\">\">|<script src=a></script>",
            "\u{feff} <!-- <head> -->\n<!DOCTYPE html>\r\n<HTML>\n<HEAD\n>|x",
            "<!doctype html>|<title>a</title>",
            "<html>|<body>a",
            "|<script>a</script>",
            "<html>|<header>a</header>",
            "<!--->-->|<p>a",
        ] {
            let (whole, expected) = (page.replace('|', ""), page.replace('|', TAG));
            assert_eq!(sent(&[whole.as_bytes()]), expected);
            for at in 1..whole.len() {
                let (one, other) = whole.as_bytes().split_at(at);
                assert_eq!(sent(&[one, other]), expected, "in two pieces, {at}");
            }
            let bytes: Vec<&[u8]> = whole.as_bytes().chunks(1).collect();
            assert_eq!(sent(&bytes), expected, "byte by byte");
        }
    }

    #[test]
    fn what_is_no_whole_page_stays_as_it_is() {
        let long = format!("<!-- {} --><head>", "a".repeat(2 * LONGEST_PROLOGUE));
        for page in ["", "text <b>a</b>", "</p>", "<", "<!-- a", "<html", "<3", "\u{0}<head>"] {
            assert_eq!(sent(&[page.as_bytes()]), page);
        }
        let pieces: Vec<&[u8]> = long.as_bytes().chunks(1000).collect();
        assert!(sent(&pieces) == long, "a begin that is too long is kept back no longer");
    }

    #[test]
    fn only_html_that_may_be_changed_and_can_be_read_is() {
        let begun = |lines: &[(&'static str, &'static str)]| {
            let lines = lines.iter().map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)));
            let mut headers: HeaderMap = lines.collect();
            Injection::script("/s.js").begin(&mut headers).map(|_| headers)
        };
        let html = ("content-type", "Text/HTML; charset=utf-8");
        for lines in [
            &[("content-type", "application/json")][..],
            &[("content-type", "text/html; charset=UTF-16")],
            &[html, ("content-encoding", "gzip")],
            &[html, ("cache-control", "max-age=1, no-transform")],
            &[html, ("content-disposition", "Attachment; filename=\"a.html\"")],
            &[("content-type", "text/html2")],
            &[],
        ] {
            assert_eq!(begun(lines), None, "{lines:?}");
        }
        let changed =
            begun(&[html, ("content-length", "9"), ("etag", "\"a\""), ("accept-ranges", "bytes"), ("x-app", "b")]).unwrap();
        assert_eq!((changed.get("content-length"), changed.get("accept-ranges")), (None, None));
        assert_eq!((&changed["etag"], &changed["x-app"]), (&HeaderValue::from_static("W/\"a\""), &HeaderValue::from_static("b")));
        assert_eq!(begun(&[html, ("etag", "W/\"a\"")]).unwrap()["etag"], "W/\"a\"");
    }
}
