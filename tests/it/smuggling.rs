//! Requests that two servers could read differently, as raw bytes: each has a stated answer, and the app, which reads strictly
//! what we write, never sees a request that we did not judge. `docs/data-plane.md` has the same table.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use futures_util::StreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{
    World,
    eventually::{in_time, settled},
    wire,
};

/// What a strict app makes of the bytes that it is sent.
#[derive(Clone, Default)]
struct StrictApp {
    /// `METHOD target body`, one a request.
    requests: Arc<Mutex<Vec<String>>>,
    /// What no request of ours may look like.
    complaints: Arc<Mutex<Vec<String>>>,
}

impl StrictApp {
    async fn start(&self) -> SocketAddr {
        let app = self.clone();
        wire::app(move |stream| {
            let app = app.clone();
            async move {
                let _ended = app.serve(stream).await;
            }
        })
        .await
    }

    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut bytes = Vec::new();
        loop {
            let head = loop {
                if let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
                    break bytes.drain(..end + 4).collect::<Vec<u8>>();
                }
                read_more(&mut stream, &mut bytes).await?;
            };
            let text = String::from_utf8_lossy(&head).into_owned();
            let lines: Vec<&str> = text.trim_end().split("\r\n").collect();
            let values = |wanted: &str| -> Vec<String> {
                let fields = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
                fields.filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim().to_owned()).collect()
            };
            let (lengths, codings, hosts) = (values("content-length"), values("transfer-encoding"), values("host"));
            if lengths.len() + codings.len() > 1 || hosts.len() != 1 || text.contains("\n ") || text.contains('\0') {
                self.complaints.lock().unwrap().push(text.clone());
            }
            if lines.iter().any(|line| line.contains(['\r', '\n'])) || codings.iter().any(|coding| coding != "chunked") {
                self.complaints.lock().unwrap().push(text.clone());
            }
            let body = match (lengths.first(), codings.is_empty()) {
                (Some(length), _) => {
                    let length = length.parse().unwrap();
                    while bytes.len() < length {
                        read_more(&mut stream, &mut bytes).await?;
                    }
                    bytes.drain(..length).collect()
                }
                (None, false) => chunks(&mut stream, &mut bytes).await?,
                (None, true) => Vec::new(),
            };
            let line = lines[0].trim_end_matches(" HTTP/1.1");
            self.requests.lock().unwrap().push(format!("{line} {}", String::from_utf8_lossy(&body)));
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.ok()?;
        }
    }
}

async fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 4096];
    let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
    bytes.extend_from_slice(&buffer[..read]);
    Some(())
}

async fn chunks(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = loop {
            match bytes.windows(2).position(|end| end == b"\r\n") {
                Some(end) => break end,
                None => read_more(stream, bytes).await?,
            }
        };
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).expect("a size and nothing else");
        while bytes.len() < end + 2 + size + 2 {
            read_more(stream, bytes).await?;
        }
        bytes.drain(..end + 2);
        body.extend(bytes.drain(..size));
        bytes.drain(..2);
        if size == 0 {
            return Some(body);
        }
    }
}

/// What is to come of a case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    /// An answer of this status, and the app sees nothing.
    Refused(u16),
    /// The connection ends by itself without an answer, and the app sees no whole request.
    Closed,
    /// The request never ends: nor does the app see a whole one, nor is there an answer when its client gives up.
    Unfinished,
    /// The app sees this one request.
    Passes(&'static str),
}

use Outcome::{Closed, Passes, Refused, Unfinished};

