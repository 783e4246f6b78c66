//! Takes the browser that comes back to an address of this machine.

use std::{convert::Infallible, io, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use url::{Url, form_urlencoded};

/// The listener at the redirect URI. It goes when this is dropped.
pub(super) struct Callback {
    queries: mpsc::Receiver<String>,
    port: u16,
    accepting: JoinSet<()>,
}

impl Callback {
    /// Listens on each loopback address of the redirect URI's host. A browser that comes back is shown `page`, which is HTML.
    ///
    /// # Errors
    /// None of them can be listened on.
    pub(super) async fn listen(redirect: &Url, page: &'static str) -> io::Result<Self> {
        let path: Arc<str> = redirect.path().into();
        let (sender, queries) = mpsc::channel(1);
        let (mut accepting, mut refusal) = (JoinSet::new(), io::Error::from(io::ErrorKind::AddrNotAvailable));
        let mut port = 0;
        for address in redirect.socket_addrs(|| None)?.into_iter().filter(|address| address.ip().is_loopback()) {
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    port = listener.local_addr()?.port();
                    accepting.spawn(accept(listener, Arc::clone(&path), page, sender.clone()));
                }
                Err(error) => refusal = error,
            }
        }
        if accepting.is_empty() { Err(refusal) } else { Ok(Self { queries, port, accepting }) }
    }

    /// Listens no more, so that another one can.
    pub(super) async fn close(mut self) {
        self.accepting.shutdown().await;
    }

    /// The port that it listens on.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The query of the next browser that comes back with this `state`. Others may be left over from another login.
    pub(super) async fn comes_back(&mut self, state: Option<&str>) -> String {
        loop {
            match self.queries.recv().await {
                Some(query) if has_state(&query, state) => return query,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }
}

fn has_state(query: &str, state: Option<&str>) -> bool {
    state.is_some() && form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "state" && Some(&*value) == state)
}

async fn accept(listener: TcpListener, path: Arc<str>, page: &'static str, queries: mpsc::Sender<String>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&path), page, queries.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, path: Arc<str>, page: &'static str, queries: mpsc::Sender<String>) {
    let service = service_fn(|request| respond(request, &path, page, &queries));
    let connection = hyper::server::conn::http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
    // A browser that goes away early has still delivered its query.
    let _closed = connection.await;
}

async fn respond(
    request: Request<Incoming>,
    path: &str,
    page: &'static str,
    queries: &mpsc::Sender<String>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let query = request.uri().query().filter(|_| request.uri().path() == path);
    let Some(query) = query else {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    };
    let _nobody_waits = queries.send(query.to_owned()).await;
    let mut response = Response::new(Full::from(page));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/html; charset=utf-8"));
    response.headers_mut().insert(header::REFERRER_POLICY, header::HeaderValue::from_static("no-referrer"));
    Ok(response)
}
