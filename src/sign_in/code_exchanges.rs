//! Rate limit of code exchanges. Anybody can begin a login and come back with a made-up code, each of which causes a call to the
//! provider, as the begin does where authorization requests are pushed: so there are limits for all of these calls and for each
//! client address, and a short queue.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{address::ClientAddress, lock::Mutex};

/// How many codes are exchanged concurrently. Token refreshes have slots of their own.
const LIMIT: usize = 32;
/// How many for one client address. A provider responds in a fraction of a second, so this suffices for a whole office.
const LIMIT_PER_ADDRESS: usize = 8;
/// How many may wait for one address.
const QUEUE: usize = 64;
/// How long they wait, while a person watches the page.
const MAX_WAIT: Duration = Duration::from_secs(6);

/// The code exchanges of one process.
#[derive(Debug)]
pub struct CodeExchanges {
    all: Arc<Semaphore>,
    shares: Arc<Mutex<HashMap<ClientAddress, Share>>>,
}

#[derive(Debug)]
struct Share {
    slots: Arc<Semaphore>,
    here: usize,
}

/// The right to exchange one code, for as long as it is held.
#[derive(Debug)]
pub(super) struct ExchangePermit {
    _slots: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
    address: ClientAddress,
    shares: Arc<Mutex<HashMap<ClientAddress, Share>>>,
}

impl Default for CodeExchanges {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(LIMIT)), shares: Arc::default() }
    }
}

impl CodeExchanges {
    /// Waits for a permit for a client at `address`. Returns `None` if too many of that address wait, or the wait times out.
    pub(super) async fn acquire(&self, address: ClientAddress) -> Option<ExchangePermit> {
        let address = network(address);
        let slots = {
            let mut shares = self.shares.lock();
            let share =
                shares.entry(address).or_insert_with(|| Share { slots: Arc::new(Semaphore::new(LIMIT_PER_ADDRESS)), here: 0 });
            if share.here >= LIMIT_PER_ADDRESS + QUEUE {
                return None;
            }
            share.here += 1;
            Arc::clone(&share.slots)
        };
        // From here on it is counted; dropping it when the client disconnects uncounts it.
        let mut permit = ExchangePermit { _slots: None, address, shares: Arc::clone(&self.shares) };
        let waiting = async { Some((slots.acquire_owned().await.ok()?, Arc::clone(&self.all).acquire_owned().await.ok()?)) };
        permit._slots = Some(tokio::time::timeout(MAX_WAIT, waiting).await.ok()??);
        Some(permit)
    }
}

impl Drop for ExchangePermit {
    fn drop(&mut self) {
        let mut shares = self.shares.lock();
        if let Some(share) = shares.get_mut(&self.address) {
            share.here = share.here.saturating_sub(1);
            if share.here == 0 {
                shares.remove(&self.address);
            }
        }
    }
}

/// Returns what counts as one client: an IPv4 address, an IPv6 /64 network, or all that are unknown.
fn network(address: ClientAddress) -> ClientAddress {
    match address {
        ClientAddress::Known(IpAddr::V6(address)) => {
            ClientAddress::Known(Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)).into())
        }
        ClientAddress::Known(IpAddr::V4(_)) | ClientAddress::Unknown => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_address_cannot_take_the_turns_of_the_others() {
        let exchanges = CodeExchanges::default();
        let [many, one] = ["2001:db8::1", "192.0.2.1"].map(ClientAddress::read);
        let mut held = Vec::new();
        for last in 0..LIMIT_PER_ADDRESS {
            let neighbour = ClientAddress::read(&format!("2001:db8::{last:x}:1"));
            held.push(exchanges.acquire(neighbour).await.unwrap());
        }
        assert!(exchanges.acquire(many).await.is_none(), "of one network, after a while");
        assert!(exchanges.acquire(one).await.is_some());
        held.pop();
        assert!(exchanges.acquire(many).await.is_some(), "a waiting client gets the permit when another is dropped");
        drop(held);
        assert!(exchanges.shares.lock().is_empty(), "nothing is left of who has gone");
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_short() {
        let exchanges = Arc::new(CodeExchanges::default());
        let address = ClientAddress::read("192.0.2.1");
        let waiting: Vec<_> = (0..LIMIT_PER_ADDRESS + QUEUE + 10)
            .map(|_| {
                let exchanges = Arc::clone(&exchanges);
                tokio::spawn(async move {
                    let permit = exchanges.acquire(address).await;
                    let came = permit.is_some();
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    came
                })
            })
            .collect();
        let mut came = 0;
        for one in waiting {
            came += usize::from(one.await.unwrap());
        }
        assert_eq!(came, LIMIT_PER_ADDRESS);
    }
}
