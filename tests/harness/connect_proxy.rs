//! A forward proxy that opens tunnels (CONNECT), and notes who asked for one.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use base64::prelude::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub struct ConnectProxy {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ConnectProxy {
    /// One that lets everybody through, or those alone who have this name and password.
    pub async fn start(credentials: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let (seen, expected) = (Arc::clone(&asked), credentials.map(|text| format!("Basic {}", BASE64_STANDARD.encode(text))));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (seen, expected) = (Arc::clone(&seen), expected.clone());
                tokio::spawn(async move { tunnel(client, &seen, expected.as_deref()).await });
            }
        });
        Self { address, asked }
    }

    /// To where it was asked for tunnels.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn tunnel(mut client: TcpStream, seen: &Mutex<Vec<String>>, expected: Option<&str>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let target = lines.next()?.strip_prefix("CONNECT ")?.strip_suffix(" HTTP/1.1")?.to_owned();
    let authorization =
        lines.find_map(|line| line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("proxy-authorization")));
    seen.lock().unwrap().push(target.clone());
    if expected.is_some() && authorization.map(|(_, value)| value) != expected {
        let refused = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\ncontent-length: 0\r\n\r\n";
        return client.write_all(refused).await.ok();
    }
    let mut server = TcpStream::connect(&target).await.ok()?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await.ok().map(drop)
}
