//! Peers that are written in Python, which `tests/run` installs what they need for.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
};

/// A script of `tests/peers`.
pub fn python(script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command
        .arg(script)
        .args(arguments)
        .env("PYTHONPATH", "python")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// Runs one to its end.
pub async fn run(script: &str, arguments: &[&str]) -> Output {
    let mut command = python(script, arguments);
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

/// One that serves, and says on which port first. It ends with its standard input.
pub struct Served {
    pub port: u16,
    _process: Child,
}

impl Served {
    pub fn start(script: &str, arguments: &[&str]) -> Self {
        let mut process = python(script, arguments).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Self { port: line.trim().parse().expect("it started; tests/run installs what it needs"), _process: process }
    }
}
