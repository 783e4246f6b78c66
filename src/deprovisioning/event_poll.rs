//! Polls a transmitter for security events (RFC 8936): one replica at a time, for each provider that has a stream to poll.
//!
//! An event is acknowledged when it has taken effect. What could not be recorded or verified is not, so that it comes again; what comes
//! again has no effect, because its identifier is remembered in the store.

mod put_off;

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::Deprovisioning;
use crate::{
    backoff::back_off,
    clock::Stopwatch,
    oidc::{EventDelivery, PollReport, PollRequest, Polled, Provider},
    secret::sha256,
    store::StoreError,
    timings::Timings,
};

use put_off::PutOff;

/// How long a replica polls before it is any replica's turn again, in seconds. If it dies, events wait that long.
const TURN_SECONDS: i64 = 60;
/// How long it is remembered whose turn it was, by clocks that may differ.
const TURN_IS_REMEMBERED: Duration = Duration::from_secs(600);
/// After how long a replica asks again whose turn it is: the one that polled may have stopped.
const ASK_AGAIN: Duration = Duration::from_secs(5);
const MAX_PAUSE: Duration = Duration::from_secs(300);
/// How long polls do not wait for events after one that waited was ended too soon.
const NO_LONG_POLLS: Duration = Duration::from_secs(60);

/// A turn, and whether it is this replica's.
#[derive(Clone, Copy, Debug)]
struct Turn {
    number: i64,
    is_ours: bool,
    asked: Stopwatch,
}

/// What is known of a stream that is polled.
#[derive(Default)]
struct Progress {
    /// What the transmitter is to be told.
    report: PollReport,
    put_off: PutOff,
    /// The identifiers of the last events.
    seen: HashSet<String>,
    /// Whether so many events are put off that others wait behind them.
    is_full: bool,
}

/// Whether polls wait for events (long polling). A transmitter that knows no long polling, or a proxy on the way, may end those that do at
/// once: if that counted as silence, polls would follow each other without a pause.
#[derive(Debug, Default)]
struct LongPolls {
    /// When one was ended too soon.
    cut_short: Option<Stopwatch>,
}

impl LongPolls {
    fn may_wait(&self) -> bool {
        self.cut_short.is_none_or(|since| since.elapsed() >= NO_LONG_POLLS)
    }

    /// Notes that one lasted.
    fn lasted(&mut self) {
        self.cut_short = None;
    }

    /// Notes that one was ended too soon. Returns whether it is the first since one lasted.
    fn was_cut_short(&mut self) -> bool {
        self.cut_short.replace(Stopwatch::start()).is_none()
    }
}

impl Deprovisioning {
    /// Polls at the stream of this provider until `stop`, with a pause after each answer without an event. A report is sent by itself, so that no
    /// wait for the next event delays it.
    pub async fn poll(&self, provider: &Arc<Provider>, timings: Timings, stop: CancellationToken) {
        let mut turn = None;
        stop.run_until_cancelled(Box::pin(self.poll_in_turn(provider, timings, &mut turn))).await;
        // Otherwise no other replica would poll until the next turn.
        if let Some(Turn { number, is_ours: true, .. }) = turn
            && let Err(error) = self.sign_out.store.forget_consumed(turn_name(provider, number)).await
        {
            tracing::debug!(%error, "the turn to poll for security events could not be given back");
        }
    }

