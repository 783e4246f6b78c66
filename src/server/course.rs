//! The course of a connection: what its requests leave to be seen of it, and when it has rested for so long that it is ended.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{Request, Response, Version};
use tokio::sync::OwnedSemaphorePermit;

/// How long a connection may rest. It is looked at now and then, because a timer for each request costs more, so that it may
/// be up to one look longer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    /// How often it is looked at.
    pub(super) look: Duration,
    /// So many looks in a row, where one request follows another: whoever sends none has as long for its head.
    pub(super) looks: u32,
    /// The same for HTTP/2, which clients keep for what they may want later.
    pub(super) looks_http2: u32,
}

/// What is seen of a connection.
#[derive(Debug, Default)]
pub(super) struct Course {
    begun: AtomicU64,
    is_http2: AtomicBool,
    is_tunnel: AtomicBool,
}

impl Course {
    /// A request came.
    pub(super) fn begin<B>(&self, request: &Request<B>) {
        if self.begun.fetch_add(1, Ordering::Relaxed) == 0 {
            self.is_http2.store(request.version() == Version::HTTP_2, Ordering::Relaxed);
        }
    }

    /// It is answered.
    pub(super) fn answer<B>(&self, response: &Response<B>) {
        // That the protocol changes is the one answer with such a status.
        if response.status().is_informational() {
            self.is_tunnel.store(true, Ordering::Relaxed);
        }
    }

    /// Whether another protocol is spoken now.
    pub(super) fn is_tunnel(&self) -> bool {
        self.is_tunnel.load(Ordering::Relaxed)
    }

    /// Waits until the connection has rested for too long: no request comes, and nobody but its `idle` holders holds `place`,
    /// as everybody does who has to do with a request that is under way.
    pub(super) async fn rested(&self, rest: Rest, place: &Arc<OwnedSemaphorePermit>, idle: usize) {
        let (mut begun, mut quiet) = (self.begun.load(Ordering::Relaxed), 0);
        let is_too_long = |quiet| {
            let http2 = self.is_http2.load(Ordering::Relaxed);
            quiet >= if http2 { rest.looks_http2 } else { rest.looks }
        };
        while !is_too_long(quiet) {
            tokio::time::sleep(rest.look).await;
            let before = std::mem::replace(&mut begun, self.begun.load(Ordering::Relaxed));
            quiet = if begun == before && Arc::strong_count(place) <= idle { quiet + 1 } else { 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    const REST: Rest = Rest { look: Duration::from_millis(20), looks: 2, looks_http2: 1_000_000 };
    const MANY_LOOKS: Duration = Duration::from_millis(300);

    async fn ends(course: &Course, place: &Arc<OwnedSemaphorePermit>, within: Duration) -> bool {
        tokio::time::timeout(within, course.rested(REST, place, 1)).await.is_ok()
    }

    #[tokio::test]
    async fn a_connection_rests_when_nothing_comes_and_nothing_is_under_way() {
        let place = Arc::new(Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap());
        let course = Course::default();
        let long = Duration::from_secs(30);
        assert!(ends(&course, &place, long).await, "nothing ever came");
        course.begin(&Request::new(()));
        let under_way = Arc::clone(&place);
        assert!(!ends(&course, &place, MANY_LOOKS).await, "an answer is under way");
        drop(under_way);
        assert!(ends(&course, &place, long).await);
        let busy = async {
            loop {
                course.begin(&Request::new(()));
                tokio::time::sleep(REST.look / 4).await;
            }
        };
        tokio::select! {
            () = busy => {}
            ended = ends(&course, &place, MANY_LOOKS) => assert!(!ended, "requests come"),
        }
    }

    #[tokio::test]
    async fn one_of_http_2_may_rest_for_longer() {
        let place = Arc::new(Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap());
        let course = Course::default();
        let mut request = Request::new(());
        *request.version_mut() = Version::HTTP_2;
        course.begin(&request);
        assert!(!ends(&course, &place, MANY_LOOKS).await);
    }
}
