//! A response that came before its request was complete.

use std::{future::poll_fn, task::Poll};

use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::{
    body_reader::{BodyReader, Next},
    error::Http1Error,
    request::OutgoingRequest,
};

/// What the task that reads an early response passes on.
#[derive(Debug)]
pub(super) enum Relayed {
    /// A piece; more may follow.
    Frame(Frame<Bytes>),
    /// The end, with the last piece if there is one. It is said: that nothing follows would not be enough.
    Last(Option<Frame<Bytes>>),
    /// The response is not complete.
    Failed(Http1Error),
}

/// Reads the body and writes the rest of the request in a task of its own, because neither may wait for a client that does not
/// take the other. The task ends with its receiver.
pub(super) fn relay<R: OutgoingRequest>(reader: BodyReader<R>) -> mpsc::Receiver<Relayed> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(run(reader, sender));
    receiver
}

async fn run<R: OutgoingRequest>(mut reader: BodyReader<R>, sender: mpsc::Sender<Relayed>) {
    loop {
        let room = tokio::select! {
            room = sender.reserve() => room,
            error = write_until_failure(&mut reader) => {
                let _nobody_waits = sender.send(Relayed::Failed(error)).await;
                return;
            }
        };
        let Ok(room) = room else { return };
        let next = tokio::select! {
            next = poll_fn(|context| reader.poll_next(context)) => next,
            () = sender.closed() => return,
        };
        match next {
            Ok(Next::Frame(frame)) => room.send(Relayed::Frame(frame)),
            Ok(Next::Last(frame)) => {
                reader.finish();
                return room.send(Relayed::Last(frame));
            }
            Err(error) => return room.send(Relayed::Failed(error)),
        }
    }
}

/// Writes the request for as long as this is waited for; comes back only if its body fails.
async fn write_until_failure<R: OutgoingRequest>(reader: &mut BodyReader<R>) -> Http1Error {
    poll_fn(|context| match reader.write_request(context) {
        Err(error) => Poll::Ready(error),
        Ok(()) => Poll::Pending,
    })
    .await
}
