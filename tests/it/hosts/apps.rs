//! Apps on unix sockets, each named for a label.

use axum::Router;
use tokio::net::UnixListener;

pub(super) struct SocketApps {
    directory: tempfile::TempDir,
}

impl SocketApps {
    /// Starts an app for each label, which says its label.
    pub(super) async fn start(labels: &[&'static str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for label in labels.iter().copied() {
            let listener = UnixListener::bind(directory.path().join(format!("{label}.sock"))).unwrap();
            let pages = Router::new().fallback(async move || ([("x-upstream", "yes")], label));
            tokio::spawn(async move { axum::serve(listener, pages).await });
        }
        Self { directory }
    }

    pub(super) fn directory(&self) -> String {
        self.directory.path().display().to_string()
    }
}
