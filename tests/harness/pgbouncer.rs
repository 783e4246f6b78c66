//! A PgBouncer before the run's Postgres.

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, ChildStdin, Command, Stdio},
};

use tokio::sync::OnceCell;

/// Which of a client's statements have the same server process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Those of one transaction.
    Transaction,
    /// All.
    Session,
}

/// Holds its standard input open; when this process ends, so does the pooler.
pub struct PgBouncer {
    _child: Child,
    _input: ChildStdin,
    pub address: SocketAddr,
}

static TRANSACTION: OnceCell<PgBouncer> = OnceCell::const_new();
static SESSION: OnceCell<PgBouncer> = OnceCell::const_new();

/// The run's pooler in this mode, before the server at `address`, which is the run's.
pub async fn before(address: SocketAddr, pooling: Pooling) -> &'static PgBouncer {
    let (cell, mode) = match pooling {
        Pooling::Transaction => (&TRANSACTION, "transaction"),
        Pooling::Session => (&SESSION, "session"),
    };
    cell.get_or_init(|| async { PgBouncer::start(address, mode) }).await
}

impl PgBouncer {
    fn start(server: SocketAddr, mode: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pgbouncer.sh");
        let mut child = Command::new(script)
            .args([&server.port().to_string(), mode])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut port = String::new();
        BufReader::new(output).read_line(&mut port).unwrap();
        let port = port.trim().parse().expect("PgBouncer did not start; tests/run installs it");
        Self { _child: child, _input: input, address: (Ipv4Addr::LOCALHOST, port).into() }
    }
}
