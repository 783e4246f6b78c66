//! Everything that is logged in this process, to be searched.

use std::{
    io::Write,
    sync::{Arc, Mutex, Once},
};

use tracing_subscriber::fmt::MakeWriter;

/// Each write is a line.
static LINES: Mutex<Vec<Arc<str>>> = Mutex::new(Vec::new());
static ONCE: Once = Once::new();

struct Writer;

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let line: Arc<str> = String::from_utf8_lossy(bytes).into();
        LINES.lock().unwrap().push(line);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Make;

impl MakeWriter<'_> for Make {
    type Writer = Writer;

    fn make_writer(&self) -> Writer {
        Writer
    }
}

/// Logs at the most talkative level that a user could choose for our own code.
pub fn capture() {
    ONCE.call_once(|| {
        tracing_subscriber::fmt().json().flatten_event(true).with_env_filter("info,evergate=trace").with_writer(Make).init();
    });
}

/// The lines until now. They are searched without the lock, which every test needs for each of its lines.
fn lines() -> Vec<Arc<str>> {
    LINES.lock().unwrap().clone()
}

/// The lines that hold every one of these texts.
pub fn lines_with(texts: &[&str]) -> Vec<String> {
    let holds = |line: &Arc<str>| texts.iter().all(|text| line.contains(text));
    lines().into_iter().filter(holds).map(|line| line.trim_end().to_owned()).collect()
}

/// How many there are.
pub fn count() -> usize {
    LINES.lock().unwrap().len()
}

/// No log line holds any of these, which were made when there were as many lines as `since`.
pub fn assert_absent(secrets: &[String], since: usize) {
    for line in lines().into_iter().skip(since) {
        assert!(!secrets.iter().any(|secret| line.contains(secret.as_str())), "a secret was logged: {line}");
    }
}
