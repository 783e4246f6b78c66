//! HTTP/2 frame by frame (RFC 9113), for what no library would send, or would tell of what it got.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// One field in HPACK, without a table or Huffman's code.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0x10];
    for text in [name, value] {
        // An integer with a prefix of seven bits (RFC 7541 section 5.1).
        let mut length = text.len();
        if length < 127 {
            bytes.push(u8::try_from(length).unwrap());
        } else {
            bytes.push(127);
            length -= 127;
            while length >= 128 {
                bytes.push(u8::try_from(length % 128).unwrap() | 128);
                length /= 128;
            }
            bytes.push(u8::try_from(length).unwrap());
        }
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// A frame that came.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A connection.
pub struct Frames {
    stream: TcpStream,
    /// So many pings came, and were answered.
    pub pings: usize,
}

impl Frames {
    /// Takes one that a client has opened, by prior knowledge.
    pub async fn accept(mut stream: TcpStream) -> Option<Self> {
        let mut preface = [0; PREFACE.len()];
        stream.read_exact(&mut preface).await.ok()?;
        assert_eq!(preface, PREFACE);
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.ok()?;
        Some(Self { stream, pings: 0 })
    }

    /// Opens one.
    pub async fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
        Self { stream, pings: 0 }
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) -> Option<()> {
        self.stream.write_all(bytes).await.ok()
    }

    /// Asks for a path.
    pub async fn ask(&mut self, stream: u32, cookie: &str, path: &str, fields: &[(&str, &str)]) {
        let mut block = Vec::new();
        let method = if fields.iter().any(|(name, _)| *name == "content-type") { "POST" } else { "GET" };
        for (name, value) in [(":method", method), (":scheme", "http"), (":authority", "app.test"), (":path", path)] {
            block.extend(field(name, value));
        }
        block.extend(field("cookie", cookie));
        block.extend(fields.iter().flat_map(|(name, value)| field(name, value)));
        self.send(&frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)).await.unwrap();
    }

    /// The next frame that is not about the connection; settings and pings are answered.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let [a, b, c, kind, flags, ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.stream.read_exact(&mut payload).await.ok()?;
            match (kind, flags & ACK) {
                (SETTINGS, 0) => self.send(&frame(SETTINGS, ACK, 0, &[])).await?,
                (PING, 0) => {
                    self.pings += 1;
                    self.send(&frame(PING, ACK, 0, &payload)).await?;
                }
                (SETTINGS | PING, _) => {}
                _ => {
                    let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
                    return Some(Frame { kind, flags, stream, payload });
                }
            }
        }
    }

    /// The stream of the next request.
    pub async fn next_request(&mut self) -> Option<u32> {
        loop {
            let next = self.next().await?;
            if next.kind == HEADERS {
                return Some(next.stream);
            }
        }
    }

    /// The code by which a stream is reset.
    pub async fn reset_of(&mut self, stream: u32) -> u32 {
        loop {
            let next = self.next().await.expect("a reset, not the connection's end");
            if next.kind == RST_STREAM && next.stream == stream {
                return u32::from_be_bytes(next.payload.try_into().unwrap());
            }
            assert!(next.kind != DATA || next.flags & END_STREAM == 0, "it is not whole");
        }
    }
}