    async fn poll_in_turn(&self, provider: &Arc<Provider>, timings: Timings, turn: &mut Option<Turn>) {
        let (metrics, interval) = (self.sign_out.metrics.of_provider(provider.name()), timings.event_poll_interval);
        let (mut progress, mut failures) = (Progress::default(), 0_u32);
        // A transmitter that says nothing to a poll is asked to answer the next one immediately: one that is dead does not.
        let (mut is_silent, mut is_failing) = (false, false);
        let mut long_polls = LongPolls::default();
        loop {
            self.sign_out.store.until_writable().await;
            let is_ours = self.is_our_turn(provider, turn).await.unwrap_or(false);
            if !is_ours && progress.report.is_empty() {
                tokio::time::sleep(interval).await;
                continue;
            }
            let (report, put_off) = (&progress.report, progress.put_off.len());
            // What is put off is due before there is another event.
            let may_wait = long_polls.may_wait() && put_off == 0;
            let waits = may_wait && report.is_empty() && !is_silent;
            let asked = PollRequest { report, waits, put_off, deadline: timings.event_poll_wait };
            let begun = Stopwatch::start();
            let answer = provider.poll_for_events(asked).await;
            let has_lasted = begun.elapsed() >= interval.min(timings.event_poll_wait);
            if waits && has_lasted {
                long_polls.lasted();
            }
            is_silent = matches!(answer, Ok(None));
            let pause = match answer {
                Ok(None) if has_lasted => interval / 10,
                Ok(None) => {
                    if long_polls.was_cut_short() {
                        tracing::info!(
                            oidc.provider = provider.name(),
                            "long polls for security events are ended at once: they are polled for at short intervals"
                        );
                    }
                    interval
                }
                Ok(Some(polled)) => {
                    metrics.event_poll("answered");
                    failures = 0;
                    if std::mem::take(&mut is_failing) {
                        tracing::info!(oidc.provider = provider.name(), "security events are polled for again");
                    }
                    let is_any = !polled.events.is_empty();
                    let is_news = self.receive_all(provider, polled, interval, &mut progress).await;
                    // A transmitter that has nothing new to say is not asked without end, whatever it says that it has.
                    let waits_next = !is_any && !waits && may_wait;
                    if is_news || waits_next {
                        interval / 10
                    } else if progress.report.is_empty() {
                        progress.put_off.poll_pause(interval)
                    } else {
                        interval
                    }
                }
                Err(error) => {
                    metrics.event_poll("failed");
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(oidc.provider = provider.name(), %error, "security events cannot be polled for");
                    }
                    failures = failures.saturating_add(1);
                    back_off(failures, interval, MAX_PAUSE)
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Takes what an answer has brought, but for what is put off, and says what became of it. Returns whether it brought anything that the
    /// answer before had not.
    async fn receive_all(
        &self,
        provider: &Arc<Provider>,
        polled: Polled,
        first_pause: Duration,
        progress: &mut Progress,
    ) -> bool {
        let Progress { report, put_off, seen, is_full } = progress;
        *report = PollReport::default();
        let ids: HashSet<_> = polled.events.iter().map(|(id, _)| id.clone()).collect();
        let is_news = ids.iter().any(|id| !seen.contains(id));
        if !polled.has_more {
            put_off.keep(&ids);
        }
        *seen = ids;
        for (id, token) in polled.events {
            if !put_off.is_due(&id) {
                continue;
            }
            let taken = self.receive(&token, EventDelivery::Polled(provider)).await;
            match taken.as_ref().map_err(|error| (error, error.code())) {
                Ok(()) => {
                    put_off.done(&id);
                    report.acknowledged.push(id);
                }
                Err((error, Some(code))) => {
                    tracing::warn!(event.id = id, %error, "a security event that was polled for was refused");
                    put_off.done(&id);
                    report.refused.insert(id, code);
                }
                // It comes again.
                Err((error, None)) => {
                    if put_off.put_off(id.clone(), first_pause) {
                        tracing::warn!(event.id = id, %error, "a security event that was polled for is put off");
                    } else {
                        tracing::debug!(event.id = id, %error, "a security event that was polled for is put off again");
                    }
                }
            }
        }
        // None of them is given up: each may be about somebody who is to be ended.
        let was_full = std::mem::replace(is_full, !PollRequest::has_room_beside(put_off.len()));
        if *is_full && !was_full {
            let count = put_off.len();
            tracing::warn!(event.count = count, "so many security events are put off that others wait behind them");
        }
        is_news
    }

    /// Whether it is this replica that polls now: the first that asks in each turn, unless it has given it back.
    async fn is_our_turn(&self, provider: &Provider, turn: &mut Option<Turn>) -> Result<bool, StoreError> {
        let now = self.sign_out.clock.now();
        let number = now.seconds().div_euclid(TURN_SECONDS);
        let is_known = |known: &Turn| known.number == number && (known.is_ours || known.asked.elapsed() < ASK_AGAIN);
        if let Some(known) = turn.filter(is_known) {
            return Ok(known.is_ours);
        }
        let asked = Stopwatch::start();
        let until = now.plus(TURN_IS_REMEMBERED);
        let is_ours = self.sign_out.store.consume_once(turn_name(provider, number), until).await?;
        *turn = Some(Turn { number, is_ours, asked });
        Ok(is_ours)
    }
}

fn turn_name(provider: &Provider, number: i64) -> [u8; 32] {
    sha256(format!("{:?}", ("polls for security events", provider.issuer(), provider.client_id(), number)).as_bytes())
}
