//! Everything that is logged in this process, to be searched.

use std::{
    io::Write,
    sync::{Mutex, Once},
};

use tracing_subscriber::fmt::MakeWriter;

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static ONCE: Once = Once::new();

struct Writer;

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.lock().unwrap().extend_from_slice(bytes);
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

/// The lines that hold every one of these texts.
pub fn lines_with(texts: &[&str]) -> Vec<String> {
    let lines = LINES.lock().unwrap();
    let all = String::from_utf8_lossy(&lines);
    all.lines().filter(|line| texts.iter().all(|text| line.contains(text))).map(str::to_owned).collect()
}

/// No log line holds any of these.
pub fn assert_absent(secrets: &[String]) {
    let lines = LINES.lock().unwrap();
    let all = String::from_utf8_lossy(&lines);
    for secret in secrets {
        assert!(
            !all.contains(secret.as_str()),
            "a secret was logged: {}",
            all.lines().find(|line| line.contains(secret.as_str())).unwrap_or_default()
        );
    }
}
