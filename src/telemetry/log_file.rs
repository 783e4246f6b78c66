//! A file that log lines go to, and that can be opened again after somebody has moved it away (logrotate).

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::lock::Mutex;

/// The file; cloning shares it.
#[derive(Clone, Debug)]
pub struct LogFile {
    path: PathBuf,
    file: Arc<Mutex<File>>,
}

impl LogFile {
    /// Opens the file at its end, and makes one if there is none.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: Arc::new(Mutex::new(open(path)?)) })
    }

    /// Opens what is at the path now: the lines that follow go there.
    ///
    /// # Errors
    /// It cannot be opened; lines go on to the file that is open.
    pub fn reopen(&self) -> io::Result<()> {
        let file = open(&self.path)?;
        *self.file.lock() = file;
        Ok(())
    }
}

impl Write for LogFile {
    /// Writes all of a line, so that none is in two files.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.lock().write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.lock().flush()
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lines_go_to_the_file_that_is_at_the_path_when_it_is_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        let (path, moved) = (directory.path().join("log"), directory.path().join("log.1"));
        let log = LogFile::open(&path).unwrap();
        let write = |line: &str| log.clone().write_all(line.as_bytes()).unwrap();
        write("one\n");
        fs::rename(&path, &moved).unwrap();
        write("two\n");
        log.reopen().unwrap();
        write("three\n");
        // A path that cannot be opened costs no line.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(log.reopen().is_err());
        fs::remove_dir(&path).unwrap();
        log.reopen().unwrap();
        log.reopen().unwrap();
        write("four\n");
        assert_eq!([&moved, &path].map(|path| fs::read_to_string(path).unwrap()), ["one\ntwo\n", "four\n"]);
    }
}
