//! Closing in stages (RFC 9112, section 9.6). Whoever still sends what nobody will read, as the rest of an upload that was answered
//! early, would lose the answer to the reset that a closed socket sends back: so we say that we are done, and take what still
//! comes for a while.
//!
//! This is also where we come in between hyper and the client, where hyper knows no other way: an answer that broke off is
//! broken here, interim answers are written here, and so is what a request is told that cannot be read.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http::Response;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use super::{
    agreed::{Agreed, Judgement},
    course::{Break, Course},
    written,
};

/// Answers a request that cannot be read, in the place of hyper, which says this status of it.
pub type Refuse = Box<dyn Fn(u16) -> Response<Bytes> + Send>;

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
pub(super) struct Staged<S> {
    stream: S,
    patience: Patience,
    course: Arc<Course>,
    /// Until the client's first bytes have kept to it.
    agreed: Option<Agreed>,
    refuse: Refuse,
    /// What is written instead of hyper's own refusal.
    refusal: Option<Bytes>,
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
    /// Over which nothing is spoken but what was `agreed` on, if anything was.
    pub(super) fn new(stream: S, patience: Patience, course: Arc<Course>, agreed: Option<Agreed>, refuse: Refuse) -> Self {
        Self { stream, patience, course, agreed, refuse, refusal: None, is_shut: false, waiting: None }
    }

    /// Passes on what became of a write, and tells whether the other end has yet to take it.
    fn written<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.course.writes(written.is_pending());
        written
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Staged<S> {
    /// Writes our own refusal if `bytes`, of `length` with what follows them, are hyper's; nothing, if they are an answer.
    fn poll_refusal(&mut self, context: &mut Context<'_>, bytes: &[u8], length: usize) -> Option<Poll<io::Result<usize>>> {
        if self.refusal.is_none() {
            let status = written::status(bytes)?;
            self.refusal = Some(written::last(&(self.refuse)(status), bytes));
        }
        let refusal = self.refusal.as_mut()?;
        while !refusal.is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(context, refusal);
            self.course.writes(written.is_pending());
            match written {
                Poll::Ready(Ok(0)) => return Some(Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(written)) => refusal.advance(written),
                failed @ (Poll::Ready(Err(_)) | Poll::Pending) => return Some(failed),
            }
        }
        Some(Poll::Ready(Ok(length)))
    }

    /// Writes interim answers, while hyper has nothing to write.
    fn poll_interims(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (course, stream) = (Arc::clone(&self.course), &mut self.stream);
        let written = course.queue.poll_write(|bytes| Pin::new(&mut *stream).poll_write(context, bytes));
        self.written(written)
    }

    /// Ends a connection whose answer broke off; what came of that is out.
    fn poll_break(&mut self, context: &mut Context<'_>, how: Break) -> Poll<io::Result<()>> {
        if how == Break::InStages {
            // However that ends, it ends.
            let _shut = ready!(Pin::new(&mut *self).poll_shutdown(context));
        }
        Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "an answer broke off")))
    }

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
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if let Some(agreed) = &mut self.agreed {
            match agreed.judge(buffer.filled().get(before..).unwrap_or_default()) {
                Judgement::Undecided => {}
                Judgement::Kept => self.agreed = None,
                Judgement::Broken => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "another protocol than was agreed on")));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Staged<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.course.is_unasked()
            && let Some(refused) = self.poll_refusal(context, bytes, bytes.len())
        {
            return refused;
        }
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.course.queue.is_waiting() {
            ready!(self.poll_interims(context))?;
        }
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        ready!(self.written(flushed))?;
        self.course.is_flushed();
        match self.course.broken() {
            None => Poll::Ready(Ok(())),
            Some(how) => self.poll_break(context, how),
        }
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
        if self.course.is_unasked()
            && let Some(first) = pieces.first()
            && let Some(refused) = self.poll_refusal(context, first, pieces.iter().map(|piece| piece.len()).sum())
        {
            return refused;
        }
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
        let refuse: Refuse = Box::new(|_| Response::new(Bytes::new()));
        (Staged::new(ours, Patience { silent, whole, stopping: SHORT }, Arc::default(), None, refuse), theirs)
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
        let mut switching = Response::new(());
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
