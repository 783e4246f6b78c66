//! Whoever finds a path that Evergate and an app read differently walks around the routes' rules. Here are apps that nobody here
//! wrote the reading of, and thousands of paths: whichever way a path is written, no app answers a stranger what it answers under
//! `/admin`.
//!
//! `EVERGATE_READINGS=all` has every path asked for, which takes minutes; else a sample of them is.

mod apps;
mod paths;

use std::{fmt::Write as _, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::harness::{Stopwatch, World};
use apps::Apps;

/// So long may an answer take on a machine that does much else.
const DEADLINE: Duration = Duration::from_secs(60);

/// What an answer comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Said {
    /// What the app has for its administrators.
    Admin,
    /// What it has for everybody.
    Open,
    /// A refusal of whomever's, or a redirect: its status.
    Else(u16),
    /// The connection was closed instead.
    Nothing,
}

/// A client that writes what it is told to, byte by byte, on one connection for as long as that is kept.
struct Client {
    address: SocketAddr,
    host: String,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    fn new(address: SocketAddr, host: String) -> Self {
        Self { address, host, connection: None }
    }

    async fn ask(&mut self, path: &str) -> Said {
        let was_kept = self.connection.is_some();
        let asked = tokio::time::timeout(DEADLINE, self.exchange(path));
        match asked.await.unwrap_or_else(|_| panic!("no answer in time from {} to {path}", self.host)) {
            Ok(said) => said,
            // It was closed, perhaps before it had our request.
            Err(_) if was_kept => Box::pin(self.ask(path)).await,
            Err(_) => Said::Nothing,
        }
    }

    async fn exchange(&mut self, path: &str) -> io::Result<Said> {
        // Kept only if all goes well.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => BufReader::new(TcpStream::connect(self.address).await?),
        };
        let head = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.host);
        connection.write_all(head.as_bytes()).await?;
        let first = line(&mut connection).await?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        let (mut length, mut is_chunked, mut is_kept) = (None, false, first.starts_with("http/1.1 "));
        loop {
            let field = line(&mut connection).await?;
            let Some((name, value)) = field.split_once(':') else { break };
            match (name, value.trim()) {
                ("content-length", value) => length = Some(value.parse::<usize>().map_err(io::Error::other)?),
                ("connection", "close") => is_kept = false,
                ("transfer-encoding", _) => is_chunked = true,
                _ => {}
            }
        }
        let mut body = Vec::new();
        match length {
            Some(length) => {
                body.resize(length, 0);
                connection.read_exact(&mut body).await?;
            }
            None if is_chunked => chunks(&mut connection, &mut body).await?,
            None => {
                is_kept = false;
                connection.read_to_end(&mut body).await?;
            }
        }
        self.connection = is_kept.then_some(connection);
        Ok(match body.as_slice() {
            b"admin" => Said::Admin,
            b"open" => Said::Open,
            _ => Said::Else(status),
        })
    }
}

/// The next line, in lower case.
async fn line(connection: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut bytes = Vec::new();
    connection.read_until(b'\n', &mut bytes).await?;
    if bytes.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_ascii_lowercase())
}

/// Reads a body in chunks, which those have that are as long as the app's connection lasts.
async fn chunks(connection: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let length = usize::from_str_radix(&line(connection).await?, 16).map_err(io::Error::other)?;
        let mut chunk = vec![0; length];
        connection.read_exact(&mut chunk).await?;
        body.extend(chunk);
        line(connection).await?;
        if length == 0 {
            return Ok(());
        }
    }
}

/// What came of all paths with one app.
struct Outcome {
    name: String,
    /// How many that are not under `/admin` as they are written the app takes for ones that are.
    misread: usize,
    /// To how many the app answered `open`, of those that were sent through Evergate.
    passed: usize,
    /// Which were answered `admin` through Evergate.
    reached: Vec<String>,
}

