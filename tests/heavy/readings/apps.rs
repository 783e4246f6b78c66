//! The apps: servers and frameworks that others wrote, each with its own way to read a path.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
};

use tokio::net::TcpStream;

use crate::harness::{eventually::eventually, python::python};

const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers");

/// The ways of `readings/php/index.php`, and whether PHP's own server takes it for a router.
const PHP: [(&str, bool); 4] = [("parse_url", true), ("urldecode", true), ("strtok", true), ("path_info", false)];

pub struct Apps {
    /// By their names, in which order they have their hosts.
    pub all: BTreeMap<String, SocketAddr>,
    _processes: Vec<Process>,
    _files: tempfile::TempDir,
}

/// Ends with the test, whichever way that ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

impl Apps {
    pub async fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        let mut all = BTreeMap::new();
        let mut node = Command::new("node");
        node.arg("readings/apps.mjs").current_dir(PEERS).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut processes = Vec::new();
        // All begin at once, because they take a while.
        let several = [node, python("readings/apps.py", &[])]
            .map(|mut command| Process(command.stderr(Stdio::null()).spawn().expect(INSTALLED)));
        let alone = PHP.map(|(reading, is_router)| php(reading, is_router));
        let (nginx, addresses) = nginx(files.path());
        processes.push(nginx);
        for (reading, address) in ["nginx", "nginx, by an expression"].into_iter().zip(addresses) {
            eventually("nginx listens", async || TcpStream::connect(address).await.is_ok()).await;
            all.insert(reading.to_owned(), address);
        }
        for ((reading, _), mut process) in PHP.iter().zip(alone) {
            all.insert(format!("php {reading}"), port_of_php(&mut process));
            processes.push(process);
        }
        for mut process in several {
            let mut line = String::new();
            BufReader::new(process.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
            let ports: BTreeMap<String, u16> = serde_json::from_str(&line).expect(INSTALLED);
            all.extend(ports.into_iter().map(|(name, port)| (name, at(port))));
            processes.push(process);
        }
        Self { all, _processes: processes, _files: files }
    }
}

const INSTALLED: &str = "it started; tests/run installs what it needs";

fn at(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn php(reading: &str, is_router: bool) -> Process {
    let mut command = Command::new("php");
    command.args(["-S", "127.0.0.1:0", "-t", "readings/php"]).args(is_router.then_some("readings/php/index.php"));
    command.env("READING", reading).current_dir(PEERS).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    Process(command.spawn().expect(INSTALLED))
}

/// It says where it listens: `... Development Server (http://127.0.0.1:4711) started`. What it says later is read as well, lest it
/// wait for that.
fn port_of_php(process: &mut Process) -> SocketAddr {
    let mut lines = BufReader::new(process.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let told = lines.find_map(|line| line.split_once("(http://")?.1.split_once(')')?.0.parse().ok());
    std::thread::spawn(move || lines.for_each(drop));
    told.expect(INSTALLED)
}

/// nginx with a directory of its own.
fn nginx(directory: &Path) -> (Process, [SocketAddr; 2]) {
    let free = [0; 2].map(|_| TcpListener::bind(at(0)).unwrap());
    let addresses = free.map(|listener| listener.local_addr().unwrap());
    let mut text = include_str!("../../peers/readings/nginx.conf").replace("DIRECTORY", &directory.display().to_string());
    for (number, address) in addresses.iter().enumerate() {
        text = text.replace(&format!("PORT_{number}"), &address.port().to_string());
    }
    let config = directory.join("nginx.conf");
    std::fs::write(&config, text).unwrap();
    // Debian has it where only the superuser looks.
    let program = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
    let mut command = Command::new(program);
    command.args(["-e", "stderr", "-p"]).arg(directory).arg("-c").arg(config);
    let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect(INSTALLED);
    (Process(process), addresses)
}
