//! Bodies that nobody takes, beside others on the same connection.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;

use crate::{
    harness::{
        World,
        eventually::{in_time, stands_still},
        wire::app,
    },
    protocols::{Body, http2, whole},
};

#[tokio::test]
async fn a_body_that_an_app_does_not_take_holds_up_no_other_request_of_its_connection() {
    let slow = app(|stream| async move {
        let service = service_fn(|request: Request<Incoming>| async move {
            if request.uri().path() == "/stalls" {
                std::future::pending::<()>().await;
            }
            let taken = request.into_body().collect().await.unwrap().to_bytes().len();
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(taken.to_string()))))
        });
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
    })
    .await;
    let routes = move |_: &str| format!("[[route]]\npath = \"/\"\nrule = \"public\"\nupstream = \"http://{slow}\"\n");
    let world = World::build().routes(routes).start().await;
    let connection = http2(world.address()).await;
    let post = async |path: &str, body: Body| {
        let mut connection = connection.clone();
        connection.ready().await.unwrap();
        let request = Request::post(format!("http://app.test{path}")).body(body).unwrap();
        connection.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes()
    };
    let taken = Arc::new(AtomicUsize::new(0));
    let uploads: Vec<_> = (0..2)
        .map(|_| {
            let counted = Arc::clone(&taken);
            let endless = futures_util::stream::repeat_with(move || {
                counted.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0; 16 * 1024])))
            });
            let mut connection = connection.clone();
            let request = Request::post("http://app.test/stalls").body(BodyExt::boxed(StreamBody::new(endless))).unwrap();
            tokio::spawn(async move { connection.send_request(request).await })
        })
        .collect();
    // Nothing more is taken of the uploads.
    stands_still(|| taken.load(Ordering::Relaxed)).await;
    assert_eq!(in_time("another body passes", post("/", whole("ten bytes."))).await, "10");
    uploads.iter().for_each(tokio::task::JoinHandle::abort);
}
