//! The listener that apps' jobs ask at: a unix socket, or an address on loopback.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{caller::ReachedBy, components::AppTokens, settings::ListenAddress};
use crate::secret::{hex, random};

/// A listener that is bound.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    reached: ReachedBy,
}

#[derive(Debug)]
enum Socket {
    Unix { socket: UnixListener, _file: SocketFile },
    Tcp(TcpListener),
}

/// The file of a unix socket, which is removed when nobody listens any more.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: u64,
}

/// What is read and written.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// How many connections are served at the same time. Others wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 512;
/// How long a connection may be idle, or take for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection on which no request is being answered is looked at so often once Evergate stops, and then ends.
const STOP_GRACE: Duration = Duration::from_secs(1);
/// The longest head of a request in bytes, and the most header fields.
const MAX_HEAD: usize = 32 * 1024;
const MAX_HEADERS: usize = 64;
/// When the process is out of file descriptors, accepting again immediately would only burn time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl Listener {
    /// Binds an address. A socket that another process left behind, or still has, is replaced.
    ///
    /// # Errors
    /// The system's; what stands at the path of a unix socket is no socket.
    pub async fn bind(address: &ListenAddress) -> io::Result<Self> {
        match address {
            ListenAddress::Unix { path, mode } => {
                let (socket, file) = bind_unix(path, *mode)?;
                Ok(Self { socket: Socket::Unix { socket, _file: file }, reached: ReachedBy::Unix })
            }
            ListenAddress::Loopback(address) => {
                let socket = TcpListener::bind(address).await?;
                let reached = ReachedBy::Loopback(socket.local_addr()?);
                Ok(Self { socket: Socket::Tcp(socket), reached })
            }
        }
    }

    /// The address, on loopback.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.reached {
            ReachedBy::Unix => None,
            ReachedBy::Loopback(address) => Some(address),
        }
    }

    /// Serves connections until `stop`, then completes the requests in progress. `current` answers a request that arrives now.
    pub async fn serve(
        self,
        stop: CancellationToken,
        current: impl Fn() -> Option<Arc<AppTokens>> + Clone + Send + Sync + 'static,
    ) {
        let (connections, slots, reached) = (TaskTracker::new(), Arc::new(Semaphore::new(MAX_CONNECTIONS)), self.reached);
        let accept = || async {
            let slot = Arc::clone(&slots).acquire_owned().await.ok()?;
            Some((self.socket.accept().await, slot))
        };
        while let Some(Some((accepted, slot))) = stop.run_until_cancelled(accept()).await {
            let stream = match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection of an app's job");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (stop, current) = (stop.clone(), current.clone());
            connections.spawn(async move {
                serve_connection(stream, reached, &stop, current).await;
                drop(slot);
            });
        }
        drop(self.socket);
        connections.close();
        connections.wait().await;
    }
}

async fn serve_connection(
    stream: Box<dyn Stream>,
    reached: ReachedBy,
    stop: &CancellationToken,
    current: impl Fn() -> Option<Arc<AppTokens>> + Clone + Send + Sync + 'static,
) {
    let is_answering = Arc::new(AtomicBool::new(false));
    let answering = Arc::clone(&is_answering);
    let service = service_fn(move |request: Request<Incoming>| {
        let (current, answering) = (current(), Arc::clone(&answering));
        async move {
            answering.store(true, Ordering::Relaxed);
            let (head, _unread) = request.into_parts();
            // They are configured for as long as anybody listens.
            let app_tokens = current.ok_or_else(|| io::Error::other("nobody answers"))?;
            let response = app_tokens.answer(reached, &head).await;
            answering.store(false, Ordering::Relaxed);
            Ok::<_, io::Error>(response)
        }
    });
    let mut http1 = http1::Builder::new();
    http1.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD).max_headers(MAX_HEADERS);
    let mut connection = std::pin::pin!(http1.serve_connection(TokioIo::new(stream), service));
    let served = match stop.run_until_cancelled(connection.as_mut()).await {
        Some(served) => served,
        None => {
            connection.as_mut().graceful_shutdown();
            loop {
                match tokio::time::timeout(STOP_GRACE, connection.as_mut()).await {
                    Ok(served) => break served,
                    Err(_) if is_answering.load(Ordering::Relaxed) => {}
                    // A head that does not come holds nobody up.
                    Err(_) => return,
                }
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection of an app's job broke off");
    }
}

impl Socket {
    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Unix { socket, _file } => socket.accept().await.map(|(stream, _)| Box::new(stream) as Box<dyn Stream>),
            Self::Tcp(socket) => socket.accept().await.map(|(stream, _)| Box::new(stream) as Box<dyn Stream>),
        }
    }
}

/// Binds a socket under another name, gives its file the permissions, and moves it to its path: nobody finds it there with others, and
/// a process that takes over from another one leaves no moment without a listener.
fn bind_unix(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    if fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "what is there is no socket"));
    }
    let unfinished = path.with_file_name(format!(".{}", hex(&random::<6>())));
    let bound = bind_at(&unfinished, path, mode);
    if bound.is_err() {
        let _may_not_exist = fs::remove_file(&unfinished);
    }
    bound
}

fn bind_at(unfinished: &Path, path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let socket = UnixListener::bind(unfinished)?;
    fs::set_permissions(unfinished, fs::Permissions::from_mode(mode))?;
    let inode = fs::symlink_metadata(unfinished)?.ino();
    fs::rename(unfinished, path)?;
    Ok((socket, SocketFile { path: path.to_owned(), inode }))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Not that of a process which has taken over.
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _may_be_gone = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixStream,
    };

    use super::*;

    fn unix(path: &Path, mode: u32) -> ListenAddress {
        ListenAddress::Unix { path: path.to_owned(), mode }
    }

    #[tokio::test]
    async fn a_socket_has_its_permissions_replaces_one_that_was_left_and_is_removed_by_its_own_process_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "it was left behind");
        let old = Listener::bind(&unix(&path, 0o620)).await.unwrap();
        assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o620);
        let new = Listener::bind(&unix(&path, 0o600)).await.unwrap();
        drop(old);
        UnixStream::connect(&path).await.expect("the newer one listens");
        drop(new);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left");
    }

    #[tokio::test]
    async fn a_head_that_does_not_come_holds_up_no_stop() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token.sock");
        let (listener, stop) = (Listener::bind(&unix(&path, 0o600)).await.unwrap(), CancellationToken::new());
        let serving = tokio::spawn(listener.serve(stop.clone(), || None));
        let mut silent = UnixStream::connect(&path).await.unwrap();
        silent.write_all(b"GET /m").await.unwrap();
        // It is served by the time that a later one is.
        let mut later = UnixStream::connect(&path).await.unwrap();
        later.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        later.read_to_end(&mut Vec::new()).await.unwrap();
        stop.cancel();
        tokio::time::timeout(HEAD_TIMEOUT / 3, serving).await.expect("it is not waited for").unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes");
        fs::write(&path, "mine").unwrap();
        let error = Listener::bind(&unix(&path, 0o600)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        assert!(Listener::bind(&unix(&directory.path().join("missing/token.sock"), 0o600)).await.is_err());
    }
}
