//! A response's body that hyper takes, and that can be ended while hyper does not come for more of it.
//!
//! hyper does not poll a body while the client takes nothing of what it has got. The body's session may end meanwhile, or its time.
//! Whoever serves the connection or the stream therefore looks at the body as well.

use std::{
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::CutBody;

use crate::lock::{Mutex, MutexGuard};

/// A response's body, shared by hyper and whoever serves the connection or the stream. Both are the same task.
#[derive(Debug)]
pub(super) struct SharedBody<B> {
    body: Mutex<Option<B>>,
    /// hyper has taken a frame out of the body, and has not come for the next one.
    is_offered: AtomicBool,
}

/// What was taken out of a body.
pub(super) enum Taken<E> {
    /// A frame.
    Frame(Frame<Bytes>),
    /// The last frame: no failure can follow it.
    Last(Frame<Bytes>),
    /// Nothing: it has ended.
    End,
    /// Nothing: it has failed, and what it held is released.
    Failed(E),
}

impl<B> Default for SharedBody<B> {
    fn default() -> Self {
        Self { body: Mutex::default(), is_offered: AtomicBool::default() }
    }
}

impl<B> SharedBody<B> {
    fn lock(&self) -> MutexGuard<'_, Option<B>> {
        self.body.lock()
    }

    /// Begins with a body.
    pub(super) fn begin(&self, body: B) {
        *self.lock() = Some(body);
    }

    /// Releases the body, and what it holds.
    pub(super) fn end(&self) {
        self.is_offered.store(false, Ordering::Relaxed);
        // Not dropped under the lock.
        let _body = self.lock().take();
    }

    /// Whether a frame of the body waits for the client to take it.
    pub(super) fn is_offered(&self) -> bool {
        self.is_offered.load(Ordering::Relaxed)
    }
}

impl<B: Body<Data = Bytes> + Unpin> SharedBody<B> {
    /// Takes what comes next. Nothing ever does once the body has failed.
    pub(super) fn poll_next(&self, context: &mut Context<'_>) -> Poll<Taken<B::Error>> {
        let mut held = self.lock();
        let next = held.as_mut().map_or(Poll::Pending, |body| {
            Pin::new(&mut *body).poll_frame(context).map(|frame| match frame {
                Some(Ok(frame)) if body.is_end_stream() => Taken::Last(frame),
                Some(Ok(frame)) => Taken::Frame(frame),
                Some(Err(error)) => Taken::Failed(error),
                None => Taken::End,
            })
        });
        self.is_offered.store(matches!(next, Poll::Ready(Taken::Frame(_) | Taken::Last(_))), Ordering::Relaxed);
        if matches!(next, Poll::Ready(Taken::Failed(_))) {
            *held = None;
        }
        next
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.lock().as_ref().is_some_and(Body::is_end_stream)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.lock().as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl<B: CutBody> SharedBody<B> {
    /// Ready when the body is to end though hyper does not come for more of it. Where it does, it is told.
    pub(super) fn poll_cut(&self, context: &mut Context<'_>) -> Poll<()> {
        if !self.is_offered() {
            return Poll::Pending;
        }
        self.lock().as_mut().map_or(Poll::Pending, |body| body.poll_cut(context))
    }
}
