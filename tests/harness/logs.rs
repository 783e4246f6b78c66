//! What is logged in this process, kept apart by test, to be searched.
//!
//! A test that is run by `#[tokio::test]` has a thread of its own, on which its gateways run too: what is logged there is its own,
//! and nobody else waits for a lock on it. What other threads log, as those of a runtime with several, is shared by all tests.

use std::{
    cell::RefCell,
    io::Write,
    sync::{Arc, Mutex, Once},
};

use tracing_subscriber::fmt::MakeWriter;

/// Each write is a line.
type Lines = Arc<Mutex<Vec<String>>>;

static SHARED: Mutex<Vec<String>> = Mutex::new(Vec::new());
static ONCE: Once = Once::new();

thread_local! {
    static OWN: RefCell<Option<Lines>> = const { RefCell::new(None) };
}

struct Writer;

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let line = String::from_utf8_lossy(bytes).into_owned();
        match own() {
            Some(own) => own.lock().unwrap().push(line),
            None => SHARED.lock().unwrap().push(line),
        }
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

/// The lines of this thread's test; `None` on a thread that is no test's, and while the thread ends.
fn own() -> Option<Lines> {
    OWN.try_with(|own| own.borrow().clone()).ok().flatten()
}

/// The lines of one test.
pub struct Log {
    own: Lines,
    /// So many lines had been logged when this began.
    before: (usize, usize),
}

impl Log {
    /// From now on what this thread logs is its test's own. Logs at the most talkative level that a user could choose for our
    /// own code.
    pub fn capture() -> Self {
        ONCE.call_once(|| {
            tracing_subscriber::fmt().json().flatten_event(true).with_env_filter("info,evergate=trace").with_writer(Make).init();
        });
        let own = OWN.with(|own| Arc::clone(own.borrow_mut().get_or_insert_default()));
        let before = (own.lock().unwrap().len(), SHARED.lock().unwrap().len());
        Self { own, before }
    }

    /// No line holds any of these, which were made after this log began.
    pub fn assert_absent(&self, secrets: &[String]) {
        let tells = |line: &&String| secrets.iter().any(|secret| line.contains(secret.as_str()));
        let own = self.own.lock().unwrap().iter().skip(self.before.0).find(tells).cloned();
        let shared = || SHARED.lock().unwrap().iter().skip(self.before.1).find(tells).cloned();
        let told = own.or_else(shared);
        assert!(told.is_none(), "a secret was logged: {told:?}");
    }
}

/// The lines of this test that hold every one of these texts, and those of threads that belong to no one test.
pub fn lines_with(texts: &[&str]) -> Vec<String> {
    let holds = |line: &&String| texts.iter().all(|text| line.contains(text));
    let mut found = Vec::new();
    let mut search = |lines: &Mutex<Vec<String>>| {
        found.extend(lines.lock().unwrap().iter().filter(holds).map(|line| line.trim_end().to_owned()));
    };
    if let Some(own) = own() {
        search(&own);
    }
    search(&SHARED);
    found
}
