//! A TCP line that can be cut, stalled, slowed down and mended.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

pub struct FaultProxy {
    pub address: SocketAddr,
    target: Arc<Mutex<Option<SocketAddr>>>,
    line: watch::Sender<Line>,
    /// Counts how often the connections that were open then were stranded.
    strandings: watch::Sender<u64>,
    /// How long a new connection takes.
    to_connect: Arc<Mutex<Duration>>,
}

/// The state of the line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Line {
    /// Bytes pass both ways.
    Whole,
    /// Connections are closed, and new ones at once.
    Cut,
    /// Connections stay open and nothing passes.
    Stalled,
}

impl FaultProxy {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let target = Arc::new(Mutex::new(None));
        let (line, state) = watch::channel(Line::Whole);
        let (strandings, stranded) = watch::channel(0);
        let to_connect = Arc::<Mutex<Duration>>::default();
        let (towards, takes) = (Arc::clone(&target), Arc::clone(&to_connect));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let target = *towards.lock().unwrap();
                let takes = *takes.lock().unwrap();
                if let Some(target) = target {
                    let (state, mut stranded) = (state.clone(), stranded.clone());
                    stranded.mark_unchanged();
                    tokio::spawn(async move {
                        // By reference, so that it keeps both ends open when nobody asks any more what becomes of it.
                        let mut relayed = std::pin::pin!(relay(client, target, state, takes));
                        tokio::select! {
                            biased;
                            Ok(()) = stranded.changed() => std::future::pending().await,
                            () = &mut relayed => {}
                        }
                    });
                }
            }
        });
        Self { address, target, line, strandings, to_connect }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn forward_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = Some(target);
    }

    pub fn cut(&self) {
        self.line.send_replace(Line::Cut);
    }

    pub fn stall(&self) {
        self.line.send_replace(Line::Stalled);
    }

    /// What is connected now hangs for ever, as where a machine lost its power; new connections pass.
    pub fn strand(&self) {
        self.strandings.send_modify(|count| *count += 1);
    }

    /// From now on a connection takes this long to be made, as to a busy server.
    pub fn connect_in(&self, time: Duration) {
        *self.to_connect.lock().unwrap() = time;
    }

    pub fn is_whole(&self) -> bool {
        *self.line.borrow() == Line::Whole
    }

    pub fn mend(&self) {
        self.line.send_replace(Line::Whole);
    }
}

async fn relay(mut client: TcpStream, target: SocketAddr, mut line: watch::Receiver<Line>, to_connect: Duration) {
    if *line.borrow() == Line::Cut {
        return;
    }
    tokio::time::sleep(to_connect).await;
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    loop {
        let state = *line.borrow_and_update();
        match state {
            Line::Whole => tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
                changed = line.changed() => if changed.is_err() { return },
            },
            Line::Cut => return,
            Line::Stalled => {
                if line.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}
