//! Closing in stages (RFC 9112, section 9.6). Whoever still sends what nobody will read, as the rest of an upload that was answered
//! early, would lose the answer to the reset that a closed socket sends back: so we say that we are done, and take what still
//! comes for a while.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use super::course::Course;

/// How long the other end may take to be done as well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Without a word.
    pub(super) silent: Duration,
    /// In all.
    pub(super) whole: Duration,
    /// In all, once we are to stop.
    pub(super) stopping: Duration,
}

/// A stream that is closed in stages, until it is a tunnel's: what comes over that once one half is shut is still wanted.
#[derive(Debug)]
pub(super) struct Staged<S> {
    stream: S,
    patience: Patience,
    course: Arc<Course>,
    is_shut: bool,
    /// Since the other end was found not to be done.
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    silent: Pin<Box<Sleep>>,
    whole: Pin<Box<Sleep>>,
    is_stopping: bool,
}

impl<S> Staged<S> {
    pub(super) fn new(stream: S, patience: Patience, course: Arc<Course>) -> Self {
        Self { stream, patience, course, is_shut: false, waiting: None }
    }

    /// Passes on what became of a write, and tells whether the other end has yet to take it.
    fn written<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.course.writes(written.is_pending());
        written
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Staged<S> {
    /// Ready once nothing more comes, or for too long.
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut unread = [MaybeUninit::uninit(); 4096];
        loop {
            let mut unread = ReadBuf::uninit(&mut unread);
            let is_silent = match Pin::new(&mut self.stream).poll_read(context, &mut unread) {
                Poll::Ready(Ok(())) if !unread.filled().is_empty() => false,
                Poll::Ready(Ok(()) | Err(_)) => return Poll::Ready(()),
                Poll::Pending => true,
            };
            let patience = self.patience;
            let sleep = |time| Box::pin(tokio::time::sleep(time));
            let waiting = self.waiting.get_or_insert_with(|| Waiting {
                silent: sleep(patience.silent),
                whole: sleep(patience.whole),
                is_stopping: false,
            });
            if self.course.is_stopping() && !waiting.is_stopping {
                waiting.is_stopping = true;
                waiting.whole.set(tokio::time::sleep(patience.stopping));
            }
            if waiting.whole.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            if is_silent {
                return waiting.silent.as_mut().poll(context);
            }
            waiting.silent.set(tokio::time::sleep(patience.silent));
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Staged<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Staged<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.written(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut {
            let shut = Pin::new(&mut self.stream).poll_shutdown(context);
            ready!(self.written(shut))?;
            self.is_shut = true;
        }
        if self.course.is_tunnel() {
            return Poll::Ready(Ok(()));
        }
        self.poll_rest(context).map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// Longer than any test.
    const LONG: Duration = Duration::from_secs(600);
    const SHORT: Duration = Duration::from_millis(50);

    fn staged(silent: Duration, whole: Duration) -> (Staged<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(64);
        (Staged::new(ours, Patience { silent, whole, stopping: SHORT }, Arc::default()), theirs)
    }

    #[tokio::test]
    async fn whoever_still_sends_reads_the_answer_and_is_waited_for() {
        let (mut ours, mut theirs) = staged(LONG, LONG);
        let client = tokio::spawn(async move {
            theirs.write_all(&[b'x'; 100_000]).await.unwrap();
            let mut answer = String::new();
            theirs.read_to_string(&mut answer).await.unwrap();
            answer
        });
        ours.write_all(b"no").await.unwrap();
        ours.shutdown().await.unwrap();
        assert_eq!(client.await.unwrap(), "no");
    }

    #[tokio::test]
    async fn neither_the_silent_nor_the_endless_are_waited_for_without_end() {
        let (mut ours, _theirs) = staged(SHORT, LONG);
        ours.shutdown().await.unwrap();
        let (mut ours, mut theirs) = staged(LONG, SHORT);
        let endless = tokio::spawn(async move { while theirs.write_all(b"x").await.is_ok() {} });
        ours.shutdown().await.unwrap();
        drop(ours);
        endless.await.unwrap();
    }

    #[tokio::test]
    async fn nobody_is_waited_for_long_once_we_are_to_stop() {
        let (mut ours, mut theirs) = staged(LONG, LONG);
        let course = Arc::clone(&ours.course);
        let endless = tokio::spawn(async move { while theirs.write_all(b"x").await.is_ok() {} });
        let stopping = async {
            tokio::time::sleep(SHORT).await;
            course.stop();
        };
        let (shut, ()) = tokio::join!(ours.shutdown(), stopping);
        shut.unwrap();
        drop(ours);
        endless.await.unwrap();
    }

    #[tokio::test]
    async fn what_comes_over_a_tunnel_after_one_half_is_shut_is_not_lost() {
        let (mut ours, mut theirs) = staged(LONG, LONG);
        let mut switching = http::Response::new(());
        *switching.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        ours.course.answer(&switching);
        ours.shutdown().await.unwrap();
        theirs.write_all(b"more").await.unwrap();
        drop(theirs);
        let mut more = String::new();
        ours.read_to_string(&mut more).await.unwrap();
        assert_eq!(more, "more");
    }
}
