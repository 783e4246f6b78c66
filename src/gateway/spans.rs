//! Where a request's spans begin, and that of its way to the app ends.

use http::{HeaderMap, Version};
use tracing::{Instrument, Span};

use super::Gateway;
use crate::{
    exchange::Exchange,
    forward::{ForwardError, Forwarded, Outbound},
    telemetry::traces::{RequestFacts, RequestTrace, end_forwarding, fail, name_upstream},
};

impl Gateway {
    /// Begins the span of a request, where there are traces. A trusted proxy says which trace it belongs to; anybody else could have
    /// theirs recorded, or mix it with another's.
    pub(super) fn begin_spans(&self, exchange: &Exchange, headers: &HeaderMap) -> Option<Box<RequestTrace>> {
        let tracer = self.parts.tracer.as_ref()?;
        let (host, port) = exchange.origin.server();
        let facts = RequestFacts {
            method: &exchange.method,
            path: &exchange.path(),
            scheme: exchange.origin.scheme.as_str(),
            host,
            port,
            client: exchange.origin.client.known(),
            version: match exchange.version {
                Version::HTTP_10 => "1.0",
                Version::HTTP_2 => "2",
                _ => "1.1",
            },
            request_id: &exchange.id_text(),
        };
        Some(Box::new(tracer.begin(Some(headers).filter(|_| exchange.is_from_trusted_proxy), facts)))
    }

    /// Forwards a request within the span of its way to the app.
    pub(super) async fn forward_traced(&self, outbound: Outbound<'_>, span: Span) -> Result<Forwarded, ForwardError> {
        let tried = outbound.tried;
        let forwarded = self.parts.forwarder.forward(outbound).instrument(span.clone()).await;
        let upstream = match &forwarded {
            Ok(sent) => Some(&sent.upstream),
            Err(_) => tried.get(),
        };
        if let Some(upstream) = upstream {
            name_upstream(&span, upstream.host(), upstream.port_u16());
        }
        match &forwarded {
            Ok(sent) => end_forwarding(&span, sent.response.status().as_u16()),
            Err(_) => fail(&span, "upstream_failed"),
        }
        forwarded
    }
}
