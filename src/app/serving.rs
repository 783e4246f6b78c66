//! Serves what comes in at the listeners, each request by the gateway that is current when it arrives.

use std::sync::Arc;

use futures_util::future::{OptionFuture, join_all};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::front::CurrentFront;
use crate::{
    gateway::{Caller, Entrance},
    server::{self, ConnectionService, ConnectionSlots, Peer, RejectMalformed},
};

/// The listeners that the server serves.
pub(super) struct Served {
    pub(super) plain: server::Listener,
    /// With TLS.
    pub(super) secure: Option<server::Listener>,
    /// For the administration alone.
    pub(super) administration: Option<server::Listener>,
    /// Where ingresses ask over gRPC.
    pub(super) ext_authz: Option<server::Listener>,
}

impl Served {
    /// Serves them until `stop`, on connections that have one of the `slots` each. The task ends when all connections have.
    pub(super) fn start(
        self,
        front: &Arc<CurrentFront>,
        slots: &Arc<ConnectionSlots>,
        stop: &CancellationToken,
    ) -> JoinHandle<()> {
        let requests = |entrance, listener| {
            let front = Arc::clone(front);
            let make_service = move |peer: Peer| {
                let (front, caller) = (Arc::clone(&front), Arc::new(Caller::at(entrance, peer)));
                ConnectionService {
                    reject: rejection(&front, &caller),
                    respond: move |request| front.gateway().handle(Arc::clone(&caller), request),
                }
            };
            server::serve(listener, Arc::clone(slots), stop.clone(), make_service)
        };
        let calls = |listener| {
            let front = Arc::clone(front);
            let make_service = move |peer: Peer| {
                let (front, caller) = (Arc::clone(&front), Arc::new(Caller::at(Entrance::Public, peer)));
                ConnectionService {
                    reject: rejection(&front, &caller),
                    respond: move |request| front.gateway().handle_call(Arc::clone(&caller), request),
                }
            };
            server::serve(listener, Arc::clone(slots), stop.clone(), make_service)
        };
        let mut all = vec![requests(Entrance::Public, self.plain)];
        all.extend(self.secure.map(|listener| requests(Entrance::Public, listener)));
        all.extend(self.administration.map(|listener| requests(Entrance::Administration, listener)));
        let calls = OptionFuture::from(self.ext_authz.map(calls));
        tokio::spawn(async move {
            tokio::join!(join_all(all), calls);
        })
    }
}

/// What is answered to a request that cannot be parsed.
fn rejection(front: &Arc<CurrentFront>, caller: &Arc<Caller>) -> RejectMalformed {
    let (front, caller) = (Arc::clone(front), Arc::clone(caller));
    Box::new(move |status| front.gateway().refuse_unread(&caller, status))
}
