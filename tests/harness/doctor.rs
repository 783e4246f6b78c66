//! `evergate doctor` as a process of its own, with a terminal that a test types at.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::Duration,
};

use url::Url;

const DEADLINE: Duration = Duration::from_secs(60);

pub struct Doctor {
    child: Child,
    input: ChildStdin,
    said: Receiver<String>,
}

impl Doctor {
    pub fn start(settings: &[(&str, String)], arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evergate"));
        command.arg("doctor").args(arguments).env_clear();
        command.envs(settings.iter().map(|(name, value)| (format!("CODER_{}", name.to_uppercase()), value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, said) = channel();
        let stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ended = sender.send(line);
            }
        });
        Self { input: child.stdin.take().unwrap(), child, said }
    }

    /// The next line that it says with this beginning, without it.
    pub fn says(&self, beginning: &str) -> String {
        self.next(beginning).expect("it says something")
    }

    /// The next address that it sends a browser to.
    pub fn sends_to(&self) -> Url {
        self.sends_to_more().expect("it sends a browser somewhere")
    }

    /// The same; `None` once it has ended.
    pub fn sends_to_more(&self) -> Option<Url> {
        self.next("  http").map(|rest| Url::parse(&format!("http{rest}")).unwrap())
    }

    fn next(&self, beginning: &str) -> Option<String> {
        loop {
            match self.said.recv_timeout(DEADLINE) {
                Ok(line) => match line.strip_prefix(beginning) {
                    Some(rest) => return Some(rest.to_owned()),
                    None => continue,
                },
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => panic!("it says nothing"),
            }
        }
    }

    pub fn type_line(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// Its exit code and what it printed, once it has ended.
    pub fn end(&mut self) -> (i32, String) {
        let mut printed = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        (self.child.wait().unwrap().code().unwrap(), printed)
    }
}

impl Drop for Doctor {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
