//! Where an ingress asks about its requests over gRPC.

use super::{
    forward::{EXT_AUTHZ_ADDRESS, EXT_AUTHZ_TLS},
    gateway::PROXY_TRUSTED_ORIGINS,
    reader::Reader,
    server::TLS_ENABLE,
    values,
};
use crate::server::ExtAuthz;

/// Where ingresses ask; `Some(None)` where they may not.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Option<ExtAuthz>> {
    let is_secure = reader.boolean(&EXT_AUTHZ_TLS)?;
    if !reader.is_given(&EXT_AUTHZ_ADDRESS) {
        if is_secure {
            reader.warn(&EXT_AUTHZ_TLS, "is set, and CODER_EXT_AUTHZ_ADDRESS is not, so that nobody listens there");
        }
        return Some(None);
    }
    let address = reader.parsed(&EXT_AUTHZ_ADDRESS, values::address);
    if is_secure && reader.boolean(&TLS_ENABLE) == Some(false) {
        reader.problem(&EXT_AUTHZ_TLS, "needs CODER_TLS_ENABLE, whose certificates are served there");
    }
    if !reader.is_given(&PROXY_TRUSTED_ORIGINS) {
        reader.problem(&EXT_AUTHZ_ADDRESS, "needs CODER_PROXY_TRUSTED_ORIGINS: nobody else is answered there");
    }
    Some(Some(ExtAuthz { address: address?, is_secure }))
}
