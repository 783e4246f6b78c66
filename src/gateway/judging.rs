//! Judges a request by its route: whose it is, and whether it may pass.

use http::HeaderMap;
use tracing::Instrument;

use super::{Gateway, Judged};
use crate::{
    admission::{Admission, Inquiry, NotAdmitted},
    exchange::Exchange,
    refusal::Refusal,
    routing::Route,
    telemetry::traces::SPANS,
    visitor::ConnectionMemo,
};

impl Gateway {
    /// Judges a request by its route.
    pub(super) async fn judge(
        &self,
        exchange: &Exchange,
        memo: &ConnectionMemo,
        route: &Route,
        headers: &HeaderMap,
        has_no_body: bool,
    ) -> Result<Judged, NotAdmitted> {
        match &self.parts.tracer {
            None => self.judge_by_rule(exchange, memo, route, headers, has_no_body).await,
            Some(_) => {
                let span = tracing::trace_span!(target: SPANS, "authorize");
                Box::pin(self.judge_by_rule(exchange, memo, route, headers, has_no_body).instrument(span)).await
            }
        }
    }

    async fn judge_by_rule(
        &self,
        exchange: &Exchange,
        memo: &ConnectionMemo,
        route: &Route,
        headers: &HeaderMap,
        has_no_body: bool,
    ) -> Result<Judged, NotAdmitted> {
        let (rule, admission) = (&route.rule, &self.parts.admission);
        // Where the route has a CORS policy, its preflights were judged by that.
        if route.cors.is_none()
            && let Some(asked) = admission.cross_origin.preflight(&exchange.method, headers)
            && has_no_body
        {
            return Ok(Judged::Preflight(rule.permit_preflight(exchange.origin.client, &asked, headers).map_err(Refusal::from)?));
        }
        rule.takes(exchange.origin.client, &exchange.method, headers).map_err(Refusal::from)?;
        Admission::refuse_misplaced_token(rule, headers)?;
        if let Some(permit) = rule.permit_anybody() {
            return Ok(Judged::Anybody(permit));
        }
        match admission.admit(Inquiry::for_route(exchange, headers, route, memo)).await {
            Ok(admitted) => Ok(Judged::User(admitted)),
            // Who brings a token is somebody, and is told why it does not let them in; the app never sees it.
            Err(not_admitted)
                if let Some(permit) = rule.permit_anonymous()
                    && not_admitted.is_of_nobody()
                    && !Admission::brings_token(rule, headers) =>
            {
                Ok(Judged::Anybody(permit))
            }
            Err(not_admitted) => Err(not_admitted),
        }
    }
}
