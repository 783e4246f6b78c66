//! How a file was when it was read, by which one finds out that it is to be read again.

use std::{os::unix::fs::MetadataExt as _, path::Path};

/// What of a file is another after each change of its content, and of whether it may be read: also of its owner and mode, which leave the
/// time of its modification alone, and where another file with the same time has taken its place, as of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    device: u64,
    inode: u64,
    length: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// Likewise, when the file or anything that is kept about it was changed (`ctime`, which no program can set).
    changed: (i64, i64),
}

impl FileStamp {
    /// How the file is now. `None`: there is none, or it cannot be reached.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File, Permissions},
        os::unix::fs::PermissionsExt,
    };

    use super::*;

    #[test]
    fn a_file_that_was_made_readable_or_replaced_by_one_of_the_same_time_and_length_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        assert_eq!(FileStamp::of(&path), None);
        fs::write(&path, "one").unwrap();
        let written = FileStamp::of(&path).unwrap();
        assert_eq!(FileStamp::of(&path), Some(written), "nothing has happened");
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let waited_for = |before| {
            // A file system's clock has ticks.
            let beginning = crate::clock::Stopwatch::start();
            while beginning.elapsed() < std::time::Duration::from_secs(60) {
                fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
                if FileStamp::of(&path) != Some(before) {
                    return true;
                }
            }
            false
        };
        assert!(waited_for(written));
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), modified, "which says nothing of it");
        let readable = FileStamp::of(&path);
        let other = folder.path().join("other");
        fs::write(&other, "two").unwrap();
        File::options().write(true).open(&other).unwrap().set_modified(modified).unwrap();
        fs::rename(&other, &path).unwrap();
        assert_ne!(FileStamp::of(&path), readable);
    }
}
