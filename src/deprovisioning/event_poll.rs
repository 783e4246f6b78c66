//! Polls a transmitter for security events (RFC 8936): one replica at a time, for each provider that has a stream to poll.
//!
//! An event is acknowledged when it has taken effect. What could not be recorded or verified is not, so that it comes again; what comes
//! again has no effect, because its identifier is remembered in the store.

use std::{sync::Arc, time::Duration};

use super::Deprovisioning;
use crate::{
    backoff::back_off,
    oidc::{EventDelivery, PollReport, Polled, Provider},
    secret::sha256,
    store::StoreError,
    timings::Timings,
};

/// How long a replica polls before it is any replica's turn again, in seconds. If it dies, events wait that long.
const TURN_SECONDS: i64 = 60;
/// How long it is remembered whose turn it was, by clocks that may differ.
const TURN_IS_REMEMBERED: Duration = Duration::from_secs(600);
const MAX_PAUSE: Duration = Duration::from_secs(300);

/// A turn, and whether it is this replica's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    number: i64,
    is_ours: bool,
}

impl Deprovisioning {
    /// Polls at the stream of this provider for as long as it runs, with a pause after each answer without an event. A report is sent by
    /// itself, so that no wait for the next event delays it.
    pub async fn poll(&self, provider: &Arc<Provider>, timings: Timings) {
        let (metrics, interval) = (self.sign_out.metrics.of_provider(provider.name()), timings.event_poll_interval);
        let (mut report, mut turn, mut failures) = (PollReport::default(), None, 0_u32);
        // A transmitter that says nothing to a poll is asked to answer the next one immediately: one that is dead does not.
        let (mut is_silent, mut is_failing) = (false, false);
        loop {
            self.sign_out.store.until_writable().await;
            let is_ours = self.is_our_turn(provider, &mut turn).await.unwrap_or(false);
            if !is_ours && report.is_empty() {
                tokio::time::sleep(interval).await;
                continue;
            }
            let waits = report.is_empty() && !is_silent;
            let answer = provider.poll_for_events(&report, waits, timings.event_poll_wait).await;
            is_silent = matches!(answer, Ok(None));
            let pause = match answer {
                Ok(None) => interval / 10,
                Ok(Some(polled)) => {
                    metrics.event_poll("answered");
                    if std::mem::take(&mut is_failing) {
                        tracing::info!(oidc.provider = provider.name(), "security events are polled for again");
                    }
                    let (has_more, is_any) = (polled.has_more, !polled.events.is_empty());
                    report = self.receive_all(provider, polled).await;
                    // What was neither taken nor refused comes again, and not any better immediately.
                    let is_stuck = is_any && report.is_empty();
                    failures = if is_stuck { failures.saturating_add(1) } else { 0 };
                    if is_stuck {
                        back_off(failures, interval, MAX_PAUSE)
                    } else if has_more || is_any || !waits {
                        interval / 10
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

    /// Takes what an answer has brought, and says what became of it.
    async fn receive_all(&self, provider: &Arc<Provider>, polled: Polled) -> PollReport {
        let mut report = PollReport::default();
        for (id, token) in polled.events {
            let Err(error) = self.receive(&token, EventDelivery::Polled(provider)).await else {
                report.acknowledged.push(id);
                continue;
            };
            tracing::warn!(event.id = id, %error, "a security event that was polled for was refused");
            if let Some(code) = error.code() {
                report.refused.insert(id, code);
            }
        }
        report
    }

    /// Whether it is this replica that polls now: the first that asks in each turn.
    async fn is_our_turn(&self, provider: &Provider, turn: &mut Option<Turn>) -> Result<bool, StoreError> {
        let now = self.sign_out.clock.now();
        let number = now.seconds().div_euclid(TURN_SECONDS);
        if let Some(known) = turn.filter(|known| known.number == number) {
            return Ok(known.is_ours);
        }
        let name = format!("{:?}", ("polls for security events", provider.issuer(), provider.client_id(), number));
        let is_ours = self.sign_out.store.consume_once(sha256(name.as_bytes()), now.plus(TURN_IS_REMEMBERED)).await?;
        *turn = Some(Turn { number, is_ours });
        Ok(is_ours)
    }
}
