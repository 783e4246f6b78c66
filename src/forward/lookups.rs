//! Lookups of names that are under way.
//!
//! The system's resolver takes a thread of the process for each lookup, for as long as a name server keeps it waiting, whoever still
//! waits for that. Threads are limited, and the provider's name and all files need some too. A name is therefore looked up by one at a
//! time, for all who ask meanwhile, and the names that requests choose on one route by a few.

use std::{collections::HashMap, fmt, future::Future, io, net::SocketAddr, pin::Pin, sync::Arc};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SetOnce};
use tower_service::Service;

use crate::lock::Mutex;

/// So many names of one route, or of an upstream, are looked up at the same time.
const MAX_LOOKUPS: usize = 16;

/// A lookup by the system's means.
type Lookup = Box<dyn Fn(Name) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> + Send + Sync>;

/// The lookups of an upstream's name, or of the names of a route's upstreams.
pub(super) struct Lookups {
    look_up: Lookup,
    slots: Arc<Semaphore>,
    under_way: Mutex<HashMap<Name, Arc<Flight>>>,
}

/// A lookup that is under way, for all who wait for it.
type Flight = SetOnce<Result<Vec<SocketAddr>, LookupError>>;

/// Why a name has no address, for all who asked.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
struct LookupError {
    kind: io::ErrorKind,
    text: String,
}

/// Ends a lookup, also one whose task is dropped.
struct InFlightGuard {
    lookups: Arc<Lookups>,
    name: Name,
    flight: Arc<Flight>,
    _slot: OwnedSemaphorePermit,
}

impl Lookups {
    /// None are under way.
    pub(super) fn new() -> Arc<Self> {
        Self::by(Box::new(|name| {
            let looking_up = GaiResolver::new().call(name);
            Box::pin(async move { looking_up.await.map(Iterator::collect) })
        }))
    }

    fn by(look_up: Lookup) -> Arc<Self> {
        Arc::new(Self { look_up, slots: Arc::new(Semaphore::new(MAX_LOOKUPS)), under_way: Mutex::default() })
    }

    /// The addresses of a name.
    ///
    /// # Errors
    /// It has none, or the resolver fails.
    pub(super) async fn addresses(self: &Arc<Self>, name: Name) -> io::Result<Vec<SocketAddr>> {
        let under_way = self.under_way.lock().get(&name).cloned();
        let flight = match under_way {
            Some(flight) => flight,
            None => {
                // Whoever gives up does not wait for a slot any longer, so that nothing is looked up for nobody.
                let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(io::Error::other)?;
                self.begin(name, slot)
            }
        };
        flight.wait().await.clone().map_err(|error| io::Error::new(error.kind, error))
    }

    /// Begins to look a name up, unless somebody has meanwhile.
    fn begin(self: &Arc<Self>, name: Name, slot: OwnedSemaphorePermit) -> Arc<Flight> {
        let flight = Arc::new(Flight::new());
        {
            let mut under_way = self.under_way.lock();
            if let Some(other) = under_way.get(&name) {
                return Arc::clone(other);
            }
            under_way.insert(name.clone(), Arc::clone(&flight));
        }
        let looking_up = (self.look_up)(name.clone());
        let guard = InFlightGuard { lookups: Arc::clone(self), name, flight: Arc::clone(&flight), _slot: slot };
        // A task of its own, which lasts as long as the thread, not as long as anybody waits.
        tokio::spawn(async move {
            let found = looking_up.await.map_err(|error| LookupError { kind: error.kind(), text: error.to_string() });
            let _only_once = guard.flight.set(found);
        });
        flight
    }
}

impl fmt::Debug for Lookups {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Lookups").field("slots", &self.slots).finish_non_exhaustive()
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.lookups.under_way.lock().remove(&self.name);
        let dropped = LookupError { kind: io::ErrorKind::Interrupted, text: "the lookup was given up".to_owned() };
        let _was_set = self.flight.set(Err(dropped));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;
    use tokio::time::timeout;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A resolver that is asked, and answers when it is let.
    fn held() -> (Arc<Lookups>, Arc<Mutex<Vec<String>>>, Arc<Semaphore>) {
        let (asked, answers) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(Semaphore::new(0)));
        let (noted, awaited) = (Arc::clone(&asked), Arc::clone(&answers));
        let lookups = Lookups::by(Box::new(move |name| {
            noted.lock().push(name.as_str().to_owned());
            let awaited = Arc::clone(&awaited);
            Box::pin(async move {
                awaited.acquire_owned().await.unwrap().forget();
                match name.as_str() {
                    "missing" => Err(io::Error::new(io::ErrorKind::NotFound, "no such name")),
                    _ => Ok(vec!["127.0.0.1:0".parse().unwrap()]),
                }
            })
        }));
        (lookups, asked, answers)
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_looked_up_by_one_for_all_who_ask_and_not_again_while_its_server_is_silent() {
        let (lookups, asked, answers) = held();
        for _ in 0..3 {
            let waiting = join_all((0..100).map(|_| timeout(SECOND, lookups.addresses(name("app")))));
            assert!(waiting.await.iter().all(Result::is_err), "nobody has an answer");
        }
        assert_eq!(*asked.lock(), ["app"]);
        let all = tokio::spawn({
            let lookups = Arc::clone(&lookups);
            async move { join_all((0..100).map(|_| lookups.addresses(name("app")))).await }
        });
        answers.add_permits(1);
        assert!(all.await.unwrap().iter().all(|found| found.as_ref().unwrap().len() == 1));
        answers.add_permits(1);
        assert_eq!(lookups.addresses(name("missing")).await.unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(*asked.lock(), ["app", "missing"], "what is over is not remembered");
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_names_of_a_route_are_looked_up_at_a_time_and_none_for_who_has_given_up() {
        let (lookups, asked, answers) = held();
        let chosen = join_all((0..1000).map(|number| timeout(SECOND, lookups.addresses(name(&format!("n{number}"))))));
        assert!(chosen.await.iter().all(Result::is_err));
        assert_eq!(asked.lock().len(), MAX_LOOKUPS);
        let (other, _, other_answers) = held();
        other_answers.add_permits(1);
        other.addresses(name("other")).await.expect("another route is not held up");
        answers.add_permits(MAX_LOOKUPS + 1);
        lookups.addresses(name("next")).await.unwrap();
        assert_eq!(asked.lock().len(), MAX_LOOKUPS + 1, "of those who have given up, none is looked up");
    }
}