/// Name, request line and fields behind `Host` and `Cookie`, and outcome.
const CASES: &[(&str, &str, &str, Outcome)] = &[
    (
        "CL.TE",
        "POST /a",
        "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n",
        Passes("POST /a "),
    ),
    (
        "TE.CL",
        "POST /a",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGET /smuggled HTTP/1.1\r\n\r\n0\r\n\r\n",
        Unfinished,
    ),
    ("TE.0", "GET /a", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Passes("GET /a hello")),
    ("CL.0", "GET /a", "Content-Length: 5\r\n\r\nhello", Passes("GET /a hello")),
    ("two lengths", "POST /a", "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", Refused(400)),
    ("two equal lengths", "POST /a", "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", Passes("POST /a hello")),
    ("a list of lengths", "POST /a", "Content-Length: 5, 5\r\n\r\nhello", Refused(400)),
    ("a length with a sign", "POST /a", "Content-Length: +5\r\n\r\nhello", Refused(400)),
    ("a negative length", "POST /a", "Content-Length: -1\r\n\r\nhello", Refused(400)),
    ("a hexadecimal length", "POST /a", "Content-Length: 0x5\r\n\r\nhello", Refused(400)),
    ("a length beyond 64 bits", "POST /a", "Content-Length: 99999999999999999999\r\n\r\nhello", Refused(400)),
    ("an empty length", "POST /a", "Content-Length:\r\n\r\nhello", Refused(400)),
    ("an unknown coding", "POST /a", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("chunked is not last", "POST /a", "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", Refused(400)),
    ("chunked twice", "POST /a", "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    (
        "two codings' fields",
        "POST /a",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    ("another coding below chunked", "POST /a", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("a coding behind a tab", "POST /a", "Transfer-Encoding:\tchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Passes("POST /a hello")),
    ("a coding behind a vertical tab", "POST /a", "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("a name with a space before its colon", "POST /a", "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("a name with a space in front", "POST /a", " Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    (
        "a name with an underscore",
        "POST /a",
        "Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
        Passes("POST /a hello"),
    ),
    ("obs-fold", "POST /a", "X: a\r\n b: c\r\n\r\n", Refused(400)),
    ("obs-fold of a coding", "POST /a", "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("a name with a NUL", "POST /a", "X\0: a\r\n\r\n", Refused(400)),
    ("a value with a NUL", "POST /a", "X: a\0b\r\n\r\n", Refused(400)),
    ("a value with a bare CR", "GET /a", "X: a\rTransfer-Encoding: chunked\r\n\r\n", Refused(400)),
    ("a line without a colon", "GET /a", "nonsense\r\n\r\n", Refused(400)),
    ("an empty name", "GET /a", ": a\r\n\r\n", Refused(400)),
    ("lines that end with LF alone", "GET /a", "X: a\nY: b\n\n", Passes("GET /a ")),
    ("chunks that end with LF alone", "POST /a", "Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n", Closed),
    ("a chunk size that is none", "POST /a", "Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n", Closed),
    ("a chunk size with a sign", "POST /a", "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n", Closed),
    ("a chunk size of 0x5", "POST /a", "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", Closed),
    (
        "a chunk size beyond 64 bits",
        "POST /a",
        "Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
        Closed,
    ),
    ("a chunk extension", "POST /a", "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n", Passes("POST /a hello")),
    ("a chunk extension with a bare LF", "POST /a", "Transfer-Encoding: chunked\r\n\r\n5;a=\nb\r\nhello\r\n0\r\n\r\n", Closed),
    ("more in a chunk than it says", "POST /a", "Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n", Closed),
    (
        "a trailer with a length",
        "POST /a",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n",
        Passes("POST /a hello"),
    ),
    ("a second host", "GET /a", "Host: other.test\r\n\r\n", Refused(400)),
    (
        "a length that Connection lists",
        "POST /a",
        "Content-Length: 5\r\nConnection: close, Content-Length\r\n\r\nhello",
        Passes("POST /a hello"),
    ),
    ("another host in the target", "GET http://other.test/a", "\r\n", Refused(400)),
    ("the same host in the target", "GET http://app.test/a", "\r\n", Passes("GET /a ")),
    ("a target without a slash", "GET a", "\r\n", Refused(400)),
    ("an asterisk for a target", "OPTIONS *", "\r\n", Refused(400)),
    ("a target with a fragment", "GET /a#b", "\r\n", Refused(400)),
    ("a target with a space", "GET /a b", "\r\n", Refused(400)),
    ("a target with a control character", "GET /a\x01", "\r\n", Refused(400)),
    ("a lower-case method", "get /a", "\r\n", Passes("get /a ")),
    ("a method that is none", "G(T /a", "\r\n", Refused(400)),
    (
        "an upgrade to HTTP/2 in plain text",
        "GET /a",
        "Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        Passes("GET /a "),
    ),
];

#[tokio::test]
async fn every_odd_request_has_its_stated_answer_and_smuggles_nothing() {
    // Some at a time, because much of it is waiting.
    let verdicts = futures_util::stream::iter(CASES).map(|(name, line, rest, expected)| async move {
        let app = StrictApp::default();
        let address = app.start().await;
        let world = World::build().set("upstream_url", &format!("http://{address}")).start().await;
        let cookie = world.signed_in().await.cookie_header();
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        let head = format!("{line} HTTP/1.1\r\nHost: app.test\r\nCookie: {cookie}\r\n");
        let rest = if *rest == "\r\n" { "Connection: close\r\n\r\n" } else { rest };
        stream.write_all(format!("{head}{rest}").as_bytes()).await.unwrap();
        match expected {
            // Where the connection goes on, it ends after this request, and all that came of the odd one has come.
            Passes(_) | Refused(_) => {
                let last = format!("GET /last HTTP/1.1\r\nHost: app.test\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n");
                stream.write_all(last.as_bytes()).await.unwrap();
            }
            Unfinished => {
                settled().await;
                stream.shutdown().await.unwrap();
            }
            Closed => {}
        }
        let mut answer = Vec::new();
        let _closed_or_reset = in_time(name, stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (mut seen, complaints) = (app.requests.lock().unwrap().clone(), app.complaints.lock().unwrap().clone());
        let _it_went_on = seen.pop_if(|last| *last == "GET /last ");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
        let fits = match expected {
            Refused(expected) => status == Some(*expected) && seen.is_empty(),
            Closed | Unfinished => !answer.contains(" 200 ") && seen.is_empty(),
            Passes(expected) => status == Some(200) && seen == [*expected],
        };
        let is_wrong = !fits || !complaints.is_empty();
        is_wrong.then(|| format!("{name}: {status:?}, the app saw {seen:?} {complaints:?}, stated is {expected:?}\n"))
    });
    let wrong: Vec<String> = verdicts.buffer_unordered(8).filter_map(std::future::ready).collect().await;
    assert!(wrong.is_empty(), "\n{}", wrong.concat());
}
