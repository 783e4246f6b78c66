//! A connection of HTTP/2 that is to make room for another.

use tokio::sync::Mutex;

use super::*;

impl Served {
    /// The same, whose client receives nothing while the lock is held.
    fn held_back(self) -> (Self, Arc<Mutex<()>>) {
        let (client, ours) = duplex(1024);
        let gate = Arc::<Mutex<()>>::default();
        let (opened, (mut from_client, mut to_client)) = (Arc::clone(&gate), tokio::io::split(ours));
        let (mut from_server, mut to_server) = tokio::io::split(self.client);
        tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
        tokio::spawn(async move {
            let mut some = [0; 1024];
            while let Ok(read @ 1..) = from_server.read(&mut some).await {
                let _open = opened.lock().await;
                to_client.write_all(&some[..read]).await.unwrap();
            }
        });
        (Self { client, ..self }, gate)
    }
}

#[tokio::test(start_paused = true)]
async fn an_evicted_connection_of_http_2_is_told_and_finishes_what_it_has_begun() {
    let (served, gate) = serve(b"served").held_back();
    let (requests, activity) = (Arc::clone(&served.requests), Arc::clone(&served.activity));
    let (mut sender, task) = served.http2().await;
    sender.send_request(request("/")).await.unwrap();
    let not_told = gate.lock().await;
    activity.evict();
    sleep(SECOND / 10).await;
    let answer = tokio::spawn(async move { sender.send_request(request("/5")).await.map(|answer| answer.status()) });
    while requests.load(Ordering::Relaxed) < 2 {
        sleep(SECOND / 100).await;
    }
    drop(not_told);
    assert!(answer.await.unwrap().unwrap().is_success());
    timeout(SECOND, task).await.expect("and then it ends").unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_evicted_connection_of_http_2_whose_client_says_nothing_is_not_waited_for() {
    let (served, gate) = serve(b"served").held_back();
    let activity = Arc::clone(&served.activity);
    let (mut sender, task) = served.http2().await;
    sender.send_request(request("/")).await.unwrap();
    let _not_told = gate.lock().await;
    activity.evict();
    timeout(SECOND * 3, task).await.expect("it has an end").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_response_whose_end_waits_in_h2_is_not_cut_for_another_connection() {
    let served = serve(b"more than ten bytes");
    let (activity, client) = (Arc::clone(&served.activity), TokioIo::new(served.client));
    let (mut sender, driven) =
        http2::Builder::new(TokioExecutor::new()).initial_stream_window_size(10).handshake(client).await.unwrap();
    tokio::spawn(driven);
    let response = sender.send_request(request("/")).await.unwrap();
    activity.evict();
    sleep(SECOND * 10).await;
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "more than ten bytes");
    assert!(!served.task.is_finished());
}