/// The hosts of an app: it has all of the one, and `/app` on the other.
fn hosts(app: usize) -> [String; 2] {
    [format!("root{app}.test"), format!("under{app}.test")]
}

/// For each app everything is public but what is for administrators.
fn routes(apps: &Apps) -> String {
    let mut text = String::new();
    for (number, address) in apps.all.values().enumerate() {
        let [root, under] = hosts(number);
        for (host, path, rule) in [
            (&root, "", "rule = \"public\""),
            (&root, "path = \"/admin\"", "groups = [\"admins\"]"),
            (&under, "path = \"/app\"\nstrip_prefix = true", "rule = \"public\""),
            (&under, "path = \"/app/admin\"", "groups = [\"admins\"]"),
        ] {
            writeln!(text, "[[route]]\nhost = \"{host}\"\n{path}\n{rule}\nupstream = \"http://{address}\"").unwrap();
        }
    }
    text
}

/// Asks one app for all of them, itself and through Evergate.
async fn compare(name: String, number: usize, app: SocketAddr, evergate: SocketAddr, paths: Arc<Vec<String>>) -> Outcome {
    let mut direct = Client::new(app, "app.test".to_owned());
    let [mut root, mut under] = hosts(number).map(|host| Client::new(evergate, host));
    for (path, expected) in [("/x", Said::Open), ("/admin", Said::Admin), ("/admin/x", Said::Admin)] {
        assert_eq!(direct.ask(path).await, expected, "{name} knows {path}");
    }
    for (client, prefix) in [(&mut root, ""), (&mut under, "/app")] {
        for (path, expected) in [("/x", Said::Open), ("/admin", Said::Else(401))] {
            assert_eq!(client.ask(&format!("{prefix}{path}")).await, expected, "{prefix}{path} of {name} has its rule");
        }
    }
    let mut outcome = Outcome { name, misread: 0, passed: 0, reached: Vec::new() };
    for path in paths.iter() {
        if direct.ask(path).await == Said::Admin && !paths::is_plainly_admin(path) {
            outcome.misread += 1;
        }
        let behind = format!("/app{path}");
        for (client, path) in [(&mut root, path), (&mut under, &behind)] {
            match client.ask(path).await {
                Said::Admin => outcome.reached.push(path.clone()),
                Said::Open => outcome.passed += 1,
                Said::Else(_) | Said::Nothing => {}
            }
        }
    }
    outcome
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "what a run came to is for whoever starts it")]
async fn no_app_answers_a_stranger_for_its_administrators_however_the_path_is_written() {
    let apps = Apps::start().await;
    let text = routes(&apps);
    let world = World::build().routes(move |_| text.clone()).start().await;
    let is_full = paths::is_full();
    let paths = Arc::new(if is_full { paths::all() } else { paths::sample() });
    // The strictest of them misread few.
    let teeth = if is_full { 5 } else { 1 };
    let stopwatch = Stopwatch::start();
    let asked: Vec<_> = apps
        .all
        .iter()
        .enumerate()
        .map(|(number, (name, address))| {
            tokio::spawn(compare(name.clone(), number, *address, world.address(), Arc::clone(&paths)))
        })
        .collect();
    let mut told = format!("{} paths", paths.len());
    let (mut reached, mut dull) = (false, Vec::new());
    for outcome in asked {
        let Outcome { name, misread, passed, reached: found } = outcome.await.unwrap();
        write!(told, "\n{name}: misreads {misread}, has {passed} through Evergate").unwrap();
        for path in &found {
            write!(told, "\n    {path} reached its administrators' part").unwrap();
        }
        reached |= !found.is_empty();
        if misread < teeth || passed * 10 < paths.len() {
            dull.push(name);
        }
    }
    writeln!(told, "\nin {:?}", stopwatch.elapsed()).unwrap();
    println!("{told}");
    assert!(!reached, "{told}");
    assert!(dull.is_empty(), "too little is shown by {dull:?}: {told}");
    assert!(apps.all.len() >= 20, "{told}");
}
