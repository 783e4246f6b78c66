//! Log lines that nobody gets: the queue was full because whoever reads them is slow, or they could not be written.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tracing_appender::non_blocking::ErrorCounter;

use super::metrics::Metrics;

/// How often they are counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// How many lines were lost.
#[derive(Clone, Debug)]
pub struct LostLines {
    unqueued: ErrorCounter,
    unwritten: Arc<AtomicU64>,
}

/// A writer that counts lines which could not be written.
pub(super) struct CountedWriter<W> {
    inner: W,
    unwritten: Arc<AtomicU64>,
    /// Whether a part of the line before may have been written, so that the next one has to begin on a line of its own.
    may_be_torn: bool,
}

impl LostLines {
    /// Those that found the queue full, and `unwritten` ones.
    pub(super) fn new(unqueued: ErrorCounter, unwritten: Arc<AtomicU64>) -> Self {
        Self { unqueued, unwritten }
    }

    fn total(&self) -> u64 {
        self.unqueued.dropped_lines() as u64 + self.unwritten.load(Ordering::Relaxed)
    }

    /// Counts them in the metrics, which tell of them while the log cannot, and says in the log how many there were as soon as no more
    /// are lost. Never returns.
    pub async fn count(self, metrics: Metrics) {
        let (mut tally, mut ticks) = (Tally::default(), tokio::time::interval(COUNT_INTERVAL));
        loop {
            ticks.tick().await;
            let (new, to_tell) = tally.observe(self.total());
            metrics.log_lines_lost(new);
            if let Some(lines) = to_tell {
                tracing::error!(lines, "log lines were lost: the log could not be written, or was not read fast enough");
            }
        }
    }
}

/// What has been counted and told.
#[derive(Debug, Default)]
struct Tally {
    counted: u64,
    untold: u64,
    /// Of how many the last line told, which may be lost itself.
    told: u64,
}

impl Tally {
    /// Takes the number that are lost by now. Returns how many are new, and of how many the log is to tell.
    fn observe(&mut self, total: u64) -> (u64, Option<u64>) {
        let (new, told) = (total - self.counted, std::mem::take(&mut self.told));
        (self.counted, self.untold) = (total, self.untold + new);
        if new > 0 {
            return (new, None);
        }
        self.untold -= told;
        self.told = self.untold;
        (0, (self.untold > 0).then_some(self.untold))
    }
}

impl<W> CountedWriter<W> {
    pub(super) fn new(inner: W, unwritten: Arc<AtomicU64>) -> Self {
        Self { inner, unwritten, may_be_torn: false }
    }
}

impl<W: Write> Write for CountedWriter<W> {
    /// Writes a whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let written = match self.may_be_torn {
            true => self.inner.write_all(&[b"\n", line].concat()),
            false => self.inner.write_all(line),
        };
        self.may_be_torn = written.is_err();
        match written {
            Ok(()) => Ok(line.len()),
            Err(error) => {
                self.unwritten.fetch_add(1, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with so much room left.
    struct Disk {
        written: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room - self.written.len());
            self.written.extend_from_slice(&bytes[..count]);
            if count == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(count) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lost_lines_are_told_of_once_and_again_if_the_line_that_told_of_them_was_lost() {
        let mut tally = Tally::default();
        let told = [3, 3, 4, 5, 5, 5, 5].map(|total| tally.observe(total));
        assert_eq!(told, [(3, None), (0, Some(3)), (1, None), (1, None), (0, Some(5)), (0, None), (0, None)]);
    }

    #[test]
    fn a_line_after_one_that_was_cut_begins_on_a_line_of_its_own() {
        let unwritten = Arc::new(AtomicU64::new(0));
        let mut writer = CountedWriter::new(Disk { written: Vec::new(), room: 7 }, Arc::clone(&unwritten));
        let results = ["one\n", "two and more\n", "three\n"].map(|line| writer.write(line.as_bytes()).is_ok());
        writer.inner.room = 100;
        writer.write_all(b"four\n").unwrap();
        assert_eq!(results, [true, false, false]);
        assert_eq!(String::from_utf8_lossy(&writer.inner.written), "one\ntwo\nfour\n");
        assert_eq!(unwritten.load(Ordering::Relaxed), 2);
    }
}
