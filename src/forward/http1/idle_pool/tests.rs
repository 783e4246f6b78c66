use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use super::{super::transport::Transport, *};

const SECOND: Duration = Duration::from_secs(1);

fn connection(stream: UnixStream) -> Box<Connection> {
    Box::new(Connection::new(Transport::Unix(stream)))
}

fn checkout(pool: &IdlePool) -> Option<Box<Connection>> {
    pool.checkout(OnClose::Repeat)
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_idle_for_no_longer_than_it_may() {
    let pool = IdlePool::default();
    let (client, mut server) = UnixStream::pair().unwrap();
    pool.release(connection(client), 4 * SECOND);
    tokio::time::advance(3 * SECOND).await;
    pool.reap();
    let idle = checkout(&pool).expect("it is still there");
    pool.release(idle, 4 * SECOND);
    tokio::time::advance(3 * SECOND).await;
    let idle = checkout(&pool).expect("its time begins anew with each release");
    pool.release(idle, 4 * SECOND);
    tokio::time::advance(4 * SECOND).await;
    assert!(checkout(&pool).is_none(), "whether or not it was reaped");
    assert_eq!(server.read(&mut [0]).await.unwrap(), 0, "it is closed");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_always_in_use_has_an_end_all_the_same() {
    let pool = IdlePool::default();
    let (client, mut server) = UnixStream::pair().unwrap();
    let (mut idle, mut age) = (connection(client), Duration::ZERO);
    while age < MAX_AGE {
        pool.release(idle, 4 * SECOND);
        tokio::time::advance(SECOND).await;
        age += SECOND;
        idle = checkout(&pool).expect("it is young");
    }
    pool.release(idle, 4 * SECOND);
    assert!(checkout(&pool).is_none(), "the app's name may lead elsewhere by now");
    assert_eq!(server.read(&mut [0]).await.unwrap(), 0, "it is closed");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_uses_is_closed_by_the_reaper() {
    let pool = IdlePool::with_reaper(String::new(), Duration::ZERO);
    let (client, mut server) = UnixStream::pair().unwrap();
    pool.release(connection(client), 4 * SECOND);
    assert_eq!(server.read(&mut [0]).await.unwrap(), 0, "it is closed");
    assert!(pool.lock().connections.is_empty());
}

#[tokio::test(start_paused = true)]
async fn of_those_that_have_been_idle_for_a_moment_the_youngest_is_used() {
    let pool = IdlePool { min_idle: SECOND, ..IdlePool::default() };
    let (streams, _servers): (Vec<_>, Vec<_>) = [(); 3].map(|()| UnixStream::pair().unwrap()).into_iter().unzip();
    let addresses: Vec<_> = streams
        .into_iter()
        .map(|stream| {
            let connection = connection(stream);
            let address = std::ptr::from_ref(&*connection);
            pool.release(connection, 30 * SECOND);
            address
        })
        .collect();
    assert!(checkout(&pool).is_none(), "none of them has been idle");
    tokio::time::advance(SECOND).await;
    let youngest = checkout(&pool).unwrap();
    assert_eq!(std::ptr::from_ref(&*youngest), addresses[2]);
    pool.release(youngest, 30 * SECOND);
    let older = checkout(&pool).unwrap();
    assert_eq!(std::ptr::from_ref(&*older), addresses[1], "the youngest is too young again");
}

/// A pool with two connections, on one of which its server has done this.
async fn pool_after(server_does: impl AsyncFn(UnixStream) -> Option<UnixStream>) -> (IdlePool, Vec<UnixStream>) {
    let pool = IdlePool::default();
    let [(quiet, still_there), (heard, server)] = [(); 2].map(|()| UnixStream::pair().unwrap());
    let mut servers = vec![still_there];
    servers.extend(server_does(server).await);
    heard.readable().await.unwrap();
    for stream in [quiet, heard] {
        pool.release(connection(stream), 4 * SECOND);
    }
    (pool, servers)
}

async fn says(mut server: UnixStream, bytes: &[u8]) -> Option<UnixStream> {
    server.write_all(bytes).await.unwrap();
    Some(server)
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_unannounced_gets_no_request_on_an_idle_connection_that_would_be_lost() {
    let closes = async |server| {
        drop(server);
        None
    };
    let (pool, _servers) = pool_after(closes).await;
    assert!(pool.checkout(OnClose::Lose).is_none(), "the other may be closing as well");
    let quiet = pool.checkout(OnClose::Repeat).expect("what is repeated may try");
    pool.release(quiet, 100 * SECOND);
    tokio::time::advance(EARLY_CLOSE_MEMORY).await;
    assert!(pool.checkout(OnClose::Lose).is_some(), "it is forgotten");

    let (pool, _servers) = pool_after(closes).await;
    pool.reap();
    assert_eq!(pool.lock().connections.len(), 1);
    assert!(pool.checkout(OnClose::Lose).is_none(), "the reaper sees it as well");

    // Its announcement is no response to anything.
    let (pool, _servers) = pool_after(async |server| says(server, b"HTTP/1.1 408 Request Timeout\r\n\r\n").await).await;
    tokio::time::advance(MIN_SERVER_TIMEOUT).await;
    assert!(pool.checkout(OnClose::Repeat).is_some());
    assert!(pool.lock().distrusted_until.is_none());
    assert!(pool.lock().closes_early_until.is_some());

    // Nor is one closed too early that has been idle for as long as it may.
    let (pool, _servers) = pool_after(closes).await;
    tokio::time::advance(4 * SECOND).await;
    pool.reap();
    assert!(pool.lock().closes_early_until.is_none());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_of_a_server_that_sends_what_no_request_asked_for() {
    // An early 408 may be what an attacker had the server send behind a response.
    for surplus in [&b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..], b"x", b"HTTP/1.1 408 \r\n"] {
        for finds in [|pool: &IdlePool| assert!(checkout(pool).is_none()), IdlePool::reap] {
            let (pool, _servers) = pool_after(async |server| says(server, surplus).await).await;
            finds(&pool);
            assert!(pool.lock().connections.is_empty(), "the other may be as bad");
            let (client, _server) = UnixStream::pair().unwrap();
            pool.release(connection(client), 4 * SECOND);
            assert!(pool.lock().connections.is_empty());
            tokio::time::advance(DISTRUST).await;
            let (client, _server) = UnixStream::pair().unwrap();
            pool.release(connection(client), 4 * SECOND);
            assert!(checkout(&pool).is_some(), "it gets another chance");
        }
    }
}
