//! Apps that send more than one response to a request: what is left over of one user's is read as nobody else's.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::Method;
use tokio::io::AsyncWriteExt;

use crate::harness::{
    World,
    eventually::eventually,
    logs::lines_with,
    visitor::Reply,
    wire::{app, read_head},
};

const MINE: &str = "HTTP/1.1 200 OK\r\nx-upstream: 1\r\ncontent-length: 4\r\n\r\nmine";
const LEFT_OVER: &str = "HTTP/1.1 200 OK\r\nx-upstream: 1\r\nset-cookie: sid=another's\r\ncontent-length: 4\r\n\r\nevil";

/// What an app answers to a target, and when it sends what it has left over.
#[derive(Clone, Copy, Debug)]
enum LeftOver {
    /// Never: it has nothing.
    Nothing,
    /// With the answer.
    AtOnce,
    /// Behind the answer.
    Behind,
    /// When the next request has come, which is the worst moment.
    BeforeTheNext,
}

fn answer(head: &str) -> (&'static str, LeftOver) {
    let target = head.split(' ').nth(1).unwrap();
    match target {
        "/head" => ("HTTP/1.1 200 OK\r\nx-upstream: 1\r\ncontent-length: 90\r\n\r\n", LeftOver::BeforeTheNext),
        "/head-alone" => ("HTTP/1.1 200 OK\r\nx-upstream: 1\r\n\r\n", LeftOver::BeforeTheNext),
        "/204" => ("HTTP/1.1 204 No Content\r\nx-upstream: 1\r\ncontent-length: 90\r\n\r\n", LeftOver::BeforeTheNext),
        "/204-chunked" => {
            ("HTTP/1.1 204 No Content\r\nx-upstream: 1\r\ntransfer-encoding: chunked\r\n\r\n", LeftOver::BeforeTheNext)
        }
        "/304" => ("HTTP/1.1 304 Not Modified\r\nx-upstream: 1\r\ncontent-length: 90\r\n\r\n", LeftOver::BeforeTheNext),
        "/204-plain" => ("HTTP/1.1 204 No Content\r\nx-upstream: 1\r\n\r\n", LeftOver::Nothing),
        "/204-zero" => ("HTTP/1.1 204 No Content\r\nx-upstream: 1\r\ncontent-length: 0\r\n\r\n", LeftOver::Nothing),
        "/304-plain" => ("HTTP/1.1 304 Not Modified\r\nx-upstream: 1\r\netag: \"1\"\r\n\r\n", LeftOver::Nothing),
        "/at-once" => (MINE, LeftOver::AtOnce),
        "/behind" => (MINE, LeftOver::Behind),
        _ => (MINE, LeftOver::Nothing),
    }
}

/// Such an app; counts its connections.
async fn surplus_app() -> (SocketAddr, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let address = app(move |mut stream| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            let mut waits = false;
            while let Some((head, _)) = read_head(&mut stream).await {
                let (answer, left_over) = answer(&head);
                let pieces = match (waits, left_over) {
                    (true, _) => vec![LEFT_OVER.to_owned(), answer.to_owned()],
                    (false, LeftOver::AtOnce) => vec![format!("{answer}{LEFT_OVER}")],
                    (false, LeftOver::Behind) => vec![answer.to_owned(), LEFT_OVER.to_owned()],
                    (false, LeftOver::Nothing | LeftOver::BeforeTheNext) => vec![answer.to_owned()],
                };
                waits = matches!(left_over, LeftOver::BeforeTheNext);
                for piece in pieces {
                    let _gone = stream.write_all(piece.as_bytes()).await;
                }
            }
        }
    })
    .await;
    (address, connections)
}

fn is_mine(reply: &Reply) -> bool {
    reply.text() == "mine" && reply.set_cookies().is_empty()
}

#[tokio::test]
async fn what_an_app_sends_behind_a_head_that_ends_its_response_is_not_the_next_user_s() {
    let (address, connections) = surplus_app().await;
    let world = World::build().set("upstream_url", &format!("http://{address}")).start().await;
    let (one, other) = (world.signed_in().await, world.signed_in().await);
    for (method, target) in [
        (Method::HEAD, "/head"),
        (Method::HEAD, "/head-alone"),
        (Method::GET, "/204"),
        (Method::DELETE, "/204"),
        (Method::GET, "/204-chunked"),
        (Method::GET, "/304"),
    ] {
        assert!(one.send(method.clone(), target, &[("sec-fetch-site", "same-origin")], "").await.is_upstreams(), "{target}");
        let reply = other.get("/mine").await;
        assert!(is_mine(&reply), "{method} {target}: {}", reply.text());
    }
    // Where nothing is announced, nothing follows.
    let before = connections.load(Ordering::Relaxed);
    for target in ["/204-plain", "/204-zero", "/304-plain", "/mine"] {
        assert!(one.get(target).await.is_upstreams(), "{target}");
    }
    assert_eq!(connections.load(Ordering::Relaxed), before, "the connection is used again");
    assert!(lines_with(&["sends more than its responses say", &address.to_string()]).is_empty());
}

#[tokio::test]
async fn an_app_that_sends_more_than_it_says_is_asked_once_on_each_connection() {
    for target in ["/at-once", "/behind"] {
        let (address, connections) = surplus_app().await;
        let world = World::build().set("upstream_url", &format!("http://{address}")).start().await;
        let (one, other) = (world.signed_in().await, world.signed_in().await);
        assert!(is_mine(&one.get(target).await), "{target}");
        let warned = ["sends more than its responses say", &address.to_string()];
        eventually("the surplus is found", async || lines_with(&warned).len() == 1).await;
        let before = connections.load(Ordering::Relaxed);
        for asked in 1..=4 {
            assert!(is_mine(&other.get("/mine").await), "{target}");
            assert_eq!(connections.load(Ordering::Relaxed) - before, asked, "{target}");
            // Each time again.
            assert!(is_mine(&one.get("/at-once").await));
            connections.fetch_sub(1, Ordering::Relaxed);
        }
        assert_eq!(lines_with(&warned).len(), 1, "it is said once");
    }
}

#[tokio::test]
async fn a_connection_is_not_used_again_before_it_has_been_idle_for_a_moment() {
    let (address, connections) = surplus_app().await;
    let world = World::build()
        .set("upstream_url", &format!("http://{address}"))
        .timed(|timings| timings.upstream_min_idle = Duration::from_secs(3600))
        .start()
        .await;
    let visitor = world.signed_in().await;
    let before = connections.load(Ordering::Relaxed);
    for asked in 1..=3 {
        assert!(is_mine(&visitor.get("/mine").await));
        assert_eq!(connections.load(Ordering::Relaxed) - before, asked);
    }
}
